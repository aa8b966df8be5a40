package ip4

import (
	"ukvm.dev/guest/net/fragment"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// ReassemblyTime is how long the fragments of a datagram may take to arrive, in nanoseconds (RFC 791 §3.2).
const ReassemblyTime = 15e9

// reassemble takes a fragment, and returns the whole packet if it was the last one missing.
func (b *Box) reassemble(h wire.IPv4, p *packet.Packet) *packet.Packet {
	off, n := h.Offset(), h.PayloadLen()
	if n == 0 || h.MF() && n%8 != 0 || off+n > wire.IPv4Max-wire.IPv4Size {
		b.drop(p)
		return nil
	}
	t := &b.reassembly
	if t.Pool == nil {
		t.Lifetime, t.Now, t.Wheel, t.Pool, t.TimedOut = ReassemblyTime, b.Now, b.Wheel, b.Pool, b.timedOut
	}
	key := fragment.Key{Src: p.Src, Dst: p.Dst, ID: uint32(h.ID()), Proto: p.Proto}
	header := [60]byte{}
	k := copy(header[:], h)
	p.Trim(len(h))
	p = t.Add(key, fragment.Fragment{Packet: p, Header: header[:k], Offset: off, Last: !h.MF()})
	b.Stats.ReassemblyFailed = t.Failed
	if p == nil {
		return nil
	}
	if p.Len() > wire.IPv4Max {
		b.drop(p) // the first fragment had options
		return nil
	}
	b.Stats.Reassembled++
	h, _ = wire.ParseIPv4(p.Bytes())
	h.SetTotalLen(p.Len())
	h.SetFragment(0, 0)
	h.SetChecksum()
	return p
}

func (b *Box) timedOut(p *packet.Packet) {
	b.Stats.ReassemblyFailed = b.reassembly.Failed
	if b.TimedOut == nil {
		p.Release()
		return
	}
	b.TimedOut(p)
}
