package clock

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"ukvm.dev/hypercall"
)

// counter is a time-stamp counter of rate ticks a ns, that can be set.
type counter struct {
	rate   float64
	offset int64
	err    error
}

func (c *counter) read() (uint64, error) {
	return uint64(float64(Monotonic())*c.rate) + uint64(c.offset), c.err
}

// show is what a guest reads at a counter value, by the formula of hypercall.Clock.
func show(page *hypercall.Clock, tsc uint64) uint64 {
	hi, lo := bits.Mul64(tsc-page.TSC, page.Mult)
	return page.Monotonic + (hi<<32 | lo>>32)
}

func newClock(t *testing.T, c *counter, khz uint64) (*Clock, *hypercall.Clock) {
	t.Helper()
	page := new(hypercall.Clock)
	k, err := New(page, khz, c.read)
	if err != nil {
		t.Fatal(err)
	}
	return k, page
}

func TestStart(t *testing.T) {
	c := &counter{rate: 3}
	if _, err := New(new(hypercall.Clock), 0, c.read); err == nil {
		t.Error("a counter of unknown frequency was accepted")
	}
	c.err = errors.New("no counter")
	if _, err := New(new(hypercall.Clock), 3_000_000, c.read); !errors.Is(err, c.err) {
		t.Errorf("no counter: %v", err)
	}
	c.err = nil
	before, beforeReal := Monotonic(), time.Now().UnixNano()
	k, page := newClock(t, c, 3_000_000)
	after, afterReal := Monotonic(), time.Now().UnixNano()
	if page.Monotonic != hypercall.ClockStart || page.Seq%2 != 0 || page.Seq == 0 {
		t.Errorf("%+v", *page)
	}
	if h := k.Host(hypercall.ClockStart); h < before || h > after {
		t.Errorf("the guest's clock started at %d, not between %d and %d", h, before, after)
	}
	if real := int64(page.Realtime + page.Monotonic); real < beforeReal || real > afterReal {
		t.Errorf("the guest's date is %d, not between %d and %d", real, beforeReal, afterReal)
	}
	if k.Due(after) || !k.Due(after+interval) {
		t.Error("an update is due at once, or not in time")
	}
	c.err = errors.New("no counter")
	if err := k.Update(); !errors.Is(err, c.err) {
		t.Errorf("no counter: %v", err)
	}
}

// TestFollows: whatever rate the counter really has, within what oscillators do, the guest's clock stays with the
// host's, and never goes back.
func TestFollows(t *testing.T) {
	for _, ppm := range []float64{0, 40, -40, 300} {
		t.Run(fmt.Sprint(ppm), func(t *testing.T) {
			t.Parallel()
			follow(t, ppm)
		})
	}
}

func follow(t *testing.T, ppm float64) {
	c := &counter{rate: 2.5 * (1 + ppm/1e6)}
	k, page := newClock(t, c, 2_500_000)
	last := uint64(0)
	for begin := Monotonic(); Monotonic()-begin < 1_400_000_000; {
		time.Sleep(20 * time.Millisecond)
		tsc, _ := c.read()
		seen := show(page, tsc)
		if seen < last {
			t.Fatalf("the clock has gone from %d to %d", last, seen)
		}
		if err := k.Update(); err != nil {
			t.Fatal(err)
		}
		if now := show(page, page.TSC); now < seen {
			t.Fatalf("an update has set the clock from %d to %d", seen, now)
		}
		last = seen
	}
	// Read on both sides as closely as the machine allows. The error is what accumulates between two updates.
	best := int64(1 << 62)
	for range 1000 {
		before := Monotonic()
		tsc, _ := c.read()
		d := k.Host(show(page, tsc)) - before
		best = min(best, max(d, -d))
	}
	if best > 200_000 {
		t.Errorf("the guest's clock is off by %d ns", best)
	}
}

// TestJumps: a counter that was reset or has jumped, as when the host slept, makes the guest's clock stand still or jump
// ahead, and never go back.
func TestJumps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	c := &counter{rate: 2}
	k, page := newClock(t, c, 2_000_000)
	for step := range 300 {
		tsc, _ := c.read()
		seen := page.Monotonic
		if tsc >= page.TSC {
			seen = show(page, tsc)
		}
		jumped := r.IntN(4) == 0
		if jumped {
			c.offset = int64(r.Uint64N(1<<40)) - 1<<39 + 1<<41
		}
		if err := k.Update(); err != nil {
			t.Fatal(err)
		}
		if !jumped && page.Monotonic < seen || page.Monotonic < hypercall.ClockStart || page.Seq%2 != 0 {
			t.Fatalf("step %d: the clock is set from %d to %d", step, seen, page.Monotonic)
		}
		if page.Mult == 0 || page.Mult > 64<<32 {
			t.Fatalf("step %d: %d/2³² ns a tick", step, page.Mult)
		}
	}
}
