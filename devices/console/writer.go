package console

import (
	"bytes"
	"io"
	"sync"
	"syscall"
	"time"
)

// writer is an output that is any writer. A goroutine writes to it, so that a Write that takes long keeps the guest
// waiting only for a moment; what was taken then counts as written, and an error is that of the next write.
type writer struct {
	w    io.Writer
	wake func()
	jobs chan []byte // nil until the first write
	done chan struct{}

	mu   sync.Mutex
	idle sync.Cond
	busy bool
	full bool // write has found it busy
	n    int  // bytes the last job has written
	err  error
}

const (
	patience = 20 * time.Millisecond // how long a write may take before the guest goes on
	maxJob   = 64 << 10
)

func newWriter(w io.Writer, wake func()) *writer {
	o := &writer{w: w, wake: wake}
	o.idle.L = &o.mu
	return o
}

func (o *writer) write(p []byte) (n int, errno syscall.Errno) {
	for n < len(p) && errno == 0 {
		var k int
		k, errno = o.job(p[n:min(n+maxJob, len(p))])
		n += k
	}
	return n, errno
}

// job has p written.
func (o *writer) job(p []byte) (n int, errno syscall.Errno) {
	// Guest memory may change, and go, at any time: a fault here must find nothing locked and nothing promised.
	p = bytes.Clone(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.busy {
		o.full = true
		return 0, syscall.EAGAIN
	}
	if err := o.err; err != nil { // of a job that the guest did not wait for
		o.err = nil
		return 0, errnoOf(err)
	}
	if o.jobs == nil {
		o.jobs, o.done = make(chan []byte, 1), make(chan struct{})
		go o.run(o.jobs)
	}
	o.busy = true
	o.jobs <- p
	late := false
	timeout := time.AfterFunc(patience, func() {
		o.mu.Lock()
		late = true
		o.idle.Broadcast()
		o.mu.Unlock()
	})
	defer timeout.Stop()
	for o.busy && !late {
		o.idle.Wait()
	}
	if o.busy {
		return len(p), 0
	}
	if err := o.err; err != nil {
		o.err = nil
		return o.n, errnoOf(err)
	}
	return len(p), 0
}

func (o *writer) run(jobs <-chan []byte) {
	defer close(o.done)
	for p := range jobs {
		n, err := o.w.Write(p)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		o.mu.Lock()
		o.busy, o.n, o.err = false, min(max(n, 0), len(p)), err
		o.idle.Broadcast()
		full := o.full
		o.full = false
		o.mu.Unlock()
		if full {
			o.wake()
		}
	}
}

func (o *writer) ready() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.busy
}

func (o *writer) descriptor() int { return -1 }

func (o *writer) drain(stop <-chan struct{}) {
	stopped := false
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-stop:
			o.mu.Lock()
			stopped = true
			o.idle.Broadcast()
			o.mu.Unlock()
		case <-done:
		}
	}()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.busy && !stopped {
		o.idle.Wait()
	}
}

// close ends the goroutine, now or when its Write returns.
func (o *writer) close() {
	o.mu.Lock()
	jobs, busy := o.jobs, o.busy
	o.jobs = nil
	o.mu.Unlock()
	if jobs == nil {
		return
	}
	close(jobs)
	if !busy {
		<-o.done
	}
}
