package tcp

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// segment is a received segment.
type segment struct {
	p                *packet.Packet // the payload; nil once somebody has taken it
	srcPort, dstPort uint16
	seq, ack         seq
	flags            uint8
	wnd              int // as in the header, not scaled
	len              int // payload bytes
	opt              wire.TCPOptions
}

// parse takes a segment apart, verifies its checksum and trims the packet to the payload. It reports whether the segment
// is well-formed and was sent to one host only (RFC 9293 MUST-57).
func (s *segment) parse(p *packet.Packet) bool {
	h, ok := wire.ParseTCP(p.Bytes())
	if !ok || p.Broadcast {
		return false
	}
	if !p.ChecksumOK() {
		sum := wire.Pseudo(p.Src, p.Dst, wire.ProtoTCP, p.Len())
		p.Sum(&sum)
		if sum.Checksum() != 0 {
			return false
		}
	}
	s.p = p
	s.srcPort, s.dstPort = h.SrcPort(), h.DstPort()
	s.seq, s.ack = seq(h.Seq()), seq(h.Ack())
	s.flags = h.Flags()
	s.wnd = int(h.Window())
	s.opt.Parse(h.Options())
	p.Trim(len(h))
	s.len = p.Len()
	return true
}

func (s *segment) has(flags uint8) bool { return s.flags&flags != 0 }

// size is the sequence space the segment takes (SEG.LEN).
func (s *segment) size() int {
	n := s.len
	if s.has(wire.SYN) {
		n++
	}
	if s.has(wire.FIN) {
		n++
	}
	return n
}

// trimFront removes what we have: everything before nxt.
func (s *segment) trimFront(nxt seq) {
	n := nxt.minus(s.seq)
	if n <= 0 {
		return
	}
	if s.has(wire.SYN) {
		s.flags &^= wire.SYN
		s.seq++
		n--
	}
	n = min(n, s.len)
	s.p.Trim(n)
	s.len -= n
	s.seq = s.seq.plus(n)
}

// trimBack removes what lies beyond the window's right edge; a FIN behind it goes first.
func (s *segment) trimBack(edge seq) {
	n := s.seq.plus(s.size()).minus(edge)
	if n <= 0 {
		return
	}
	if s.has(wire.FIN) {
		s.flags &^= wire.FIN
		n--
	}
	if n = min(n, s.len); n > 0 {
		s.len -= n
		s.p.Truncate(s.len)
	}
}
