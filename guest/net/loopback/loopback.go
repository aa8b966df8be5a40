// Package loopback is the interface of a host to itself: what is sent comes back. Not safe for concurrent use: the
// stack's lock guards it.
package loopback

import "ukvm.dev/guest/net/packet"

// MTU is the largest IP packet the loopback interface carries, in bytes.
const MTU = 65535

// TSO is the largest TCP payload it takes in one packet: with the longest headers it still is an IPv4 packet.
const TSO = 65535 - 60 - 60

// QueueMax is how many packets may be on their way at a time; further ones are dropped.
const QueueMax = 4096

// copyMax is the length up to which packets are copied rather than passed on by reference: a short one would keep a
// whole block of the sender's buffer alive, and cannot be merged with its neighbours by the receiver.
const copyMax = packet.Small - packet.HeadRoom

// Stats counts packets, with IncludeOS's names in the comments.
type Stats struct {
	PacketsRx    uint64 // packets_rx
	PacketsTx    uint64 // packets_tx
	BytesRx      uint64
	BytesTx      uint64
	SendqDropped uint64 // sendq_dropped
}

// Box is the box. Receive is set by the stack's wiring.
type Box struct {
	Receive packet.Handler // up: IP packets
	Pool    *packet.Pool
	Link    int // index of the interface
	Stats   Stats

	queue packet.Queue
}

// Output queues an IP packet. It is not delivered at once, so that no box is entered while it is running.
func (b *Box) Output(p *packet.Packet) {
	b.Stats.PacketsTx++
	b.Stats.BytesTx += uint64(p.Len())
	if b.queue.Len() >= QueueMax {
		b.Stats.SendqDropped++
		p.Release()
		return
	}
	if p.Len() <= copyMax {
		q := b.Pool.Receive(packet.Small) // so that short ones can be merged
		q.Truncate(p.CopyOut(q.Bytes()))
		q.Net = p.Net // the checksum stays uncompleted: nothing was on a wire
		p.Release()
		p = q
	}
	b.queue.Push(p)
}

// Deliver hands up the packets that were queued when it was called, and reports whether there were any.
func (b *Box) Deliver() bool {
	n := b.queue.Len()
	for range n {
		p := b.queue.Pop()
		p.Link = b.Link
		p.Broadcast = false
		b.Stats.PacketsRx++
		b.Stats.BytesRx += uint64(p.Len())
		b.Receive(p)
	}
	return n > 0
}
