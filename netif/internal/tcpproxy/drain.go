package tcpproxy

import "time"

// How long Drain waits for hosts that do not read, and how often it looks whether they have. It does not sleep on the epoll:
// that also tells of frames for the guest, which nobody takes any more.
const (
	drainStall = 5 * time.Second
	drainMost  = 60 * time.Second
	drainLook  = 5 * time.Millisecond
)

// Drain waits while the other side of a guest that has ended takes what the guest has sent and was acknowledged. owed
// passes on what it can, and returns how many bytes are left. Drain returns when that is 0, when nothing has been taken for
// drainStall, after drainMost, or when quit is closed.
func Drain(quit <-chan struct{}, owed func() int) {
	begin := time.Now()
	moved, before := begin, -1
	for {
		left := owed()
		if left == 0 || time.Since(begin) >= drainMost {
			return
		}
		if left != before {
			moved, before = time.Now(), left
		} else if time.Since(moved) >= drainStall {
			return
		}
		select {
		case <-quit:
			return
		case <-time.After(drainLook):
		}
	}
}

// Owed writes to the sockets what the guest has sent, as far as they take it, and returns how many bytes are left.
func (p *Proxy) Owed() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0
	}
	p.pollLocked()
	for _, c := range p.conns {
		if c.state == established {
			n += c.pend.size
		}
	}
	return n
}
