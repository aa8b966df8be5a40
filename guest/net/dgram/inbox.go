// Package dgram is what datagram end points (UDP, ping) have in common: the queue of what has arrived. Not safe for
// concurrent use: the stack's lock guards it.
package dgram

import "ukvm.dev/guest/net/packet"

// Inbox holds received datagrams until they are read, up to Limit bytes of memory. The zero Inbox takes nothing.
type Inbox struct {
	Limit      int  // bytes, as packet.Size counts: whole blocks, so that many short datagrams cannot take more than they say
	Total      *int // if set, the sum over all inboxes of the stack, in bytes, bounded by TotalLimit
	TotalLimit int
	Dropped    uint64 // datagrams there was no room for

	queue packet.Queue
	used  int
}

// Push takes a datagram. If there is no room for it, it releases it and returns false.
func (b *Inbox) Push(p *packet.Packet) bool {
	p.Shrink()
	size := p.Size()
	if b.used+size > b.Limit || b.Total != nil && *b.Total+size > b.TotalLimit {
		b.Dropped++
		p.Release()
		return false
	}
	p.Charge = size
	b.used += size
	if b.Total != nil {
		*b.Total += size
	}
	b.queue.Push(p)
	return true
}

// Front returns the oldest datagram without taking it, nil if there is none.
func (b *Inbox) Front() *packet.Packet { return b.queue.Front() }

// Drop releases the oldest datagram.
func (b *Inbox) Drop() { b.Take().Release() }

// Take takes the oldest datagram, nil if there is none. It is the caller's to release.
func (b *Inbox) Take() *packet.Packet {
	p := b.queue.Pop()
	if p == nil {
		return nil
	}
	b.used -= p.Charge
	if b.Total != nil {
		*b.Total -= p.Charge
	}
	return p
}

// Len is the number of datagrams that wait.
func (b *Inbox) Len() int { return b.queue.Len() }

// Clear releases all.
func (b *Inbox) Clear() {
	for b.queue.Len() > 0 {
		b.Drop()
	}
}
