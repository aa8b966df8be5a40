package event

import (
	"time"

	"ukvm.dev/guest/net/timer"
)

// Timer calls back when time has passed. It has the resolution of the stack's wheel, 1 ms, and is never early.
type Timer struct {
	loop   *Loop
	f      func()
	period int64 // 0: once
	next   int64
	timer  timer.Timer
	active bool
	queued bool
}

// After calls f once, d from now.
func (l *Loop) After(d time.Duration, f func()) *Timer { return l.newTimer(d, 0, f) }

// Every calls f every d, at least a millisecond, from now on, until Stop. Delays do not add up; what is missed is left
// out.
func (l *Loop) Every(d time.Duration, f func()) *Timer {
	d = max(d, time.Millisecond)
	return l.newTimer(d, d, f)
}

func (l *Loop) newTimer(d, period time.Duration, f func()) *Timer {
	t := &Timer{loop: l, f: f, period: int64(period)}
	t.timer.Init(l.host.Wheel, t.expire)
	t.Reset(d)
	return t
}

// Reset has the timer go off d from now, in place of when it was to; for one from Every its first time.
func (t *Timer) Reset(d time.Duration) {
	t.loop.lock()
	if !t.active {
		t.active = true
		t.loop.opened()
	}
	t.next = t.loop.host.Now() + max(int64(d), 0)
	t.timer.Set(t.next)
	t.loop.unlock()
}

// Stop keeps the timer from calling back, and reports whether it was going to. A callback that runs already goes on.
func (t *Timer) Stop() bool {
	t.loop.lock()
	was := t.active
	t.stop()
	t.loop.unlock()
	return was
}

func (t *Timer) stop() {
	if t.active {
		t.active = false
		t.timer.Stop()
		t.loop.closed()
	}
}

// expire is called by the wheel.
func (t *Timer) expire() { t.loop.schedule(t, &t.queued) }

func (t *Timer) run() {
	t.queued = false
	now := t.loop.host.Now()
	if !t.active || t.timer.Active() || t.next > now {
		return // stopped or moved since
	}
	if t.period == 0 {
		t.stop()
	} else {
		t.next += t.period
		if t.next <= now {
			t.next += (now - t.next + t.period) / t.period * t.period
		}
		t.timer.Set(t.next)
	}
	t.loop.call(t.f)
}
