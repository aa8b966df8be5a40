package kernel

import "ukvm.dev/hypercall"

// Interval timers (setitimer(2)). ITIMER_PROF drives Go's CPU profiles: it counts the time the processor is busy, and
// its SIGPROF goes to the thread that runs then. ITIMER_REAL counts real time.

const (
	itimerReal    = 0
	itimerVirtual = 1
	itimerProf    = 2
)

type itimer struct {
	period uint64 // ns
	next   uint64 // real: monotonic time; prof: busy time; 0: off
}

var (
	realTimer itimer
	profTimer itimer
)

// profileNext is the monotonic time at which an interval timer wants an upcall if the processor stays busy, or 0.
func profileNext() uint64 {
	d := realTimer.next
	if p := profTimer.next; p != 0 {
		p += idleTotal + hypercall.ClockStart
		if d == 0 || p < d {
			d = p
		}
	}
	return d
}

// realTime sends SIGALRM when it is due.
func realTime(n uint64) {
	if t := &realTimer; t.next != 0 && t.next <= n {
		t.advance(n)
		postProcess(sigALRM)
	}
}

// profile sends the running thread SIGPROF when it is due.
func profile(n uint64) {
	if t := &profTimer; t.next != 0 && t.next <= busyTime(n) {
		t.advance(busyTime(n))
		post(running, sigPROF, siKernel)
	}
}

func (t *itimer) advance(n uint64) {
	if t.period == 0 {
		t.next = 0
		return
	}
	t.next += t.period
	if t.next <= n {
		t.next = n + t.period
	}
}

func itimerOf(which uint64) (t *itimer, clock uint64) {
	switch which {
	case itimerReal:
		return &realTimer, now()
	case itimerProf, itimerVirtual:
		return &profTimer, busyTime(now())
	}
	return nil, 0
}

// sysSetitimer takes and gives struct itimerval: interval, then time to the next expiry.
func sysSetitimer(which, new, old uint64) uint64 {
	t, n := itimerOf(which)
	if t == nil {
		return fail(eINVAL)
	}
	if old != 0 {
		if r := sysGetitimer(which, old); r != 0 {
			return r
		}
	}
	if new == 0 {
		return 0
	}
	if !userRange(new, 32, protRead) {
		return fail(eFAULT)
	}
	if *word(new + 8) >= 1e6 || *word(new + 24) >= 1e6 || int64(*word(new)|*word(new + 16)) < 0 {
		return fail(eINVAL)
	}
	period, value := timeval(new), timeval(new+16)
	t.period, t.next = period, 0
	if value != 0 {
		t.next = n + value
	}
	return 0
}

func sysGetitimer(which, addr uint64) uint64 {
	t, n := itimerOf(which)
	if t == nil {
		return fail(eINVAL)
	}
	if !userRange(addr, 32, protWrite) {
		return fail(eFAULT)
	}
	putTimeval(addr, t.period)
	left := uint64(0)
	if t.next > n {
		left = t.next - n
	}
	putTimeval(addr+16, left)
	return 0
}

// timeval reads a struct timeval as ns. It saturates at 285 years.
func timeval(addr uint64) uint64 { return min(*word(addr), 9e9)*1e9 + *word(addr + 8)*1000 }
