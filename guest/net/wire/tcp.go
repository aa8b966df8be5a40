package wire

// TCP is a TCP header with its options (RFC 9293 §3.1).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|          Source Port          |       Destination Port        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                        Sequence Number                        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                    Acknowledgment Number                      |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  Data |       |C|E|U|A|P|R|S|F|                               |
//	| Offset| Rsrvd |W|C|R|C|S|S|Y|I|            Window             |
//	|       |       |R|E|G|K|H|T|N|N|                               |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|           Checksum            |         Urgent Pointer        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                           [Options]                           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type TCP []byte

// Lengths of a TCP header in bytes: without options, the longest; and where its checksum lies.
const (
	TCPSize           = 20
	TCPMax            = 60
	TCPChecksumOffset = 16
)

// TCP flags.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// ParseTCP takes the header at the start of b, options included.
func ParseTCP(b []byte) (TCP, bool) {
	if len(b) < TCPSize {
		return nil, false
	}
	n := int(b[12]>>4) * 4
	if n < TCPSize || n > len(b) {
		return nil, false
	}
	return TCP(b[:n]), true
}

// The fields of a header that ParseTCP has accepted, and how to change them.
func (h TCP) SrcPort() uint16      { return get16(h[0:]) }
func (h TCP) DstPort() uint16      { return get16(h[2:]) }
func (h TCP) Seq() uint32          { return get32(h[4:]) }
func (h TCP) Ack() uint32          { return get32(h[8:]) }
func (h TCP) Flags() uint8         { return h[13] }
func (h TCP) Window() uint16       { return get16(h[14:]) }
func (h TCP) Checksum() uint16     { return get16(h[16:]) }
func (h TCP) Options() []byte      { return h[TCPSize:] }
func (h TCP) SetChecksum(v uint16) { put16(h[16:], v) }
func (h TCP) SetSeq(v uint32)      { put32(h[4:], v) }
func (h TCP) SetFlags(v uint8)     { h[13] = v }

// TCPFields is what Encode stores.
type TCPFields struct {
	SrcPort, DstPort uint16
	Seq, Ack         uint32
	Flags            uint8
	Window           uint16
	Checksum         uint16
}

// Encode stores a header into h, whose length, a multiple of 4 between TCPSize and TCPMax, becomes the data offset.
// Options are not touched.
func (h TCP) Encode(f *TCPFields) {
	_ = h[TCPSize-1]
	put16(h[0:], f.SrcPort)
	put16(h[2:], f.DstPort)
	put32(h[4:], f.Seq)
	put32(h[8:], f.Ack)
	h[12] = byte(len(h)/4) << 4
	h[13] = f.Flags
	put16(h[14:], f.Window)
	put16(h[16:], f.Checksum)
	put16(h[18:], 0)
}
