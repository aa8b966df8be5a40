package net

import (
	"os"
	"sync"
	"time"

	"ukvm.dev/guest/kernel"
)

// kernelClock is systemClock with the guest kernel's alarm in place of a timer of Go's: it can be moved back without waking
// an idle guest in vain. If there is no descriptor for it, or the program has closed it, it is a timer after all.
type kernelClock struct {
	systemClock
	once sync.Once
	file *os.File
}

// newKernelClock is for guests with a network card, which has a goroutine that waits, too. One without is left as it was: its
// stack has no goroutine, for programs that count theirs.
func newKernelClock() Clock {
	return &kernelClock{systemClock: systemClock{start: time.Now().Add(-time.Hour)}}
}

// SetAlarm is as in Clock.
func (c *kernelClock) SetAlarm(at int64, f func()) {
	c.once.Do(func() { c.open(f) })
	if c.file == nil || kernel.SetAlarm(uint64(max(at-c.Now(), 0))) != 0 {
		c.systemClock.SetAlarm(at, f)
	}
}

// open has f called whenever the alarm goes off, and perhaps without reason.
func (c *kernelClock) open(f func()) {
	fd := kernel.OpenAlarm()
	if fd < 0 {
		return
	}
	file := os.NewFile(uintptr(fd), "alarm")
	raw, err := file.SyscallConn()
	if err != nil {
		return
	}
	c.file = file
	go raw.Read(func(uintptr) bool {
		f()
		return false
	})
}
