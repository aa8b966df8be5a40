// Package fragment puts the fragments of datagrams together, for IPv4 (RFC 791 §3.2, RFC 1122 §3.3.2) and IPv6 (RFC 8200
// §4.5) alike: a table of incomplete datagrams with limits on their number, memory and age.
//
// Fragments do not overlap: an overlap, which no honest sender makes, ends the datagram. RFC 5722 §3 demands that for
// IPv6; on IPv4 the attacks are the same. An exact duplicate is ignored.
//
// Not safe for concurrent use: the stack's lock guards it.
package fragment

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
)

// Limits; time in nanoseconds.
const (
	MaxDatagrams = 64      // incomplete datagrams; the oldest makes room
	MaxFragments = 256     // fragments of one datagram: enough for 64 KiB at an MTU of 296
	MaxMemory    = 1 << 20 // of all held fragments in bytes, as Packet.Size counts; the oldest makes room
	MaxHeader    = 64      // bytes of Fragment.Header that are kept
)

// Table holds the fragments of datagrams that are not complete. Exported fields are set before the first use.
type Table struct {
	Lifetime int64 // how long a datagram may take, in nanoseconds
	Now      func() int64
	Wheel    *timer.Wheel
	Pool     *packet.Pool

	// TimedOut, if set, gets the header and the first bytes of a datagram that was not complete in time, if its first
	// fragment has arrived (RFC 792: only who has that may say so), with Packet.Network.
	TimedOut packet.Handler
	// Failed counts datagrams given up: timed out, overlapping, or over a limit.
	Failed uint64

	datagrams map[Key]*datagram
	oldest    *datagram // in order of their first fragment's arrival
	newest    *datagram
	memory    int
}

// Key names a datagram.
type Key struct {
	Src, Dst netip.Addr
	ID       uint32
	Link     int   // IPv6: link-local addresses mean something else on every link
	Proto    uint8 // IPv4
}

// Fragment is one fragment without its headers.
type Fragment struct {
	*packet.Packet
	Header []byte // of the whole datagram, kept from its first fragment, at most MaxHeader bytes
	Offset int    // in bytes
	Last   bool
}

// datagram is one being put together.
type datagram struct {
	table      *Table
	key        Key
	fragments  packet.Queue // by offset, which is in Seq
	header     [MaxHeader]byte
	headerLen  int
	received   int // payload bytes
	total      int // payload length; -1 until the last fragment is here
	memory     int
	timer      timer.Timer
	next, prev *datagram
}

// Add takes a fragment; Offset+Len is at most what a datagram can hold, and Len a multiple of 8 unless it is the last.
// If it was the last one missing, Add returns the datagram with its header in front, in one piece unless it is longer
// than packet.Large.
func (t *Table) Add(key Key, f Fragment) *packet.Packet {
	p, off, n := f.Packet, f.Offset, f.Len()
	d := t.datagrams[key]
	if d == nil {
		if len(t.datagrams) >= MaxDatagrams {
			t.fail(t.oldest)
		}
		d = t.add(key)
	}
	if off == 0 && d.headerLen == 0 {
		d.headerLen = copy(d.header[:], f.Header)
	}
	p.Seq = uint32(off)

	// Find the place: behind the last fragment that begins before p.
	var before *packet.Packet
	after := d.fragments.Front()
	for after != nil && int(after.Seq) < off {
		before, after = after, after.Next
	}
	if after != nil && int(after.Seq) == off && after.Len() == n && (!f.Last || d.total == off+n) {
		p.Release() // a duplicate
		return nil
	}
	bad := before != nil && int(before.Seq)+before.Len() > off || after != nil && off+n > int(after.Seq)
	bad = bad || d.total >= 0 && (f.Last || off+n > d.total) || f.Last && after != nil
	if bad || n == 0 || d.fragments.Len() >= MaxFragments {
		p.Release()
		t.fail(d)
		return nil
	}
	p.Charge = p.Size()
	d.memory += p.Charge
	t.memory += p.Charge
	d.received += n
	if f.Last {
		d.total = off + n
	}
	d.fragments.InsertAfter(before, p)
	if d.received == d.total && d.headerLen > 0 {
		return t.finish(d)
	}
	for t.memory > MaxMemory {
		t.fail(t.oldest)
	}
	return nil
}

// finish makes one packet of a complete datagram: one copy, since it is rare and gather lists are short.
func (t *Table) finish(d *datagram) *packet.Packet {
	first := d.fragments.Front()
	size := d.headerLen + d.total
	p := t.Pool.Receive(min(size, packet.Large))
	p.Truncate(min(size, packet.Large))
	like(p, first)
	var q *packet.Packet // of the longest IPv6 datagrams, what one block has no room for
	data := p.Bytes()
	data = data[copy(data, d.header[:d.headerLen]):]
	for f := first; f != nil; f = f.Next {
		n := f.CopyOut(data)
		if data = data[n:]; n < f.Len() {
			q = t.Pool.Receive(size - packet.Large)
			q.Truncate(size - packet.Large)
			data = q.Bytes()
			f.Trim(n)
			data = data[f.CopyOut(data):]
		}
	}
	if q != nil {
		p.Append(q)
	}
	t.forget(d)
	return p
}

// like gives p the network layer's fields of a fragment.
func like(p, f *packet.Packet) {
	p.Src, p.Dst, p.Link, p.Broadcast = f.Src, f.Dst, f.Link, f.Broadcast
	p.Proto, p.TTL, p.TOS = f.Proto, f.TTL, f.TOS
}

func (t *Table) add(key Key) *datagram {
	d := &datagram{table: t, key: key, total: -1}
	d.timer.Init(t.Wheel, d.timeout)
	d.timer.Set(t.Now() + t.Lifetime)
	if t.datagrams == nil {
		t.datagrams = make(map[Key]*datagram)
	}
	t.datagrams[key] = d
	if d.prev = t.newest; d.prev != nil {
		d.prev.next = d
	} else {
		t.oldest = d
	}
	t.newest = d
	return d
}

// timeout gives a datagram up.
func (d *datagram) timeout() {
	t := d.table
	first := d.fragments.Front()
	if d.headerLen == 0 || first == nil || t.TimedOut == nil {
		t.fail(d)
		return
	}
	// The error quotes header and the first bytes of the payload.
	quote := first.Bytes()
	quote = quote[:min(len(quote), 8)]
	p := t.Pool.Linear(d.headerLen + len(quote))
	copy(p.Bytes(), d.header[:d.headerLen])
	copy(p.Bytes()[d.headerLen:], quote)
	like(p, first)
	p.MarkNetwork()
	t.fail(d)
	t.TimedOut(p)
}

func (t *Table) fail(d *datagram) {
	t.Failed++
	t.forget(d)
}

func (t *Table) forget(d *datagram) {
	d.timer.Stop()
	d.fragments.Release()
	t.memory -= d.memory
	delete(t.datagrams, d.key)
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		t.oldest = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		t.newest = d.prev
	}
}

// Len is the number of incomplete datagrams, Memory what their fragments take, in bytes.
func (t *Table) Len() int { return len(t.datagrams) }

// Memory is what the held fragments take, in bytes.
func (t *Table) Memory() int { return t.memory }
