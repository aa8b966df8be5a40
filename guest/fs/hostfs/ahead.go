package hostfs

import (
	"sync"
	"time"
)

// ahead is what was read ahead of a program that reads a file in order in pieces smaller than a request can be: each request
// costs an exit. It is believed as long as attributes are, and dropped by every write, open and close of this guest.
type ahead struct {
	mu    sync.Mutex
	next  int64 // where the last read ended
	order int   // reads that followed one another
	at    int64 // offset of buf
	buf   []byte
	until time.Time
}

const (
	aheadAfter = 2         // reads in order before something is read ahead
	aheadSize  = 512 << 10 // bytes
	aheadWhole = 128 << 10 // reads of so much gain little
)

// read serves a read of p if that is one it is for; then n is as for ReadAt.
func (a *ahead) read(f *file, p []byte, off int64) (n int, ok bool) {
	if f.fs.config.Valid <= 0 || len(p) == 0 {
		return 0, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if off == a.next {
		a.order = min(a.order+1, aheadAfter)
	} else {
		a.order = 0
	}
	a.next = off + int64(len(p))
	if len(p) >= aheadWhole {
		a.buf = nil
		return 0, false
	}
	if n := a.copy(p, off); n == len(p) {
		return n, true
	}
	if a.order < aheadAfter {
		return 0, false
	}
	buf := a.buf[:cap(a.buf)]
	if size := min(aheadSize, f.fs.caller.Max()); len(buf) != size {
		buf = make([]byte, size)
	}
	got, errno := f.fetch(buf, off)
	if errno != 0 {
		a.buf = nil
		return 0, false // the read itself finds the error
	}
	a.at, a.buf, a.until = off, buf[:got], time.Now().Add(f.fs.config.Valid)
	n = a.copy(p, off)
	a.next = off + int64(n)
	return n, true
}

// copy copies what there is of [off, off+len(p)).
func (a *ahead) copy(p []byte, off int64) int {
	if off < a.at || off-a.at >= int64(len(a.buf)) || time.Now().After(a.until) {
		return 0
	}
	return copy(p, a.buf[off-a.at:])
}

// drop forgets what was read.
func (a *ahead) drop() {
	a.mu.Lock()
	a.buf, a.order = nil, 0
	a.mu.Unlock()
}
