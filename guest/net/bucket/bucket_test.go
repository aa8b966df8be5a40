package bucket

import (
	"math/rand/v2"
	"testing"
)

// tokens is the bucket of the textbook, in fractions of a nanosecond's worth.
type tokens struct{ have, last int64 }

func (k *tokens) take(now, cost, burst int64) bool {
	k.have = min(k.have+now-k.last, cost*burst)
	k.last = now
	if k.have < cost {
		return false
	}
	k.have -= cost
	return true
}

// TestTake compares with tokens that are counted, at random times and rates.
func TestTake(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		cost, burst := 1+r.Int64N(1e9), 1+r.Int64N(50)
		var b Bucket
		k := tokens{have: cost * burst}
		now, taken := int64(0), 0
		for range 1000 {
			switch r.IntN(10) {
			case 0:
				now += r.Int64N(2 * cost * burst)
			default:
				now += r.Int64N(2 * cost)
			}
			got := b.Take(now, cost, burst)
			if want := k.take(now, cost, burst); got != want {
				t.Fatalf("once in %d ns, %d at once: %v at %d, want %v", cost, burst, got, now, want)
			}
			if got {
				taken++
			}
		}
		if taken == 0 {
			t.Fatal("nothing has passed")
		}
	}
}

// TestTime: a clock that stands gives nothing.
func TestTime(t *testing.T) {
	var b Bucket
	n := 0
	for range 100 {
		if b.Take(1e9, Second(10), 3) {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d have passed, want 3", n)
	}
}
