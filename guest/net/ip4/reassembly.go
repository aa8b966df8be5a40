package ip4

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Limits of reassembly (RFC 791 §3.2, RFC 1122 §3.3.2); time in nanoseconds.
const (
	MaxDatagrams   = 64      // incomplete datagrams; the oldest makes room
	MaxFragments   = 256     // fragments of one datagram: enough for 64 KiB at an MTU of 296
	MaxReassembly  = 1 << 20 // memory of all held fragments in bytes, as Packet.Size counts; the oldest makes room
	ReassemblyTime = 15e9
)

// reassembly holds the fragments of datagrams that are not complete.
type reassembly struct {
	datagrams map[datagramKey]*datagram
	oldest    *datagram // in order of their first fragment's arrival
	newest    *datagram
	memory    int
}

type datagramKey struct {
	src, dst netip.Addr
	id       uint16
	proto    uint8
}

// datagram is one packet being put together. Fragments do not overlap: an overlap, which no honest sender makes, ends
// the datagram (RFC 5722 §3 says so for IPv6; the attacks are the same).
type datagram struct {
	box        *Box
	key        datagramKey
	fragments  packet.Queue // by offset, which is in Seq; without IP header
	header     [60]byte     // of the first fragment
	headerLen  int
	received   int // payload bytes
	total      int // payload length; -1 until the last fragment is here
	memory     int
	timer      timer.Timer
	next, prev *datagram
}

// reassemble takes a fragment, and returns the whole packet if it was the last one missing.
func (b *Box) reassemble(h wire.IPv4, p *packet.Packet) *packet.Packet {
	off, n := h.Offset(), h.PayloadLen()
	if n == 0 || h.MF() && n%8 != 0 || off+n > wire.IPv4Max-wire.IPv4Size {
		b.drop(p)
		return nil
	}
	r := &b.reassembly
	key := datagramKey{p.Src, p.Dst, h.ID(), p.Proto}
	d := r.datagrams[key]
	if d == nil {
		if len(r.datagrams) >= MaxDatagrams {
			b.fail(r.oldest)
		}
		d = b.newDatagram(key)
	}
	if off == 0 && d.headerLen == 0 {
		d.headerLen = copy(d.header[:], h)
	}
	last := !h.MF()
	p.Trim(len(h))
	p.Seq = uint32(off)

	// Find the place: behind the last fragment that begins before p.
	var before *packet.Packet
	after := d.fragments.Front()
	for after != nil && int(after.Seq) < off {
		before, after = after, after.Next
	}
	if after != nil && int(after.Seq) == off && after.Len() == n && (!last || d.total == off+n) {
		b.drop(p) // a duplicate
		return nil
	}
	bad := before != nil && int(before.Seq)+before.Len() > off || after != nil && off+n > int(after.Seq)
	bad = bad || d.total >= 0 && (last || off+n > d.total) || last && after != nil
	if bad || d.fragments.Len() >= MaxFragments {
		p.Release()
		b.fail(d)
		return nil
	}
	p.Charge = p.Size()
	d.memory += p.Charge
	r.memory += p.Charge
	d.received += n
	if last {
		d.total = off + n
	}
	d.fragments.InsertAfter(before, p)
	if d.received == d.total && d.headerLen > 0 {
		return b.finish(d)
	}
	for r.memory > MaxReassembly {
		b.fail(r.oldest)
	}
	return nil
}

// finish makes one packet of a complete datagram: one copy, since it is rare and gather lists are short.
func (b *Box) finish(d *datagram) *packet.Packet {
	first := d.fragments.Front()
	if d.headerLen+d.total > wire.IPv4Max {
		b.fail(d)
		return nil
	}
	p := b.Pool.Receive(d.headerLen + d.total)
	p.Truncate(d.headerLen + d.total)
	data := p.Bytes()
	n := copy(data, d.header[:d.headerLen])
	h := wire.IPv4(data[:n])
	h.SetTotalLen(len(data))
	h.SetFragment(0, 0)
	h.SetChecksum()
	p.Src, p.Dst, p.Link, p.Broadcast = first.Src, first.Dst, first.Link, first.Broadcast
	p.Proto, p.TTL, p.TOS = first.Proto, first.TTL, first.TOS
	for f := first; f != nil; f = f.Next {
		n += f.CopyOut(data[n:])
	}
	b.Stats.Reassembled++
	b.forget(d)
	return p
}

func (b *Box) newDatagram(key datagramKey) *datagram {
	r := &b.reassembly
	d := &datagram{box: b, key: key, total: -1}
	d.timer.Init(b.Wheel, d.timeout)
	d.timer.Set(b.Now() + ReassemblyTime)
	if r.datagrams == nil {
		r.datagrams = make(map[datagramKey]*datagram)
	}
	r.datagrams[key] = d
	if d.prev = r.newest; d.prev != nil {
		d.prev.next = d
	} else {
		r.oldest = d
	}
	r.newest = d
	return d
}

// timeout gives a datagram up (RFC 792: only who has the first fragment may say so).
func (d *datagram) timeout() {
	b := d.box
	first := d.fragments.Front()
	if d.headerLen == 0 || b.TimedOut == nil {
		b.fail(d)
		return
	}
	// The error quotes header and the first bytes of the payload.
	quote := first.Bytes()
	quote = quote[:min(len(quote), 8)]
	p := b.Pool.Linear(d.headerLen + len(quote))
	copy(p.Bytes(), d.header[:d.headerLen])
	copy(p.Bytes()[d.headerLen:], quote)
	p.Src, p.Dst, p.Link, p.Broadcast, p.Proto = first.Src, first.Dst, first.Link, first.Broadcast, first.Proto
	p.MarkNetwork()
	b.fail(d)
	b.TimedOut(p)
}

func (b *Box) fail(d *datagram) {
	b.Stats.ReassemblyFailed++
	b.forget(d)
}

func (b *Box) forget(d *datagram) {
	r := &b.reassembly
	d.timer.Stop()
	d.fragments.Release()
	r.memory -= d.memory
	delete(r.datagrams, d.key)
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		r.oldest = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		r.newest = d.prev
	}
}
