package tcp

// Window is a connection's congestion window. All sizes are in bytes.
type Window struct {
	Size      int // cwnd: what may be in flight
	Threshold int // ssthresh: slow start below, congestion avoidance from there on
	MSS       int
	RTT       int64 // smoothed round trip, nanoseconds
	acked     int   // NewReno, congestion avoidance: acknowledged since the last increase
	cubic     cubic
}

// Congestion is a congestion control algorithm: what is done with a Window when. Recovery from loss (recovery.go) is
// common to all; while it lasts, Acked is not called.
type Congestion struct {
	Name    string
	HyStart bool // ends the first slow start when the round trip grows
	// Acked is called when n new bytes have been acknowledged and the window was the limit.
	Acked func(w *Window, n int, now int64)
	// Lost sets Threshold when a loss has been noticed with that many bytes in flight.
	Lost func(w *Window, inFlight int, now int64)
}

// NewReno is RFC 5681, counting bytes rather than ACKs (RFC 3465, with no limit L per ACK: receivers that acknowledge a
// whole batch at once, as this one does, would be slow otherwise).
var NewReno = &Congestion{
	Name: "reno", // as Linux has it
	Acked: func(w *Window, n int, _ int64) {
		if w.Size < w.Threshold {
			w.Size += n
			return
		}
		if w.acked += n; w.acked >= w.Size {
			w.acked -= w.Size
			w.Size += w.MSS
		}
	},
	Lost: func(w *Window, inFlight int, _ int64) {
		w.Threshold = max(inFlight/2, 2*w.MSS) // equation 4
		w.acked = 0
	},
}

// CongestionNamed returns the algorithm of that name (TCP_CONGESTION), nil if there is none.
func CongestionNamed(name string) *Congestion {
	switch name {
	case Cubic.Name:
		return Cubic
	case NewReno.Name, "newreno":
		return NewReno
	}
	return nil
}

// maxWindow bounds congestion windows: no peer can announce more.
const maxWindow = 1 << 30

// congestion is the part of a connection that limits what is in flight.
type congestion struct {
	Window
	algorithm *Congestion
	hystart   hystart
}

func (g *congestion) slowStart() bool { return g.Size < g.Threshold }

// begin sets the initial window (RFC 6928) when the MSS is known.
func (g *congestion) begin(a *Congestion, mss int) {
	g.algorithm = a
	g.Window = Window{Size: initialWindow * mss, Threshold: maxWindow, MSS: mss}
}

func (g *congestion) acked(n int, now int64) {
	g.algorithm.Acked(&g.Window, n, now)
	g.Size = min(g.Size, maxWindow)
}

// slowStarted is acked, in the first slow start, for one that is to end early. sample is the round trip of the ACK, if it
// is known.
func (g *congestion) slowStarted(n int, sample, now int64, una, nxt seq) {
	n, done := g.hystart.measure(n, sample, una, nxt)
	g.acked(n, now)
	if done {
		g.Threshold = g.Size
	}
}

// first reports whether it is the first slow start: nothing has been lost yet.
func (g *congestion) first() bool { return g.Threshold == maxWindow }

func (g *congestion) lost(inFlight int, now int64) { g.algorithm.Lost(&g.Window, inFlight, now) }

// idle is called before sending after a pause (RFC 5681 §4.1).
func (g *congestion) idle() { g.Size = min(g.Size, initialWindow*g.MSS) }
