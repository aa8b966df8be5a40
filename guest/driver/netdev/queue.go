package netdev

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
)

// queue is the guest's end of one queue: free descriptors, and for each chain under way the packet it describes.
type queue struct {
	mem     *hypercall.Queue
	avail   uint16 // Avail.Index
	used    uint16 // up to where Used has been looked at
	free    uint16 // list of free descriptors by Next
	nfree   int
	packets [hypercall.QueueLen]*packet.Packet // by head of chain
}

func (q *queue) init(mem *hypercall.Queue) {
	q.mem = mem
	for i := range mem.Desc {
		mem.Desc[i].Next = uint16(i + 1)
	}
	q.nfree = len(mem.Desc)
}

// pieces is how many descriptors a packet takes.
func pieces(p *packet.Packet) (n int) {
	for i := range p.Pieces() {
		if len(p.Piece(i)) > 0 {
			n++
		}
	}
	return n
}

// offer makes a packet's memory available to the monitor. The caller has checked that there are descriptors enough.
func (q *queue) offer(p *packet.Packet, flags uint16) {
	head := q.free
	var last *hypercall.Desc
	for i := range p.Pieces() {
		b := p.Piece(i)
		if len(b) == 0 {
			continue
		}
		last = &q.mem.Desc[q.free]
		last.Addr, last.Len, last.Flags = addressOf(b), uint32(len(b)), flags|hypercall.DescNext
		q.free = last.Next
		q.nfree--
	}
	last.Flags = flags
	q.packets[head] = p
	q.mem.Avail.Ring[q.avail%hypercall.QueueLen] = head
	q.avail++
	q.mem.Avail.Index = q.avail
}

// take returns the next packet the monitor is done with, and how many bytes it wrote into it; nil if there is none.
func (q *queue) take() (p *packet.Packet, written int) {
	if q.used == q.mem.Used.Index {
		return nil, 0
	}
	e := q.mem.Used.Ring[q.used%hypercall.QueueLen]
	q.used++
	head := uint16(e.ID)
	p = q.packets[head]
	q.packets[head] = nil
	end := head
	q.nfree++
	for q.mem.Desc[end].Flags&hypercall.DescNext != 0 {
		end = q.mem.Desc[end].Next
		q.nfree++
	}
	q.mem.Desc[end].Next = q.free
	q.free = head
	return p, int(e.Len)
}
