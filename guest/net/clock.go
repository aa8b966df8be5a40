package net

import (
	"sync"
	"time"
)

// Clock is where the stack gets its time. Tests have their own.
type Clock interface {
	// Now returns nanoseconds since some point in the past; it never goes back.
	Now() int64
	// SetAlarm arranges for f to be called, on a goroutine of its own, at or soon after the given time. There is one
	// alarm: it replaces one that has not gone off, and f is the same each time.
	SetAlarm(at int64, f func())
}

// systemClock is the clock of package time.
type systemClock struct {
	start time.Time

	mu    sync.Mutex
	timer *time.Timer
}

// SystemClock returns the clock of package time.
func SystemClock() Clock { return &systemClock{start: time.Now().Add(-time.Hour)} }

func (c *systemClock) Now() int64 { return int64(time.Since(c.start)) }

func (c *systemClock) SetAlarm(at int64, f func()) {
	d := time.Duration(at - c.Now())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(d, f)
		return
	}
	c.timer.Reset(d)
}
