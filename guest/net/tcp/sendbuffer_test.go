package tcp

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ukvm.dev/guest/net/packet"
)

// TestSendBufferModel compares the send buffer with a byte slice, while packets that refer to it come and go.
func TestSendBufferModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var (
			pool   packet.Pool
			b      buffer
			model  []byte
			memory int
			flying []*packet.Packet
			wants  [][]byte
		)
		for range 1000 {
			switch r.IntN(4) {
			case 0, 1:
				data := make([]byte, r.IntN(1<<r.IntN(17)))
				for i := range data {
					data[i] = byte(r.Uint32())
				}
				if len(model)+len(data) > 1<<20 {
					continue
				}
				memory += b.append(&pool, data)
				model = append(model, data...)
			case 2:
				n := r.IntN(len(model) + 1)
				memory -= b.consume(n)
				model = model[n:]
			case 3:
				if len(model) == 0 {
					continue
				}
				off := r.IntN(len(model))
				n := 1 + r.IntN(min(len(model)-off, 60000))
				p := pool.Headers()
				b.gather(p, off, n)
				flying = append(flying, p)
				wants = append(wants, bytes.Clone(model[off:off+n]))
			}
			if b.len() != len(model) {
				t.Fatalf("seed %d: %d bytes, want %d", seed, b.len(), len(model))
			}
			for len(flying) > 5 {
				got := make([]byte, flying[0].Len())
				flying[0].CopyOut(got)
				if !bytes.Equal(got, wants[0]) {
					t.Fatalf("seed %d: a packet on its way has changed", seed)
				}
				flying[0].Release()
				flying, wants = flying[1:], wants[1:]
			}
		}
		if memory -= b.clear(); memory != 0 {
			t.Fatalf("seed %d: %d bytes of memory unaccounted for", seed, memory)
		}
	}
}
