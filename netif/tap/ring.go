package tap

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/netns"
	"ukvm.dev/netif/internal/packetrx"
)

// ring is another way for frames to come. A packet socket gets what the host sends through the device, in a ring of 1 MiB of the
// kernel's memory, and a filter of the device's keeps its own queue empty. The kernel counts as dropped by the device what the
// filter stops (ip -s link), but says so to nobody, since a queueing discipline is in between; a device without one (noqueue) would
// make senders believe in congestion, and has no ring. Nor has a device that stays when the link is closed: its filter would, too.
//
// A ring takes memory, and it takes the kernel tens of milliseconds to make one and to take it down. So it is made when frames have
// become many, beside the guest's work:
//
//	reads ── many frames in a short time ──► made (its goroutine) ──► bound, the filter set ──► the queue read to its end ──► ring
//
// What comes between the last two steps of the kernel's, microseconds, arrives twice.
type ring struct {
	can     bool     // there can be one
	ns      *os.File // the device's namespace; nil: that of the process
	making  sync.WaitGroup
	socket  *packetrx.Socket // set when made is
	made    atomic.Bool      // the socket has a ring
	live    atomic.Bool      // frames come by it
	drained bool             // with live: none are left in the device's queue
	begun   bool
	count   int // frames read since then
	since   time.Time
}

// Frames are many when manyFrames have come in manyTime: two or three thousand a second.
const (
	manyFrames = 256
	manyTime   = 100 * time.Millisecond
)

// prepareRing finds out whether there can be a ring, on a thread in the device's namespace.
func (l *Link) prepareRing(c *Config) (err error) {
	l.ring.can = l.dev.made && l.dev.qdisc
	if !l.ring.can || c.NetNS == "" && c.NetNSFile == nil {
		return nil
	}
	if l.ring.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return fmt.Errorf("tap %s: open its network namespace: %w", l.dev.name, err)
	}
	return nil
}

// receive takes frames from where they come.
func (l *Link) receive(frames []netif.Frame) (int, error) {
	r := &l.ring
	if r.made.Load() && !r.live.Load() {
		l.switchOver()
	}
	if r.live.Load() && r.drained {
		return r.socket.Receive(frames)
	}
	n, err := l.read(frames)
	if err != nil {
		return n, err
	}
	if r.live.Load() {
		if r.drained = n < len(frames); n == 0 && r.drained {
			return r.socket.Receive(frames)
		}
		return n, nil
	}
	l.watch(n)
	return n, nil
}

// watch is told that n frames were read, and has the ring made when they are many.
func (l *Link) watch(n int) {
	r := &l.ring
	if r.count += n; !r.can || r.begun || r.count < manyFrames {
		return
	}
	now := time.Now()
	if now.Sub(r.since) < manyTime {
		l.makeRing()
	}
	r.count, r.since = 0, now
}

// makeRing has the ring made. Without the privilege, or memory for it, frames go on to be read.
func (l *Link) makeRing() {
	r := &l.ring
	r.begun = true
	r.making.Go(func() {
		var place netns.Place
		if r.ns != nil {
			place.File = r.ns
		}
		if place.Do(func() (err error) {
			r.socket, err = packetrx.Open("tap "+l.dev.name, packetrx.Outgoing)
			return err
		}) == nil && r.socket.MakeRing() == nil {
			r.made.Store(true)
		}
	})
}

// switchOver has frames come by the ring.
func (l *Link) switchOver() {
	r := &l.ring
	r.made.Store(false) // there is no second time
	if r.socket.SetFeatures(l.features) == nil && r.socket.Bind(l.dev.index) == nil && l.dev.admitNothing() == nil {
		r.live.Store(true)
	}
}

// close lets go of it.
func (r *ring) close() (err error) {
	r.making.Wait()
	if r.ns != nil {
		err = r.ns.Close()
	}
	if r.socket != nil {
		err = errors.Join(err, r.socket.Close())
	}
	return err
}

// ShareRing maps the ring for a guest, once there is one.
func (l *Link) ShareRing() (netif.Ring, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.closed:
		return netif.Ring{}, netif.ErrClosed
	case !l.ring.live.Load() || !l.ring.drained:
		return netif.Ring{}, nil
	}
	return l.ring.socket.Share()
}

// Seek goes to where the guest is in the ring.
func (l *Link) Seek(t netif.Taken) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return !l.closed && l.ring.socket.Seek(t)
}

// Slot is where the link is in the ring.
func (l *Link) Slot() uint32 { return l.ring.socket.Slot() }
