package net

import (
	"syscall"

	"ukvm.dev/guest/net/tcp"
	"ukvm.dev/guest/posix"
)

// SetECN says which TCP connections use explicit congestion notification (RFC 3168) from now on; those that there are stay as
// they are. Programs in guests write 0 (none), 1 (ask for it) or 2 (only answer) to /proc/sys/net/ipv4/tcp_ecn, as on Linux.
func (s *Stack) SetECN(e tcp.ECN) { s.Do(func(b *Boxes, _ []*Interface) { b.TCP.ECN = e }) }

// ECN returns what SetECN or Config has said last.
func (s *Stack) ECN() (e tcp.ECN) {
	s.Do(func(b *Boxes, _ []*Interface) { e = b.TCP.ECN })
	return e
}

// ecnNumbers are the numbers of Linux's net.ipv4.tcp_ecn.
var ecnNumbers = [...]tcp.ECN{0: tcp.ECNOff, 1: tcp.ECNAsk, 2: tcp.ECNAnswer}

var (
	_ posix.Marker = family{}
	_ posix.Marker = (*lazyStack)(nil)
)

// ECN is posix.Marker.
func (f family) ECN() int {
	is := f.stack.ECN()
	for n, e := range ecnNumbers {
		if e == is {
			return n
		}
	}
	panic("BUG: net: ECN that has no number")
}

// SetECN is posix.Marker.
func (f family) SetECN(n int) syscall.Errno {
	if n < 0 || n >= len(ecnNumbers) {
		return syscall.EINVAL
	}
	f.stack.SetECN(ecnNumbers[n])
	return 0
}

// ECN is posix.Marker.
func (l *lazyStack) ECN() int {
	l.once.Do(l.start)
	return family{l.stack}.ECN()
}

// SetECN is posix.Marker.
func (l *lazyStack) SetECN(n int) syscall.Errno {
	l.once.Do(l.start)
	return family{l.stack}.SetECN(n)
}
