// Package nettest is what tests of the stack are made with: a virtual clock, a simulated link that loses, repeats,
// reorders, delays and damages frames by a seeded plan, and a device that does what offloading network cards do.
//
// Everything happens in the calls of Clock.Run and Clock.RunUntil, in one goroutine and in an order that depends on the
// seed only.
package nettest

import "container/heap"

// Clock is a virtual clock and event loop. It starts at one hour, so that nothing in a test is near time 0. It
// implements net.Clock for any number of stacks, each through its own Alarm.
type Clock struct {
	now    int64
	events events
	seq    int
}

type event struct {
	at  int64
	seq int // events of the same time happen in the order they were scheduled
	f   func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return x
}

const hour = 3600 * 1_000_000_000

// NewClock returns a clock.
func NewClock() *Clock { return &Clock{now: hour} }

// Now returns nanoseconds.
func (c *Clock) Now() int64 { return c.now }

// At arranges for f to be called at a time; a time in the past is now.
func (c *Clock) At(at int64, f func()) {
	c.seq++
	heap.Push(&c.events, event{max(at, c.now), c.seq, f})
}

// step runs the next event if it is not after limit.
func (c *Clock) step(limit int64) bool {
	if len(c.events) == 0 || c.events[0].at > limit {
		return false
	}
	e := heap.Pop(&c.events).(event)
	c.now = e.at
	e.f()
	return true
}

// Run lets d nanoseconds pass.
func (c *Clock) Run(d int64) {
	limit := c.now + d
	for c.step(limit) {
	}
	c.now = limit
}

// RunUntil lets time pass until done says so, but no more than d nanoseconds, and returns what done said last.
func (c *Clock) RunUntil(d int64, done func() bool) bool {
	limit := c.now + d
	for !done() {
		if !c.step(limit) {
			c.now = limit
			return done()
		}
	}
	return true
}

// Alarm returns a view of the clock for one stack.
func (c *Clock) Alarm() *Alarm { return &Alarm{clock: c} }

// Alarm is a Clock with an alarm of its own: a net.Clock.
type Alarm struct {
	clock *Clock
	set   int // number of the setting: an earlier one does not go off any more
}

// Now returns nanoseconds.
func (a *Alarm) Now() int64 { return a.clock.now }

// SetAlarm is as in net.Clock.
func (a *Alarm) SetAlarm(at int64, f func()) {
	a.set++
	mine := a.set
	a.clock.At(at, func() {
		if a.set == mine {
			f()
		}
	})
}
