package kernel

// Sleepers are the threads that wait with a deadline, in a binary heap by wake-up time.

var (
	sleepHeap [maxThreads]uint32
	sleepers  uint32
)

func sleepUntil(i uint32, until uint64) {
	t := &threads[i]
	t.until = until
	place(sleepers, i)
	sleepers++
	siftUp(t.slot - 1)
}

// unsleep takes a thread out of the heap if it is in it.
func unsleep(i uint32) {
	t := &threads[i]
	if t.slot == 0 {
		return
	}
	at := t.slot - 1
	t.slot = 0
	sleepers--
	if at == sleepers {
		return
	}
	last := sleepHeap[sleepers]
	place(at, last)
	siftUp(at)
	siftDown(threads[last].slot - 1)
}

// expire wakes the sleepers whose time has come.
func expire(n uint64) {
	expireAlarm(n)
	for sleepers > 0 {
		i := sleepHeap[0]
		t := &threads[i]
		if t.until > n {
			return
		}
		result := uint64(0) // nanosleep is over, epoll_wait has no events
		if t.wait == waitFutex {
			result = fail(eTIMEDOUT)
		}
		wake(i, result)
	}
}

func place(at, i uint32) {
	sleepHeap[at] = i
	threads[i].slot = at + 1
}

func siftUp(at uint32) {
	i := sleepHeap[at]
	for at > 0 {
		parent := (at - 1) / 2
		if threads[sleepHeap[parent]].until <= threads[i].until {
			break
		}
		place(at, sleepHeap[parent])
		at = parent
	}
	place(at, i)
}

func siftDown(at uint32) {
	i := sleepHeap[at]
	for {
		child := 2*at + 1
		if child >= sleepers {
			break
		}
		if child+1 < sleepers && threads[sleepHeap[child+1]].until < threads[sleepHeap[child]].until {
			child++
		}
		if threads[i].until <= threads[sleepHeap[child]].until {
			break
		}
		place(at, sleepHeap[child])
		at = child
	}
	place(at, i)
}

// sysNanosleep is nanosleep and, with RDI giving the clock and RSI the flags, clock_nanosleep.
func sysNanosleep(t *thread, clock, flags, request uint64) (done bool) {
	const timerAbstime = 1
	d, errno := timespec(request)
	if _, known := clockRead(clock); !known {
		errno = eINVAL
	} else if clock != clockRealtime && clock != clockMonotonic_ && clock != clockBoottime && clock != clockTAI {
		errno = eOPNOTSUPP
	}
	if errno != 0 {
		t.frame.RAX = fail(errno)
		return true
	}
	n := now()
	until := n + d
	if flags&timerAbstime != 0 {
		until = d
		if clock == clockRealtime || clock == clockTAI {
			until = d - realtimeOffset()
		}
	}
	if d == 0 || int64(until-n) <= 0 {
		t.frame.RAX = 0
		return true
	}
	wait(waitSleep, until)
	return false
}

// timespec reads a struct timespec as ns. It saturates at 292 years.
func timespec(addr uint64) (ns, errno uint64) {
	if !userRange(addr, 16, protRead) {
		return 0, eFAULT
	}
	sec, nsec := *word(addr), *word(addr + 8)
	if int64(sec) < 0 || nsec >= 1e9 {
		return 0, eINVAL
	}
	if sec > 9e9 {
		return 9e18, 0
	}
	return sec*1e9 + nsec, 0
}
