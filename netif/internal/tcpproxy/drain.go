package tcpproxy

import "time"

// How long Drain waits for hosts that do not read, and how often it looks whether they have. It does not sleep on the epoll:
// that also tells of frames for the guest, which nobody takes any more.
const (
	drainStall = 5 * time.Second
	drainMost  = 60 * time.Second
	drainLook  = 5 * time.Millisecond
)

// Drain writes what the guest has sent, and was acknowledged, to the sockets: the guest has ended. It returns when nothing is
// left, when no socket has taken anything for drainStall, after drainMost, or when quit is closed.
func (p *Proxy) Drain(quit <-chan struct{}) {
	begin := time.Now()
	moved, before := begin, -1
	for {
		owed := p.owed()
		if owed == 0 || time.Since(begin) >= drainMost {
			return
		}
		if owed != before {
			moved, before = time.Now(), owed
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

// owed writes what can be written, and returns how many bytes are left.
func (p *Proxy) owed() (n int) {
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
