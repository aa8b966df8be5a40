//go:build !race

package ring

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"ukvm.dev/hypercall"
)

// TestChanging reads a queue that another processor changes all the time, which a guest's cannot, and the rules about
// values that are loaded once must stand all the same. It is one big data race.
func TestChanging(t *testing.T) {
	b, g := aligned()
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for r := rand.New(rand.NewPCG(2, 2)); !stop.Load(); {
			i := r.IntN(hypercall.QueueLen)
			g.Desc[i] = hypercall.Desc{Addr: hypercall.GVA(r.Uint64()), Len: r.Uint32(), Flags: uint16(r.IntN(5)), Next: uint16(r.IntN(260))}
			g.Avail.Index = uint16(r.IntN(400))
			g.Avail.Ring[i] = uint16(r.IntN(260))
		}
	}()
	q := New(b)
	buffers := make([]Buffer, 0, hypercall.QueueLen)
	good, bad := 0, 0
	for deadline := time.Now().Add(30 * time.Second); good+bad < 100000 || (good == 0 || bad == 0) && time.Now().Before(deadline); {
		n, err := q.Waiting()
		if err != nil && !errors.Is(err, ErrIndex) || n < 0 || n > hypercall.QueueLen {
			t.Fatalf("%d waiting, %v", n, err)
		}
		got, err := q.Chain(buffers[:0], q.Head(0), false)
		if len(got) > hypercall.QueueLen || err != nil && !errors.Is(err, ErrChain) {
			t.Fatalf("%d buffers, %v", len(got), err)
		}
		if err == nil {
			good++
		} else {
			bad++
		}
	}
	stop.Store(true)
	<-done
	if good == 0 || bad == 0 {
		t.Errorf("%d good chains and %d bad ones: nothing has changed", good, bad)
	}
}
