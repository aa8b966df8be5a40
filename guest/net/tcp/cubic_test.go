package tcp

import (
	"math"
	"testing"
)

// grow has CUBIC acknowledge whole windows for a time, one in each round trip, and returns the window in segments.
func grow(w *Window, from, d int64) float64 {
	for now := from; now <= from+d; now += w.RTT {
		Cubic.Acked(w, w.Size, now)
	}
	return float64(w.Size) / float64(w.MSS)
}

// TestCubicGrowth follows the window after a loss at 1000 segments: where the function of time of RFC 9438 §4.2 is.
func TestCubicGrowth(t *testing.T) {
	const mss, rtt = 1000, 100 * millisecond
	k := math.Cbrt(1000 * 0.3 / 0.4)
	for _, at := range []float64{0.25, 0.5, 1, 1.5, 2} {
		w := &Window{Size: 1000 * mss, Threshold: maxWindow, MSS: mss, RTT: rtt}
		Cubic.Lost(w, w.Size, 0)
		if w.Threshold != 700*mss {
			t.Fatalf("threshold %d", w.Threshold)
		}
		w.Size = w.Threshold
		want := 0.4*math.Pow(at*k-k, 3) + 1000
		if got := grow(w, 5*second, int64(at*k*second)); math.Abs(got-want) > 0.02*want {
			t.Errorf("after %.2f K: %.1f segments, want %.1f", at, got, want)
		}
	}
}

// TestCubicReno is where windows are small and round trips short: CUBIC must not be slower than NewReno would be (RFC
// 9438 §4.3), by α = 0.53 segments a round trip until the window of the loss is reached, by one from there on.
func TestCubicReno(t *testing.T) {
	w := &Window{Size: 20_000, Threshold: maxWindow, MSS: 1000, RTT: 10 * millisecond}
	Cubic.Lost(w, w.Size, 0)
	w.Size = w.Threshold
	if got := grow(w, second, 10*w.RTT); math.Abs(got-(14+11*cubicAlpha)) > 0.1 {
		t.Errorf("after 10 round trips: %.2f segments", got)
	}
	before := grow(w, 2*second, 0)
	if before = grow(w, 2*second, 5*w.RTT); before < 17 {
		t.Errorf("%.2f segments", before)
	}
	for now := int64(3 * second); w.Size < 21_000; now += w.RTT {
		Cubic.Acked(w, w.Size, now)
	}
	start := float64(w.Size) / 1000
	if got := grow(w, 4*second, 4*w.RTT) - start; math.Abs(got-5) > 0.2 {
		t.Errorf("beyond the old window: %.2f segments in 5 round trips", got)
	}
}

// TestCubicConvergence has a second loss below the window of the first: the maximum aimed at goes down (RFC 9438 §4.7).
func TestCubicConvergence(t *testing.T) {
	w := &Window{Size: 100_000, MSS: 1000, RTT: 10 * millisecond}
	Cubic.Lost(w, 100_000, 0)
	Cubic.Lost(w, 80_000, 0)
	if math.Abs(w.cubic.max-80*0.85) > 0.01 || w.Threshold != 56_000 {
		t.Errorf("maximum %.1f, threshold %d", w.cubic.max, w.Threshold)
	}
}

// TestCubicPause has the program send nothing for a minute: the window does not jump afterwards (RFC 9438 §5.8).
func TestCubicPause(t *testing.T) {
	w := &Window{Size: 1000_000, Threshold: maxWindow, MSS: 1000, RTT: 100 * millisecond}
	Cubic.Lost(w, w.Size, 0)
	w.Size = w.Threshold
	before := grow(w, second, second)
	if after := grow(w, 62*second, 100*millisecond); after > before+60 {
		t.Errorf("from %.1f to %.1f segments", before, after)
	}
}

// TestHyStart has round trips grow after some rounds: slow start is slowed, and ends after five rounds (RFC 9406 §4.3).
func TestHyStart(t *testing.T) {
	for _, c := range []struct {
		name          string
		trip          func(round int) int64 // ms
		slowed, ended int                   // in which round; 0: never
	}{
		{"steady", func(int) int64 { return 40 }, 0, 0},
		{"a little", func(r int) int64 { return 40 + min(int64(r), 4) }, 0, 0},
		{"queue", func(r int) int64 { return 40 + 6*int64(max(r-3, 0)) }, 4, 8}, // the round it began in counts,
		{"for a moment", func(r int) int64 { return 40 + 10*int64(r%6/5) }, 5, 0},
	} {
		h := hystart{end: 100}
		una, slowed, ended := seq(0), 0, 0
		for round := 0; round < 20 && ended == 0; round++ {
			for i := range 10 {
				una += 10
				n, done := h.measure(1000, c.trip(round)*millisecond, una, una+100)
				switch {
				case done:
					ended = round
				case n == 250 && slowed == 0:
					slowed = round
				case n != 1000 && n != 250:
					t.Fatalf("%s: round %d, ACK %d: %d", c.name, round, i, n)
				}
			}
		}
		if slowed != c.slowed || ended != c.ended {
			t.Errorf("%s: slowed in round %d, ended in round %d, want %d and %d", c.name, slowed, ended, c.slowed, c.ended)
		}
	}
}
