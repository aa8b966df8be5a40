package tcp

import "ukvm.dev/guest/net/packet"

// buffer is a send buffer: the bytes from snd.una on, in blocks that segments refer to. A block is released when all of
// it is acknowledged, and reused when also the device is done with the segments that refer to it.
type buffer struct {
	chunks []chunk // those before head are gone
	head   int
	n      int // bytes
	at     int // where the last search ended: chunks[at] begins atOff bytes behind the first byte
	atOff  int
}

type chunk struct {
	buf        *packet.Buf
	start, end int // its bytes are buf.Data[start:end]
}

func (b *buffer) len() int { return b.n }

// append copies data to the end and returns how much memory that took, in bytes.
func (b *buffer) append(pool *packet.Pool, data []byte) (memory int) {
	for len(data) > 0 {
		if b.head < len(b.chunks) {
			// Nobody refers to what lies behind the end of the last block.
			last := &b.chunks[len(b.chunks)-1]
			k := copy(last.buf.Data[last.end:], data)
			last.end += k
			b.n += k
			data = data[k:]
			if len(data) == 0 {
				break
			}
		}
		if b.head > 0 && len(b.chunks) == cap(b.chunks) {
			b.compact()
		}
		// As much as there is to write, or to double what is waiting: few blocks for bulk data, small ones else.
		m := pool.Buf(min(max(len(data), b.n), packet.Large))
		b.chunks = append(b.chunks, chunk{buf: m})
		memory += len(m.Data)
	}
	return memory
}

// compact moves the chunks to the start of the slice.
func (b *buffer) compact() {
	n := copy(b.chunks, b.chunks[b.head:])
	clear(b.chunks[n:])
	b.chunks = b.chunks[:n]
	b.at -= b.head
	b.head = 0
}

// consume removes n bytes from the front and returns how much memory that freed.
func (b *buffer) consume(n int) (memory int) {
	b.n -= n
	b.atOff -= n
	for n > 0 {
		c := &b.chunks[b.head]
		if have := c.end - c.start; n < have {
			c.start += n
			b.atOff = max(b.atOff, 0)
			break
		} else {
			n -= have
		}
		memory += len(c.buf.Data)
		c.buf.Release()
		*c = chunk{}
		b.head++
	}
	if b.at <= b.head {
		b.at, b.atOff = b.head, 0
	}
	if b.head == len(b.chunks) {
		b.chunks, b.head, b.at, b.atOff = b.chunks[:0], 0, 0, 0
	}
	return memory
}

// gather appends n bytes from off on to p by reference.
func (b *buffer) gather(p *packet.Packet, off, n int) {
	if off < b.atOff {
		b.at, b.atOff = b.head, 0
	}
	for n > 0 {
		c := &b.chunks[b.at]
		have := c.end - c.start
		skip := off - b.atOff
		if skip >= have {
			b.at++
			b.atOff += have
			continue
		}
		k := min(have-skip, n)
		p.AddRef(c.buf, c.buf.Data[c.start+skip:c.start+skip+k])
		off += k
		n -= k
	}
}

// clear removes everything and returns how much memory that freed.
func (b *buffer) clear() (memory int) {
	memory = b.consume(b.n)
	*b = buffer{}
	return memory
}
