package timer

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAgainstModel compares the wheel with a list of deadlines.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		var (
			w     Wheel
			now   = r.Int64N(1 << 50)
			model = map[*Timer]int64{}
			fired = map[*Timer]bool{}
			last  int64
		)
		w.Advance(now)
		timers := make([]Timer, 200)
		for i := range timers {
			tm := &timers[i]
			tm.Init(&w, func() {
				if due := model[tm]; due > now {
					t.Fatalf("seed %d: fired at %d, due %d", seed, now, due)
				} else if due/tick < last/tick-1 && due > last {
					t.Fatalf("seed %d: out of order", seed)
				} else {
					last = due
				}
				fired[tm] = true
				delete(model, tm)
			})
		}
		span := []int64{10 * tick, 100 * tick, 5_000 * tick, 300_000 * tick, 100_000_000 * tick, 5_000_000_000 * tick}
		for range 3000 {
			tm := &timers[r.IntN(len(timers))]
			switch r.IntN(4) {
			case 0:
				tm.Stop()
				delete(model, tm)
			default:
				at := now + r.Int64N(span[r.IntN(len(span))]) - tick
				tm.Set(at)
				model[tm] = at
			}
			if r.IntN(3) == 0 {
				now += r.Int64N(span[r.IntN(4)])
				last = 0
				w.Advance(now)
				for tm, due := range model {
					if due <= now-2*tick { // it may have been set a tick late
						t.Fatalf("seed %d: due %d, not fired at %d", seed, due, now)
					}
					if !tm.Active() || tm.When() != due {
						t.Fatalf("seed %d: timer inactive, or due %d instead of %d", seed, tm.When(), due)
					}
				}
			}
			if w.Len() != len(model) {
				t.Fatalf("seed %d: %d timers, want %d", seed, w.Len(), len(model))
			}
		}
		// Next must lead to every deadline, without a look in between.
		for steps := 0; w.Len() > 0; steps++ {
			next, ok := w.Next()
			if !ok || next <= now-tick || steps > 5*len(timers) {
				t.Fatalf("seed %d: next %d %v at %d after %d steps, %d timers left", seed, next, ok, now, steps, w.Len())
			}
			now = next
			w.Advance(now)
		}
		if _, ok := w.Next(); ok {
			t.Fatal("an empty wheel has something to do")
		}
	}
}

// TestNext: as long as timers are few, Next is when one fires, and at no other time must anyone look.
func TestNext(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		var w Wheel
		now := r.Int64N(1 << 50)
		w.Advance(now)
		fired := 0
		timers := make([]Timer, 1+r.IntN(lookAt))
		first := int64(math.MaxInt64)
		for i := range timers {
			timers[i].Init(&w, func() { fired++ })
			timers[i].Set(now + r.Int64N(tick<<r.IntN(24)))
			first = min(first, timers[i].When())
		}
		for left := len(timers); left > 0; left = w.Len() {
			next, ok := w.Next()
			if !ok || next < first || next > max(first, now)+2*tick {
				t.Fatalf("next %d, %v; the first is due at %d, now %d", next, ok, first, now)
			}
			now = next
			w.Advance(now)
			if fired+w.Len() != len(timers) || w.Len() == left {
				t.Fatalf("%d fired, %d are left of %d", fired, w.Len(), len(timers))
			}
			first = math.MaxInt64
			for i := range timers {
				if timers[i].Active() {
					first = min(first, timers[i].When())
				}
			}
		}
	}
}

// TestNextOfMany: with many timers in a slot Next may be early, never late.
func TestNextOfMany(t *testing.T) {
	var w Wheel
	fired := 0
	timers := make([]Timer, 10*lookAt)
	for i := range timers {
		timers[i].Init(&w, func() { fired++ })
		timers[i].Set(int64(90+i%20) * tick)
	}
	for steps := 0; fired == 0; steps++ {
		next, ok := w.Next()
		if !ok || next > 90*tick || steps > 2 {
			t.Fatalf("next %d, %v, step %d", next, ok, steps)
		}
		w.Advance(next)
	}
	if n := len(timers) / 20; fired != n {
		t.Errorf("%d have fired, want %d", fired, n)
	}
}

func BenchmarkNext(b *testing.B) {
	var w Wheel
	timers := make([]Timer, 1000)
	for i := range timers {
		timers[i].Init(&w, func() {})
		timers[i].Set(int64(200+i%40) * tick)
	}
	for b.Loop() {
		if _, ok := w.Next(); !ok {
			b.Fatal("there are no timers")
		}
	}
}

func TestSetFromFunction(t *testing.T) {
	var w Wheel
	n := 0
	var a, b Timer
	a.Init(&w, func() {
		if n++; n < 5 {
			a.Set(int64(n) * tick) // the past, or now: fires in the same Advance as long as there is time
		}
		b.Stop()
	})
	b.Init(&w, func() { t.Error("stopped timer fired") })
	a.Set(tick)
	b.Set(2 * tick)
	w.Advance(100 * tick)
	if n != 5 || w.Len() != 0 {
		t.Errorf("fired %d times, %d left", n, w.Len())
	}
}

func BenchmarkSet(b *testing.B) {
	var w Wheel
	timers := make([]Timer, 100_000)
	for i := range timers {
		timers[i].Init(&w, func() {})
		timers[i].Set(int64(i) * tick)
	}
	b.ResetTimer()
	for i := range b.N {
		timers[i%len(timers)].Set(int64(i%7_000_000) * tick)
	}
}
