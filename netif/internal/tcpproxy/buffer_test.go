package tcpproxy

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// content is n bytes of b from off on.
func content(b *buffer, off, n int) (data []byte) {
	b.each(off, n, func(piece []byte) { data = append(data, piece...) })
	return data
}

func TestBuffer(t *testing.T) {
	var b buffer
	var p pieces
	var want []byte
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		switch rng.IntN(4) {
		case 0:
			data := []byte(text(rng.IntN(100000)))
			b.append(&p, data)
			want = append(want, data...)
		case 1:
			piece := p.get(largePiece)
			piece = append(piece, text(rng.IntN(largePiece))...)
			b.appendPiece(piece)
			want = append(want, piece...)
		case 2:
			n := copy(b.tail(), text(rng.IntN(3000)))
			if n > 0 {
				want = append(want, b.tail()[:n]...)
				b.grow(n)
			}
		case 3:
			n := rng.IntN(min(len(want), 300000) + 1)
			b.discard(&p, n)
			want = want[n:]
		}
		if b.size != len(want) {
			t.Fatalf("step %d: size %d, want %d", i, b.size, len(want))
		}
		off := rng.IntN(len(want) + 1)
		n := rng.IntN(len(want) - off + 1)
		if !bytes.Equal(content(&b, off, n), want[off:off+n]) {
			t.Fatalf("step %d: %d bytes from %d differ", i, n, off)
		}
	}
	b.free(&p)
	if b.size != 0 || len(content(&b, 0, 0)) != 0 {
		t.Error("something is left")
	}
	if len(p.small) > keepSmall || len(p.large) > keepLarge {
		t.Errorf("%d and %d pieces kept", len(p.small), len(p.large))
	}
}

// TestPiecesAreFull checks that little data does not hold much memory, however it comes.
func TestPiecesAreFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		c := r.only()
		r.window = 60000
		r.send(ack, "") // 240000 bytes
		rng := rand.New(rand.NewPCG(3, 4))
		for range 1000 {
			hostWrite(t, fd, text([]int{1, 100, 1000, 20000}[rng.IntN(4)]))
			for range 20 {
				s, ok := r.output()
				if !ok {
					break
				}
				r.ack = s.seq + uint32(len(s.data))
				if rng.IntN(3) == 0 {
					r.send(ack, "")
				}
			}
			held := 0
			for _, piece := range c.send.list {
				held += cap(piece)
			}
			if limit := c.send.size*4/3 + 2*largePiece; held > limit {
				t.Fatalf("%d bytes hold %d", c.send.size, held)
			}
		}
	})
}
