package tcpproxy

import (
	"slices"

	"ukvm.dev/netif"
)

// Sizes of the pieces of a buffer in bytes: connections with little to say need little memory.
const (
	smallPiece = 4 << 10
	largePiece = 64 << 10
)

// pieces keeps memory for buffers. The owner's lock guards it.
type pieces struct{ small, large [][]byte }

// How many unused pieces of a size are kept: what some dozens of connections use with one request each, or a few that move
// much.
const (
	keepSmall = 64
	keepLarge = 16
)

// get returns an empty piece with room for n bytes, or as many as a large one has.
func (p *pieces) get(n int) []byte {
	list, size := &p.small, smallPiece
	if n > smallPiece {
		list, size = &p.large, largePiece
	}
	if last := len(*list) - 1; last >= 0 {
		b := (*list)[last]
		*list = (*list)[:last]
		return b
	}
	return make([]byte, 0, size)
}

func (p *pieces) put(b []byte) {
	list, keep := &p.small, keepSmall
	if cap(b) == largePiece {
		list, keep = &p.large, keepLarge
	}
	if len(*list) < keep {
		*list = append(*list, b[:0])
	}
}

// buffer is a queue of bytes. The zero value is empty.
type buffer struct {
	list [][]byte // pieces; those before head are gone
	head int
	off  int // bytes of list[head] that are gone
	size int
}

// append copies b to the end.
func (b *buffer) append(p *pieces, data []byte) {
	for len(data) > 0 {
		n := copy(b.tail(), data)
		if n == 0 {
			b.list = append(b.list, p.get(len(data)))
			continue
		}
		b.grow(n)
		data = data[n:]
	}
}

// tail is the room behind the end in the last piece. What is written to it is added with grow.
func (b *buffer) tail() []byte {
	if len(b.list) == b.head {
		return nil
	}
	last := b.list[len(b.list)-1]
	return last[len(last):cap(last)]
}

// grow adds n bytes of tail.
func (b *buffer) grow(n int) {
	last := &b.list[len(b.list)-1]
	*last = (*last)[:len(*last)+n]
	b.size += n
}

// appendPiece makes a piece from get, with its content, the end.
func (b *buffer) appendPiece(piece []byte) {
	b.list = append(b.list, piece)
	b.size += len(piece)
}

// discard removes n bytes from the front.
func (b *buffer) discard(p *pieces, n int) {
	b.size -= n
	b.off += n
	for b.head < len(b.list) && b.off >= len(b.list[b.head]) {
		b.off -= len(b.list[b.head])
		p.put(b.list[b.head])
		b.list[b.head] = nil
		b.head++
	}
	switch {
	case b.head == len(b.list):
		b.list, b.head, b.off = b.list[:0], 0, 0
	case b.head >= 64: // never empty: keep the list from growing for ever
		b.list = slices.Delete(b.list, 0, b.head)
		b.head = 0
	}
}

// free removes everything.
func (b *buffer) free(p *pieces) {
	for _, piece := range b.list[b.head:] {
		p.put(piece)
	}
	*b = buffer{}
}

// each calls f with the n bytes from off on, piece by piece.
func (b *buffer) each(off, n int, f func([]byte)) {
	off += b.off
	for _, piece := range b.list[b.head:] {
		if n == 0 {
			return
		}
		if off >= len(piece) {
			off -= len(piece)
			continue
		}
		part := piece[off:min(len(piece), off+n)]
		off = 0
		n -= len(part)
		f(part)
	}
}

// eachOf calls g with the n bytes of a frame from off on, piece by piece.
func eachOf(f *netif.Frame, off, n int, g func([]byte)) {
	for _, piece := range f.Data {
		if n == 0 {
			return
		}
		if off >= len(piece) {
			off -= len(piece)
			continue
		}
		part := piece[off:min(len(piece), off+n)]
		off = 0
		n -= len(part)
		g(part)
	}
}
