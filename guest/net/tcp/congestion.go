package tcp

// Window is a connection's congestion window. All sizes are in bytes.
type Window struct {
	Size      int // cwnd: what may be in flight
	Threshold int // ssthresh: slow start below, congestion avoidance from there on
	MSS       int
	acked     int // congestion avoidance: acknowledged since the last increase
}

// Congestion is a congestion control algorithm: what is done with a Window when. Recovery from loss (recovery.go) is
// common to all; while it lasts, Acked is not called.
type Congestion struct {
	Name string
	// Acked is called when n new bytes have been acknowledged and the window was the limit.
	Acked func(w *Window, n int, now int64)
	// Lost sets Threshold when a loss has been noticed with that many bytes in flight.
	Lost func(w *Window, inFlight int, now int64)
}

// NewReno is RFC 5681, counting bytes rather than ACKs (RFC 3465, with no limit L per ACK: receivers that acknowledge a
// whole batch at once, as this one does, would be slow otherwise).
var NewReno = &Congestion{
	Name: "newreno",
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

// maxWindow bounds congestion windows: no peer can announce more.
const maxWindow = 1 << 30

// congestion is the part of a connection that limits what is in flight.
type congestion struct {
	Window
	algorithm *Congestion
}

func (g *congestion) slowStart() bool { return g.Size < g.Threshold }

// begin sets the initial window (RFC 6928) when the MSS is known.
func (g *congestion) begin(a *Congestion, mss int) {
	if g.algorithm = a; a == nil {
		g.algorithm = NewReno
	}
	g.Window = Window{Size: initialWindow * mss, Threshold: maxWindow, MSS: mss}
}

func (g *congestion) acked(n int, now int64) {
	g.algorithm.Acked(&g.Window, n, now)
	g.Size = min(g.Size, maxWindow)
}

func (g *congestion) lost(inFlight int, now int64) { g.algorithm.Lost(&g.Window, inFlight, now) }

// idle is called before sending after a pause (RFC 5681 §4.1).
func (g *congestion) idle() { g.Size = min(g.Size, initialWindow*g.MSS) }
