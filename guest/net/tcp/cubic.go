package tcp

import "math"

// Cubic is CUBIC (RFC 9438): after a loss the window grows along a cubic function of time, fast at first, slowly around
// where the loss was, fast again beyond; but never more slowly than NewReno's would. Slow start is left by HyStart++.
var Cubic = &Congestion{
	Name:    "cubic",
	HyStart: true,
	Acked:   cubicAcked,
	Lost:    cubicLost,
}

// Constants of RFC 9438.
const (
	cubicC     = 0.4                                   // §4.6: segments per second³
	cubicBeta  = 0.7                                   // §4.6
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta) // §4.3: as fair as NewReno
)

// cubic is CUBIC's state. Windows are segments, times seconds.
type cubic struct {
	begun    bool    // the growth since the last loss
	epoch    int64   // when it began, nanoseconds, without pauses
	last     int64   // when the window was the limit last
	max      float64 // W_max: the window at the last loss
	prior    float64 // cwnd_prior
	k        float64 // K: how long until W_max is reached again
	estimate float64 // W_est: NewReno's window
}

func cubicAcked(w *Window, n int, now int64) {
	if w.Size < w.Threshold {
		w.Size += n
		return
	}
	c := &w.cubic
	mss := float64(w.MSS)
	size, acked := float64(w.Size)/mss, float64(n)/mss
	if !c.begun {
		c.begun, c.epoch, c.estimate, c.k = true, now, size, 0
		if size < c.max {
			c.k = math.Cbrt((c.max - size) / cubicC)
		} else {
			c.max = size
		}
	} else if pause := now - c.last; pause > 2*w.RTT+100*millisecond {
		c.epoch += pause // the window was not the limit: it shall not grow for that time (§5.8)
	}
	c.last = now

	alpha := cubicAlpha
	if c.estimate >= c.prior {
		alpha = 1
	}
	c.estimate += alpha * acked / size
	t := float64(now-c.epoch) / second
	at := func(t float64) float64 { d := t - c.k; return cubicC*d*d*d + c.max }
	if at(t) < c.estimate {
		size = max(size, c.estimate) // §4.3
	} else {
		target := min(max(at(t+float64(w.RTT)/second), size), 1.5*size)
		size += (target - size) * acked / size // §4.4, §4.5
	}
	w.Size = int(min(size*mss, maxWindow))
}

func cubicLost(w *Window, inFlight int, _ int64) {
	c := &w.cubic
	size := float64(inFlight) / float64(w.MSS)
	c.prior = size
	if size < c.max {
		size *= (1 + cubicBeta) / 2 // somebody new wants a share: §4.7, fast convergence
	}
	c.max, c.begun = size, false
	w.Threshold = max(int(float64(inFlight)*cubicBeta), 2*w.MSS)
}
