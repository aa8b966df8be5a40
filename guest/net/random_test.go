package net

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
)

// randomWorld makes a link with faults of all kinds, and two hosts with whatever features.
func randomWorld(t *testing.T, seed uint64) (*world, *rand.Rand) {
	r := rand.New(rand.NewPCG(seed, 99))
	f := nettest.Faults{Delay: 1 + r.Int64N(30_000_000)}
	if r.IntN(2) == 0 {
		f.Loss = r.Float64() * 0.05
	}
	if r.IntN(2) == 0 {
		f.Reorder, f.Late = r.Float64()*0.3, 1+r.Int64N(100_000_000)
	}
	if r.IntN(2) == 0 {
		f.Duplicate = r.Float64() * 0.3
	}
	if r.IntN(3) == 0 {
		f.Corrupt = r.Float64() * 0.05
	}
	if r.IntN(2) == 0 {
		f.Jitter = 1 + r.Int64N(10_000_000)
	}
	if r.IntN(3) == 0 {
		f.Rate, f.Queue = 20_000+r.Int64N(10_000_000), r.Int64N(1_000_000_000)
	}
	return newWorld(t, seed, f, []nic.Features{{}, offload, {TxChecksum: true}}[r.IntN(3)]), r
}

// worlds is how many random worlds a test tries.
func worlds() uint64 {
	if raceEnabled {
		return 20
	}
	return 300
}

// TestRandomTransfers moves data both ways in random worlds, with random options.
func TestRandomTransfers(t *testing.T) {
	for seed := range worlds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, r := randomWorld(t, seed)
			a, b := w.pair(80)
			if r.IntN(3) == 0 {
				a.must(a.SetOption(solSocket, soRcvBuf, []byte{0, byte(r.IntN(100)), 0, 0}))
				b.must(b.SetOption(solSocket, soSndBuf, []byte{0, byte(r.IntN(100)), 0, 0}))
			}
			if r.IntN(2) == 0 {
				a.must(a.SetOption(solTCP, tcpNoDelay, []byte{1, 0, 0, 0}))
			}
			w.transfer(a, b, 50_000+r.IntN(200_000))
			a.must(a.Close())
			b.must(b.Close())
			w.clock.Run(2000 * seconds)
			w.finish()
		})
	}
}

// TestRandomCloses ends connections in the middle of a transfer, in all ways: nothing must stay behind.
func TestRandomCloses(t *testing.T) {
	for seed := range worlds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, r := randomWorld(t, seed)
			a, b := w.pair(80)
			there, back := &pump{from: a, to: b, size: 1 << 20}, &pump{from: b, to: a, size: 1 << 20}
			w.clock.RunUntil(r.Int64N(20*seconds), func() bool {
				there.run()
				back.run()
				return there.complete && back.complete
			})
			for _, s := range []*sock{a, b} {
				switch r.IntN(5) {
				case 0:
					s.must(s.SetOption(solSocket, soLinger, []byte{1, 0, 0, 0, byte(r.IntN(3)), 0, 0, 0}))
				case 1:
					s.Shutdown(r.IntN(3))
				case 2:
					s.Send(make([]byte, r.IntN(100_000)), ap("0.0.0.0:0"), 0)
				}
				w.clock.Run(r.Int64N(3 * seconds))
				s.must(s.Close())
			}
			if r.IntN(3) == 0 {
				w.link.A.Tap = func([]byte) bool { return false } // and the cable is pulled
			}
			w.clock.Run(2000 * seconds)
			w.finish()
		})
	}
}
