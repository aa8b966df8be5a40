package posix

import (
	"time"
)

// waitErrors wake every waiter, whatever it waits for.
const waitErrors = EventErr | EventHup | EventRdHup

// link is a waiting goroutine in an object's readiness. All links of one call share the channel, which has room for
// one wake-up.
type link struct {
	events Events
	woken  chan struct{}
}

func newLink(events Events) *link {
	return &link{events: events | waitErrors, woken: make(chan struct{}, 1)}
}

func (l *link) wake() {
	select {
	case l.woken <- struct{}{}:
	default: // it will look anyway
	}
}

// wait is how a call waits for an object: it tries, and as long as it gets EAGAIN and more says so, it tries again.
//
//	w := wait{on: o.ready(), events: EventIn, never: d.nonblocking()}
//	defer w.done()
//	for {
//		n, errno := o.read(d, p)
//		if errno != syscall.EAGAIN || !w.more() {
//			return n, errno
//		}
//	}
//
// The first call of more only registers, so that nothing that happens between the attempt and the parking is missed,
// and a call that need not wait costs nothing.
type wait struct {
	on      *readiness
	events  Events
	never   bool          // O_NONBLOCK, MSG_DONTWAIT
	timeout time.Duration // 0: none
	link    *link
	timer   *time.Timer
}

// more waits for a reason to try again. It reports whether there is one: false if the call does not wait or its time
// is up.
func (w *wait) more() bool {
	if w.never || w.on == nil {
		return false
	}
	if w.link == nil {
		w.link = newLink(w.events)
		w.on.join(w.link)
		return true
	}
	if w.timeout == 0 {
		<-w.link.woken
		return true
	}
	if w.timer == nil {
		w.timer = time.NewTimer(w.timeout)
	}
	select {
	case <-w.link.woken:
		return true
	case <-w.timer.C:
		w.never = true
		return false
	}
}

// done ends the waiting.
func (w *wait) done() {
	if w.link != nil {
		w.on.leave(w.link)
	}
	if w.timer != nil {
		w.timer.Stop()
	}
}
