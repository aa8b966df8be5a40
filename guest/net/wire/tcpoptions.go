package wire

// TCP option kinds (RFC 9293 §3.2, RFC 7323 §2 and §3, RFC 2018 §2 and §3).
const (
	optEnd           = 0
	optNop           = 1
	optMSS           = 2
	optWindowScale   = 3
	optSACKPermitted = 4
	optSACK          = 5
	optTimestamps    = 8
)

// Lengths of encoded options in bytes, padding included.
const (
	TCPSynOptionsMax  = 20 // what EncodeSyn writes at most
	TCPTimestampsSize = 12 // what EncodeTimestamps writes
	TCPOptionsMax     = 40 // what a header has room for
	SACKBlocksMax     = 4  // what fits beside nothing else
)

// MaxWindowScale is the greatest shift count of RFC 7323 §2.3; greater ones count as this.
const MaxWindowScale = 14

// SACKBlock is a range of sequence numbers a peer has received, from Start up to but not including End.
type SACKBlock struct{ Start, End uint32 }

// TCPOptions are the options of one segment. The zero value is "none".
type TCPOptions struct {
	MSS           uint16 // 0: absent
	WindowScale   uint8  // shift count, if HasScale
	HasScale      bool
	SACKPermitted bool
	HasTimestamps bool
	TSVal, TSEcr  uint32
	SACKs         uint8 // how many of SACK are valid
	SACK          [SACKBlocksMax]SACKBlock
}

// Parse reads the option bytes of a segment. Unknown options are skipped. A malformed list ends at the fault with what
// was read until then, as RFC 9293 §3.1 (MUST-6, MUST-7) allows: it is the peer's own loss.
func (o *TCPOptions) Parse(b []byte) {
	*o = TCPOptions{}
	if len(b) == TCPTimestampsSize && b[0] == optNop && b[1] == optNop && b[2] == optTimestamps && b[3] == 10 {
		o.HasTimestamps, o.TSVal, o.TSEcr = true, get32(b[4:]), get32(b[8:]) // RFC 7323 appendix A: nearly all segments
		return
	}
	for len(b) > 0 {
		kind := b[0]
		if kind == optEnd {
			return
		}
		if kind == optNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		v := b[2:b[1]]
		b = b[b[1]:]
		switch {
		case kind == optMSS && len(v) == 2:
			o.MSS = get16(v)
		case kind == optWindowScale && len(v) == 1:
			o.WindowScale, o.HasScale = min(v[0], MaxWindowScale), true
		case kind == optSACKPermitted && len(v) == 0:
			o.SACKPermitted = true
		case kind == optTimestamps && len(v) == 8:
			o.HasTimestamps, o.TSVal, o.TSEcr = true, get32(v), get32(v[4:])
		case kind == optSACK && len(v)%8 == 0:
			for o.SACKs = 0; len(v) > 0 && o.SACKs < SACKBlocksMax; v = v[8:] {
				o.SACK[o.SACKs] = SACKBlock{get32(v), get32(v[4:])}
				o.SACKs++
			}
		}
	}
}

// EncodeSyn stores the options of a SYN into b and returns their length, a multiple of 4: MSS always, then SACK
// permitted, timestamps and window scale if set.
func (o *TCPOptions) EncodeSyn(b []byte) int {
	b = b[:TCPSynOptionsMax]
	b[0], b[1] = optMSS, 4
	put16(b[2:], o.MSS)
	n := 4
	if o.HasTimestamps {
		first, second := byte(optNop), byte(optNop)
		if o.SACKPermitted {
			first, second = optSACKPermitted, 2
		}
		b[n], b[n+1] = first, second
		o.encodeTimestamps(b[n+2:])
		n += 12
	} else if o.SACKPermitted {
		b[n], b[n+1], b[n+2], b[n+3] = optNop, optNop, optSACKPermitted, 2
		n += 4
	}
	if o.HasScale {
		b[n], b[n+1], b[n+2], b[n+3] = optNop, optWindowScale, 3, o.WindowScale
		n += 4
	}
	return n
}

// EncodeTimestamps stores the timestamps option into b, which has TCPTimestampsSize bytes.
func (o *TCPOptions) EncodeTimestamps(b []byte) {
	b[0], b[1] = optNop, optNop
	o.encodeTimestamps(b[2:])
}

func (o *TCPOptions) encodeTimestamps(b []byte) {
	b[0], b[1] = optTimestamps, 10
	put32(b[2:], o.TSVal)
	put32(b[6:], o.TSEcr)
}

// TCPSACKSize is the length of a SACK option with n blocks, padding included.
func TCPSACKSize(n int) int { return 4 + 8*n }

// EncodeSACK stores a SACK option with the valid blocks of o into b, which has TCPSACKSize bytes (RFC 2018 §3).
func (o *TCPOptions) EncodeSACK(b []byte) {
	n := int(o.SACKs)
	b = b[:TCPSACKSize(n)]
	b[0], b[1], b[2], b[3] = optNop, optNop, optSACK, byte(2+8*n)
	for i, k := range o.SACK[:n] {
		put32(b[4+8*i:], k.Start)
		put32(b[8+8*i:], k.End)
	}
}
