package posix

import (
	"syscall"
	"testing"
)

// countingSocket counts calls of Recv, which finds a byte whenever it is asked.
type countingSocket struct {
	Socket
	notify func(level, raised Events)
	recvs  int
}

func (c *countingSocket) Notify(f func(level, raised Events)) { c.notify = f }

func (c *countingSocket) Recv(p []byte, flags int) (int, Addr, int, syscall.Errno) {
	c.recvs++
	return 1, Addr{}, 0, 0
}

// TestReadOfNothing asks a stack only for what it may have.
func TestReadOfNothing(t *testing.T) {
	for _, c := range []struct {
		name  string
		typ   int
		level Events
		size  int
		asked bool
	}{
		{"nothing to read", syscall.SOCK_STREAM, EventOut, 10, false},
		{"data", syscall.SOCK_STREAM, EventIn | EventOut, 10, true},
		{"no room to write either, or a listener", syscall.SOCK_STREAM, 0, 10, true},
		{"an error", syscall.SOCK_STREAM, EventOut | EventErr, 10, true},
		{"the peer's end", syscall.SOCK_STREAM, EventIn | EventOut | EventRdHup, 10, true},
		{"reset", syscall.SOCK_STREAM, EventOut | EventHup, 10, true},
		{"no buffer", syscall.SOCK_STREAM, EventOut, 0, true},
		{"a datagram socket", syscall.SOCK_DGRAM, EventOut, 10, true},
	} {
		s, _ := newTestSystem(nil)
		k := &countingSocket{}
		o := s.wrapInet(nil, k, syscall.AF_INET, c.typ, 0)
		k.notify(c.level, c.level)
		_, errno := o.read(nil, make([]byte, c.size))
		if asked := k.recvs > 0; asked != c.asked || asked != (errno == 0) {
			t.Errorf("%s: Recv called: %v, %v", c.name, asked, errno)
		}
	}
}
