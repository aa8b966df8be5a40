package posix

import (
	"slices"
	"sync"
	"sync/atomic"
)

// readiness is what an object is ready for, and who wants to know: package kernel, for each descriptor number of the
// object, and goroutines that wait in calls. The zero value is not ready for anything; init comes before all else.
//
// notify has the semantics of Socket.Notify's function: the level now, and the bits raised just now, which edge-
// triggered watchers are told of even if the level had them.
type readiness struct {
	mu      sync.Mutex
	core    core
	level   atomic.Uint32 // changed with mu held
	fds     []int32
	first   [1]int32 // room for fds: most objects have one number
	waiters []*link
}

func (r *readiness) init(c core) {
	r.core = c
	r.fds = r.first[:0]
}

// notify makes level the readiness and tells those concerned what has changed.
func (r *readiness) notify(level, raised Events) {
	r.mu.Lock()
	old := r.now()
	set := level&^old | raised&level
	gone := old &^ level
	r.level.Store(uint32(level))
	if set|gone != 0 {
		for _, fd := range r.fds {
			r.core.SetReady(int(fd), uint32(set), uint32(gone))
		}
	}
	if set != 0 {
		r.wakeLocked(set)
	}
	r.mu.Unlock()
}

// wake lets waiters try again without a change of readiness: there is more room, but not enough to be "writable".
func (r *readiness) wake(events Events) {
	r.mu.Lock()
	r.wakeLocked(events)
	r.mu.Unlock()
}

func (r *readiness) wakeLocked(events Events) {
	for _, l := range r.waiters {
		if l.events&events != 0 {
			l.wake()
		}
	}
}

// now returns the level.
func (r *readiness) now() Events { return Events(r.level.Load()) }

// addNumber makes fd, which package kernel has just given out, one of the object's numbers.
func (r *readiness) addNumber(fd int) {
	r.mu.Lock()
	r.fds = append(r.fds, int32(fd))
	if level := r.level.Load(); level != 0 {
		r.core.SetReady(fd, level, 0)
	}
	r.mu.Unlock()
}

// removeNumber comes before package kernel takes fd back.
func (r *readiness) removeNumber(fd int) {
	r.mu.Lock()
	if i := slices.Index(r.fds, int32(fd)); i >= 0 {
		r.fds = slices.Delete(r.fds, i, i+1)
	}
	r.mu.Unlock()
}

func (r *readiness) join(l *link) {
	r.mu.Lock()
	r.waiters = append(r.waiters, l)
	r.mu.Unlock()
}

func (r *readiness) leave(l *link) {
	r.mu.Lock()
	if i := slices.Index(r.waiters, l); i >= 0 {
		r.waiters = slices.Delete(r.waiters, i, i+1)
	}
	r.mu.Unlock()
}
