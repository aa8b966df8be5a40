package monitor

import "golang.org/x/sys/unix"

// A guest that has answered all requests sleeps, and under load the next request is there in a few microseconds: less than it
// costs to put the thread to sleep and to wake it, for both sides. So the monitor looks for a while before it sleeps, as KVM does
// for guests that halt (Linux, Documentation/virt/kvm/halt-polling.rst), whose rules for how long these are: longer
// after a sleep that a little more would have saved, half as long after a long one, and soon not at all. Others who want the
// processor have it meanwhile.
const (
	firstSpin = 10_000 // ns
	mostSpin  = 100_000
)

// haltPolling says how long to look.
type haltPolling struct {
	window int64 // ns
}

// slept learns from how long there was nothing to do, in ns.
func (s *haltPolling) slept(ns int64) {
	switch {
	case ns <= s.window:
	case ns > mostSpin:
		if s.window /= 2; s.window < firstSpin {
			s.window = 0
		}
	default:
		s.window = min(max(2*s.window, firstSpin), mostSpin)
	}
}

// spin looks at descriptors until one is ready or ns have passed.
func spin(fds []unix.PollFd, now func() int64, until int64) (ready bool, err error) {
	for {
		n, err := unix.Ppoll(fds, &unix.Timespec{}, nil)
		if n > 0 || err != nil {
			return true, err
		}
		if now() >= until {
			return false, nil
		}
		// Safety: no arguments.
		_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
}
