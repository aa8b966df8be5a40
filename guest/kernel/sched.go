package kernel

import "ukvm.dev/hypercall"

// The scheduler: one run queue, first in first out. A thread runs until it waits, or until another has been ready for
// a time slice, or until a sleeper's time has come; the monitor then makes an upcall at Control.Deadline.

var (
	queueHead, queueTail uint32
	sliceEnd             uint64 // when the running thread must make room, 0: nobody waits
	loadedFS             uint64 // what the FS base register holds

	nextSleeper   uint64 // when the first sleeper wakes, as wantUpcall saw it last
	sleeperUpcall uint64 // when that interrupts a running thread
)

// ready puts a thread into the run queue.
func ready(i uint32) {
	t := &threads[i]
	t.state = stateReady
	t.next = 0
	if queueTail == 0 {
		queueHead = i
	} else {
		threads[queueTail].next = i
	}
	queueTail = i
}

// wake ends a thread's wait: its system call returns result.
func wake(i uint32, result uint64) {
	t := &threads[i]
	unsleep(i)
	switch t.wait {
	case waitFutex:
		futexRemove(i)
	case waitEpoll:
		epollForget(i)
	case waitRead:
		readers--
	case waitWrite:
		writers--
	}
	t.wait = 0
	t.frame.RAX = result
	ready(i)
}

// again ends a thread's wait by doing its system call once more.
func again(i uint32) {
	t := &threads[i]
	wake(i, t.call)
	t.again = true
}

// schedule takes the next thread from the run queue, idling until there is one, and makes it the running one.
func schedule() {
	for {
		if queueHead == 0 {
			idle()
			continue
		}
		i := queueHead
		t := &threads[i]
		queueHead = t.next
		if queueHead == 0 {
			queueTail = 0
		}
		t.next = 0
		if i != running {
			control().Log.Switches++
		}
		setRunning(i)
		sliceEnd = 0
		if t.again {
			done := serve(t)
			t.again = false
			if !done {
				continue // it waits once more
			}
		}
		return
	}
}

// wait takes the running thread off the processor until wake; until is when it wakes at the latest, 0 for never. The
// system call then returns false to dispatch, which calls schedule.
func wait(kind uint32, until uint64) {
	t := &threads[running]
	t.state = stateWaiting
	t.wait = kind
	if until != 0 {
		sleepUntil(running, until)
	}
}

// leave settles what must be right whenever the kernel returns to a thread: signals, and the time of the next upcall.
// It returns the thread to resume.
func leave() *thread {
	c := control()
	if c.Pending != 0 {
		c.Pending = 0
		takeSignals()
		takeReady(0)
		expire(now())
		collectDevices()
	}
	for {
		t := &threads[running]
		if p := t.pending &^ t.mask; p == 0 || !deliver(t, p) {
			break
		}
	}
	wantUpcall(c)
	t := &threads[running]
	xsaveArea = xsaveOf(running, uint32(t.depth))
	return t
}

// wantUpcall arranges for the next upcall, should the running thread not come back to the kernel before.
func wantUpcall(c *hypercall.Control) {
	d := uint64(0)
	if first := firstDue(); first != 0 {
		if first != nextSleeper {
			nextSleeper, sleeperUpcall = first, max(first, now()+patience)
		}
		d = sleeperUpcall
	}
	if queueHead != 0 {
		if sliceEnd == 0 {
			sliceEnd = now() + sliceNanos
		}
		if d == 0 || sliceEnd < d {
			d = sliceEnd
		}
	}
	if p := profileNext(); p != 0 && (d == 0 || p < d) {
		d = p
	}
	c.Deadline = d
	if d != 0 && (c.Armed == 0 || d < c.Armed) {
		call(hypercall.CallKick)
	}
}

// idle waits in the monitor until something is to be done. It returns when that may have made a thread ready.
func idle() {
	collectDevices()
	if sleepers > 0 || alarmTime != 0 {
		expire(now()) // what has become due while there was something to do costs no exit
	}
	if queueHead != 0 {
		return
	}
	deadline := realTimer.next
	if d := firstDue(); d != 0 && (deadline == 0 || d < deadline) {
		deadline = d
	}
	idleBegin()
	bits := poll(deadline)
	n := now()
	idleEnd(n)
	nextSleeper = 0 // patience begins anew: it is for threads that run
	control().Pending = 0
	takeSignals()
	realTime(n)
	takeReady(bits)
	expire(n)
	collectDevices()
}
