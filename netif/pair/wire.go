package pair

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/wake"
)

// Packet is a frame on the wire.
type Packet struct {
	Header hypercall.NetHeader
	Data   []byte
}

// held is a packet that waits to be overtaken.
type held struct {
	Packet
	passes int // frames still to let pass
}

// late is a packet that waits for its time.
type late struct {
	Packet
	due time.Time
}

// wire is one direction:
//
//	send ─► hook ─► loss, corruption, duplication ─► held (reorder) ─► line (delay) ─► ready ─► receive
type wire struct {
	mtu    int
	limit  int
	faults Faults

	mu     sync.Mutex
	rng    *rand.Rand
	event  *wake.Event
	timer  *time.Timer // for the earliest of held and line; nil until needed
	held   []held
	holdBy time.Time // when held goes on at the latest
	line   []late    // by time
	ready  []Packet
	free   [][]byte // buffers to use again
	closed bool     // the receiving end is

	sender, receiver netif.Features // what the ends have agreed to

	sent, sentBytes, sendDropped            uint64
	received, receivedBytes, receiveDropped uint64
}

func newWire(c Config, f Faults, direction uint64) (*wire, error) {
	event, err := wake.New()
	if err != nil {
		return nil, err
	}
	return &wire{
		mtu: c.MTU, limit: c.Queue, faults: f,
		rng:   rand.New(rand.NewPCG(c.Seed, direction)),
		event: event,
	}, nil
}

// chances are what is decided for one frame. As many numbers are drawn for every frame, so that changing one
// probability does not change which frames another one hits.
type chances struct {
	lose, corrupt, duplicate, reorder bool
	bit, passes                       uint64
	jitter                            time.Duration
}

func (w *wire) drawLocked() chances {
	f := &w.faults
	return chances{
		lose:      w.rng.Float64() < f.Loss,
		corrupt:   w.rng.Float64() < f.Corrupt,
		duplicate: w.rng.Float64() < f.Duplicate,
		reorder:   w.rng.Float64() < f.Reorder,
		bit:       w.rng.Uint64(),
		passes:    1 + w.rng.Uint64N(3),
		jitter:    time.Duration(w.rng.Float64() * float64(f.Jitter)),
	}
}

func (w *wire) setSender(f netif.Features) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sender = f
}

func (w *wire) setReceiver(f netif.Features) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.receiver = f
}

// maySendLocked reports whether a frame of n bytes is as was agreed with its sender.
func (w *wire) maySendLocked(h *hypercall.NetHeader, n int) bool {
	if h.GSOType == hypercall.GSONone {
		return n <= netif.EthernetSize+w.mtu && (h.Flags&hypercall.NeedsCsum == 0 || w.sender.TxChecksum)
	}
	return (h.GSOType == hypercall.GSOTCP4 || h.GSOType == hypercall.GSOTCP6 && w.sender.TCP6) && h.Flags&hypercall.NeedsCsum != 0 && n <= w.sender.TxSegment
}

// mayReceiveLocked reports whether a frame of n bytes that may be sent is as was agreed with its receiver.
func (w *wire) mayReceiveLocked(h *hypercall.NetHeader, n int) bool {
	return (h.Flags&hypercall.NeedsCsum == 0 || w.receiver.RxChecksum) && (h.GSOType == hypercall.GSONone || n <= w.receiver.RxSegment) &&
		(h.GSOType != hypercall.GSOTCP6 || w.receiver.TCP6)
}

func (w *wire) send(from *Link, f *netif.Frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.drawLocked()
	if w.closed || f.Len < netif.EthernetSize || f.Room() < f.Len || !w.maySendLocked(&f.Header, f.Len) || w.queuedLocked() >= w.limit {
		w.sendDropped++
		return
	}
	p := Packet{Header: f.Header, Data: w.bufferLocked(f.Len)}
	p.Data = p.Data[:f.CopyTo(p.Data)]
	if from.hook != nil && !from.hook(from, &p) || c.lose {
		w.sendDropped++
		w.recycleLocked(p.Data)
		return
	}
	w.sent++
	w.sentBytes += uint64(len(p.Data))
	const addresses = 12
	if c.corrupt && len(p.Data) > addresses {
		bit := c.bit % uint64((len(p.Data)-addresses)*8)
		p.Data[addresses+bit/8] ^= 1 << (bit % 8)
	}
	if c.reorder {
		w.held = append(w.held, held{p, int(c.passes)})
		w.holdBy = time.Now().Add(holdTime)
	} else {
		w.delayLocked(p, c.jitter)
	}
	if c.duplicate && w.queuedLocked() < w.limit {
		w.delayLocked(Packet{p.Header, append(w.bufferLocked(0), p.Data...)}, c.jitter)
	}
	if !c.reorder {
		w.passLocked(c.jitter)
	}
	w.scheduleLocked(time.Now())
}

