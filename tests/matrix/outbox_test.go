package matrix

import "sync"

// outbox sends what an end has transmitted on a goroutine of its own, as the reader of Linux's TAP device does it for Linux: what the
// peer does with an acknowledgement, in the call that brings it, is not done on the time of whoever brings data the other way.
type outbox struct {
	mu     sync.Mutex
	ready  sync.Cond
	frames [][]byte // that wait; windows bound them
	closed bool
	ended  chan struct{}
}

func (o *outbox) start(p plug) {
	o.ready.L, o.ended = &o.mu, make(chan struct{})
	go func() {
		defer close(o.ended)
		var frames [][]byte
		for {
			o.mu.Lock()
			for len(o.frames) == 0 && !o.closed {
				o.ready.Wait()
			}
			frames, o.frames = o.frames, frames[:0]
			closed := o.closed
			o.mu.Unlock()
			if closed {
				return
			}
			for at := 0; at < len(frames); at += batch {
				p.send(frames[at:min(at+batch, len(frames))])
			}
			for _, f := range frames {
				recycle(f)
			}
			clear(frames)
		}
	}()
}

// put takes over a frame that clone, or buffersFor, has made.
func (o *outbox) put(f []byte) {
	o.mu.Lock()
	o.frames = append(o.frames, f)
	o.mu.Unlock()
	o.ready.Signal()
}

// stop ends the goroutine. What waits is lost.
func (o *outbox) stop() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.ready.Signal()
	<-o.ended
}
