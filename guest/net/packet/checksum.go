package packet

import (
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// SetPartialChecksum says that the transport header is at the front, that its checksum field, offset bytes into it,
// holds the pseudo-header's sum, and that the device or CompleteChecksum shall complete it.
func (p *Packet) SetPartialChecksum(offset int) {
	p.Net.Flags |= hypercall.NeedsCsum
	p.Net.CsumOffset = uint16(offset)
	p.transport = p.length
}

// ChecksumOK reports whether the transport checksum needs no verification: the device did it, or the packet never was
// on a wire and its checksum has not been completed yet.
func (p *Packet) ChecksumOK() bool {
	return p.Net.Flags&(hypercall.NeedsCsum|hypercall.DataValid) != 0
}

// FinishNet fills in those fields of Net that depend on where headers ended up, once the frame is complete.
func (p *Packet) FinishNet() {
	if p.Net.Flags&hypercall.NeedsCsum != 0 {
		p.Net.CsumStart = uint16(p.length - p.transport)
		if p.Net.GSOType != hypercall.GSONone {
			b := p.mem[p.off+int(p.Net.CsumStart) : p.end]
			p.Net.HdrLen = p.Net.CsumStart + uint16(b[12]>>4)*4
		}
	}
}

// CompleteChecksum does in software what SetPartialChecksum left to the device; without that it does nothing. Headers
// may have been prepended since.
func (p *Packet) CompleteChecksum() {
	if p.Net.Flags&hypercall.NeedsCsum == 0 {
		return
	}
	p.Net.Flags &^= hypercall.NeedsCsum
	b := p.mem[p.off+p.length-p.transport : p.end]
	var s wire.Sum
	s.Add(b)
	for i := p.taken; i < len(p.rest); i++ {
		s.Add(p.rest[i].data)
	}
	sum := s.Checksum()
	if sum == 0 {
		sum = 0xffff // RFC 768: 0 means "none"; for TCP the two are the same number
	}
	field := b[p.Net.CsumOffset:]
	field[0], field[1] = byte(sum>>8), byte(sum)
	p.Net.CsumOffset = 0
}

// Sum adds the packet's bytes to s.
func (p *Packet) Sum(s *wire.Sum) {
	s.Add(p.mem[p.off:p.end])
	for i := p.taken; i < len(p.rest); i++ {
		s.Add(p.rest[i].data)
	}
}

// EncodeNet puts the device header (hypercall.NetHeader, little-endian) in front of a complete frame, in the same
// memory, so that a driver needs no descriptor of its own for it.
func (p *Packet) EncodeNet() {
	h := &p.Net
	b := p.Prepend(hypercall.NetHeaderSize)
	b[0], b[1] = h.Flags, h.GSOType
	for i, v := range [...]uint16{h.HdrLen, h.GSOSize, h.CsumStart, h.CsumOffset, h.NumBuffers} {
		b[2+2*i], b[3+2*i] = byte(v), byte(v>>8)
	}
}

// DecodeNet takes the device header from the front of what a device filled. It reports false if that is too short.
func (p *Packet) DecodeNet() bool {
	b := p.Bytes()
	if len(b) < hypercall.NetHeaderSize {
		return false
	}
	word := func(i int) uint16 { return uint16(b[i]) | uint16(b[i+1])<<8 }
	p.Net = hypercall.NetHeader{
		Flags: b[0], GSOType: b[1],
		HdrLen: word(2), GSOSize: word(4), CsumStart: word(6), CsumOffset: word(8), NumBuffers: word(10),
	}
	p.Trim(hypercall.NetHeaderSize)
	return true
}
