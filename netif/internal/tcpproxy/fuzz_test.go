package tcpproxy

import (
	"math/rand/v2"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// FuzzGuest lets a guest that knows the rules break them, and compares what the host gets with what was sent in order.
func FuzzGuest(f *testing.F) {
	f.Add(uint64(1), uint16(200))
	f.Add(uint64(2), uint16(2000))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint16) {
		r, fd := opened(t, 1500, options...)
		rng := rand.New(rand.NewPCG(seed, 0))
		stream := text(1 << 16)
		start := r.seq
		var got strings.Builder
		toGuest := text(1 << 16)
		written := 0
		for range min(steps, 3000) {
			c := r.only()
			if c == nil || c.state != established {
				return // it was reset, or has ended
			}
			switch rng.IntN(12) {
			case 0:
				if s, ok := r.output(); ok && s.seq == r.ack {
					r.ack += uint32(len(s.data))
				}
			case 1:
				n := min(rng.IntN(3000), len(toGuest)-written)
				hostWrite(t, fd, toGuest[written:written+n])
				written += n
			case 2:
				data, _ := hostRead(t, fd)
				got.WriteString(data)
			case 3: // anything
				r.input(segment{
					flags: []header.TCPFlags{0, ack, syn, ackSyn, ackFin, ackPsh}[rng.IntN(6)], seq: r.seq + rng.Uint32N(5) - 2,
					ack: r.ack + rng.Uint32N(5) - 2, window: uint16(rng.Uint32()), data: text(rng.IntN(10)),
				})
				return
			default: // a piece of the stream, from anywhere near
				at := max(0, int(c.rcv-start)+rng.IntN(200)-100)
				n := min(rng.IntN(300), len(stream)-at)
				if n < 0 {
					return
				}
				r.input(segment{flags: ack, seq: start + uint32(at), ack: r.ack, window: uint16(rng.IntN(1000)), data: stream[at : at+n]})
			}
			if c.send.size > maxShare+largePiece || c.pend.size > maxShare {
				t.Fatalf("%d bytes wait for the guest, %d for the host", c.send.size, c.pend.size)
			}
		}
		data, _ := hostRead(t, fd)
		got.WriteString(data)
		if !strings.HasPrefix(stream, got.String()) {
			t.Errorf("the host got something else than was sent")
		}
	})
}
