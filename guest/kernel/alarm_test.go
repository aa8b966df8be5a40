package kernel

import "testing"

// TestAlarm sets the alarm, moves it both ways, and lets it go off while the guest is idle, while it is busy, and at once.
func TestAlarm(t *testing.T) {
	boots(t)
	if got := errno(sys(nrSetAlarm, 5)); got != eBADF {
		t.Errorf("set before it was opened: errno %d", got)
	}
	fd := sys(nrOpenAlarm)
	if fd != 3 || errno(sys(nrOpenAlarm)) != eEXIST {
		t.Fatalf("opened as %d", int64(fd))
	}
	ep := sys(nrEpollCreate1, 0)
	*word32(arena) = epollIn | epollEdge
	*word(arena + 4) = 77
	sys(nrEpollCtl, ep, 1, fd, arena)
	// waits is epoll_wait for ms; it returns when it is over, and whether the alarm has gone off.
	waits := func(ms uint64) (took uint64, rang bool) {
		start := now()
		n := sys(nrEpollPwait, ep, arena+512, 4, ms, 0, 8)
		if n == 1 && *word(arena + 516) != 77 {
			t.Errorf("an event of %d", *word(arena + 516))
		}
		return now() - start, n == 1
	}
	sys(nrSetAlarm, 3e6)
	if took, rang := waits(1000); took != 3e6 || !rang {
		t.Errorf("3 ms: %d, %v", took, rang)
	}
	if took, rang := waits(10); took != 11e6 || rang {
		t.Errorf("it goes off twice: %d, %v", took, rang)
	}
	// Moved back, it does not wake at its first time.
	sys(nrSetAlarm, 2e6)
	sys(nrSetAlarm, 9e6)
	polls := len(monitor.polls)
	if took, rang := waits(1000); took != 9e6 || !rang || len(monitor.polls) != polls+1 {
		t.Errorf("9 ms: %d, %v, %d polls", took, rang, len(monitor.polls)-polls)
	}
	sys(nrSetAlarm, 9e6)
	sys(nrSetAlarm, 2e6)
	if took, rang := waits(1000); took != 2e6 || !rang {
		t.Errorf("2 ms: %d, %v", took, rang)
	}
	// At once, and in the longest time.
	sys(nrSetAlarm, 0)
	if took, rang := waits(1000); took != 0 || !rang {
		t.Errorf("at once: %d, %v", took, rang)
	}
	sys(nrSetAlarm, ^uint64(0))
	if took, rang := waits(10); took != 11e6 || rang {
		t.Errorf("never: %d, %v", took, rang)
	}
	// A time that passes while the processor is busy costs no sleep.
	sys(nrSetAlarm, 1e6)
	monitor.time += 2e6
	polls = len(monitor.polls)
	if took, rang := waits(1000); took != 0 || !rang || len(monitor.polls) != polls {
		t.Errorf("it is due: %d, %v, %d polls", took, rang, len(monitor.polls)-polls)
	}
	// Busy for longer, the kernel wants an upcall for it.
	sys(nrSetAlarm, 1e6)
	if d := control().Deadline; d != now()+patience {
		t.Errorf("upcall wanted at %d, now %d", d, now())
	}
	// Set again before anybody has looked, it is not readable.
	sys(nrSetAlarm, 0)
	sys(nrSetAlarm, 5e6)
	if took, rang := waits(1000); took != 5e6 || !rang {
		t.Errorf("5 ms: %d, %v", took, rang)
	}
	sys(nrSetAlarm, 5e6)
	sys(nrClose, fd)
	if took, rang := waits(20); took != 21e6 || rang || errno(sys(nrSetAlarm, 1)) != eBADF {
		t.Errorf("closed: %d, %v", took, rang)
	}
	if again := sys(nrOpenAlarm); again != fd {
		t.Errorf("opened again as %d", int64(again))
	}
}

// TestIdleExpired: a sleeper whose time has come while another thread ran costs no exit.
func TestIdleExpired(t *testing.T) {
	boots(t)
	sys(nrClone, cloneVM|cloneThread, 0x7000)
	sys(nrNanosleep, put(0, 0, 20_000)) // the other thread runs
	monitor.time += 50_000
	polls := len(monitor.polls)
	sys(nrFutex, arena+2048, 128, 0)
	if running != mainThread || len(monitor.polls) != polls {
		t.Errorf("thread %d runs after %d polls", running, len(monitor.polls)-polls)
	}
}

// TestPatience: after a sleep, a sleeper that is due soon does not make the kernel ask for an upcall earlier than one that is due
// after as long a time of work.
func TestPatience(t *testing.T) {
	boots(t)
	sys(nrClone, cloneVM|cloneThread, 0x7000)
	sys(nrNanosleep, put(0, 0, 30e6)) // the other thread runs
	if d := control().Deadline; d != now()+30e6 {
		t.Errorf("upcall wanted at %d, now %d", d, now())
	}
	sys(nrNanosleep, put(32, 0, 29e6)) // wakes a millisecond before
	if d := control().Deadline; running == mainThread || d != now()+patience {
		t.Errorf("thread %d: upcall wanted at %d, now %d", running, d, now())
	}
}