func (w *wire) queuedLocked() int { return len(w.held) + len(w.line) + len(w.ready) }

// passLocked counts one frame past those that are held and lets go those that were overtaken often enough.
func (w *wire) passLocked(jitter time.Duration) {
	keep := w.held[:0]
	for _, h := range w.held {
		if h.passes--; h.passes > 0 {
			keep = append(keep, h)
		} else {
			w.delayLocked(h.Packet, jitter)
		}
	}
	w.held = keep
}

// delayLocked queues p for its time.
func (w *wire) delayLocked(p Packet, jitter time.Duration) {
	if w.faults.Delay+jitter == 0 {
		w.ready = append(w.ready, p)
		w.event.Notify()
		return
	}
	due := time.Now().Add(w.faults.Delay + jitter)
	i, _ := slices.BinarySearchFunc(w.line, due, func(l late, t time.Time) int {
		if l.due.After(t) {
			return 1
		}
		return -1 // equal times keep their order
	})
	w.line = slices.Insert(w.line, i, late{p, due})
}

// scheduleLocked makes ready what is due and sets the timer for the rest.
func (w *wire) scheduleLocked(now time.Time) {
	if len(w.held) > 0 && !w.holdBy.After(now) {
		for _, h := range w.held {
			w.delayLocked(h.Packet, 0)
		}
		w.held = w.held[:0]
	}
	due := 0
	for due < len(w.line) && !w.line[due].due.After(now) {
		w.ready = append(w.ready, w.line[due].Packet)
		due++
	}
	if due > 0 {
		w.line = slices.Delete(w.line, 0, due)
		w.event.Notify()
	}
	next := time.Duration(-1)
	if len(w.held) > 0 {
		next = w.holdBy.Sub(now)
	}
	if len(w.line) > 0 {
		if d := w.line[0].due.Sub(now); next < 0 || d < next {
			next = d
		}
	}
	switch {
	case next < 0:
	case w.timer == nil:
		w.timer = time.AfterFunc(next, w.tick)
	default:
		w.timer.Reset(next)
	}
}

func (w *wire) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.scheduleLocked(time.Now())
	}
}

func (w *wire) receive(frames []netif.Frame) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.event.Clear()
	n, taken := 0, 0
	for taken < len(w.ready) && n < len(frames) {
		p := w.ready[taken]
		taken++
		f := &frames[n]
		out := f.Writer()
		if !w.mayReceiveLocked(&p.Header, len(p.Data)) || out.Write(p.Data) < len(p.Data) {
			w.receiveDropped++
		} else {
			f.Header, f.Len = p.Header, len(p.Data)
			w.received++
			w.receivedBytes += uint64(f.Len)
			n++
		}
		w.recycleLocked(p.Data)
	}
	w.ready = slices.Delete(w.ready, 0, taken)
	return n
}

func (w *wire) arm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ready) > 0 {
		return true
	}
	w.event.Arm()
	return false
}

// bufferLocked returns n bytes of any content.
func (w *wire) bufferLocked(n int) []byte {
	if last := len(w.free) - 1; last >= 0 && cap(w.free[last]) >= n {
		b := w.free[last][:n]
		w.free = w.free[:last]
		return b
	}
	return make([]byte, n, max(n, netif.EthernetSize+w.mtu))
}

func (w *wire) recycleLocked(b []byte) {
	if len(w.free) < w.limit && cap(b) >= netif.EthernetSize+w.mtu {
		w.free = append(w.free, b)
	}
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.held, w.line, w.ready, w.free = nil, nil, nil, nil
	w.event.Close()
}
