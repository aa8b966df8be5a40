package packet

import (
	"sync"
	"sync/atomic"
)

// Sizes of pooled memory in bytes. A request gets the smallest that fits.
const (
	Tiny   = 256      // a short datagram
	Small  = 2 << 10  // a received frame at the usual MTU, a small write
	Medium = 16 << 10 // a send buffer of moderate use
	Large  = 64 << 10 // bulk data, reassembly: the greatest IPv4 packet
)

var classes = [...]int{Tiny, Small, Medium, Large}

// Pool recycles packets and the memory they refer to. What is not used for two garbage collections is given back to the
// heap. The zero Pool is ready for use; it is safe for concurrent use.
type Pool struct {
	packets sync.Pool
	bufs    [len(classes)]sync.Pool
}

// Buf is a block of memory with a count of its users: the sending connection that may have to repeat what is in it, and
// every packet on its way that refers to it. The last one to release it gives it back to its pool, so a block is never
// reused while a device may still read it. Safe for concurrent use.
type Buf struct {
	Data  []byte // the whole block
	refs  atomic.Int32
	class int8
	pool  *Pool
}

// Buf returns a block of at least n bytes, n ≤ Large, with one reference. Its contents are arbitrary.
func (pl *Pool) Buf(n int) *Buf {
	for i, size := range classes {
		if n > size {
			continue
		}
		b, _ := pl.bufs[i].Get().(*Buf)
		if b == nil {
			b = &Buf{Data: make([]byte, size), class: int8(i), pool: pl}
		}
		b.refs.Store(1)
		return b
	}
	panic("BUG: packet: block larger than Large")
}

// Retain adds a reference.
func (b *Buf) Retain() { b.refs.Add(1) }

// Release drops a reference.
func (b *Buf) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		b.pool.bufs[b.class].Put(b)
	case n < 0:
		panic("BUG: packet: block released twice")
	}
}

// Shared reports whether there are other references than the caller's.
func (b *Buf) Shared() bool { return b.refs.Load() > 1 }

func (pl *Pool) packet() *Packet {
	p, _ := pl.packets.Get().(*Packet)
	if p == nil {
		p = new(Packet)
		p.rest = p.few[:0]
	}
	p.pool = pl
	return p
}

// Headers returns an empty packet with HeadRoom bytes of room for headers, to which payload is added by reference.
func (pl *Pool) Headers() *Packet {
	p := pl.packet()
	p.mem, p.off, p.end = p.room[:], HeadRoom, HeadRoom
	return p
}

// Linear returns a packet of n bytes of arbitrary contents in one piece, with HeadRoom bytes of room before them;
// n+HeadRoom ≤ Large.
func (pl *Pool) Linear(n int) *Packet {
	p := pl.packet()
	p.buf = pl.Buf(HeadRoom + n)
	p.mem, p.off, p.end, p.length = p.buf.Data, HeadRoom, HeadRoom+n, n
	return p
}

// Receive returns a packet for a device to fill: Bytes is the whole of a block of at least n bytes; Truncate says how
// much of it has been filled.
func (pl *Pool) Receive(n int) *Packet {
	p := pl.packet()
	p.buf = pl.Buf(n)
	p.mem, p.off, p.end, p.length = p.buf.Data, 0, len(p.buf.Data), len(p.buf.Data)
	return p
}
