package kernel

// epoll(7). An interest joins a descriptor to an epoll instance; it hangs in the list of its descriptor, and in the
// ready list of its epoll while it may have something to report, which is what holds then. Level-triggered interests
// stay in the list as long as something holds; edge-triggered ones get there only when something is raised.
//
// A deviation from Linux: interests belong to descriptor numbers, not to what they describe, so closing a number ends
// them even if there are duplicates.

const (
	epollIn      = 0x1
	epollOut     = 0x4
	epollErr     = 0x8
	epollHup     = 0x10
	epollRdHup   = 0x2000
	epollOneShot = 1 << 30
	epollEdge    = 1 << 31
	epollBits    = 0x3ff | epollRdHup

	epollNest = 5 // how deep epolls may watch epolls
)

type interest struct {
	data       uint64
	fd         uint32
	epoll      uint32
	events     uint32
	nextOfFile uint32
	nextReady  uint32
	prevReady  uint32
	used       bool
	queued     bool
}

type epoll struct {
	used        bool
	fd          uint32 // one of its descriptors, to report its own readiness at
	first, last uint32 // ready list
	count       uint32 // interests
	waiters     uint32 // threads that wait
	waiter      uint32 // the last one that began to
}

var (
	interests    [maxInterests]interest
	interestFree uint32 // list of freed ones by nextOfFile
	interestTop  uint32 = 1
	epolls       [maxEpolls]epoll
)

// sysEpollCreate is epoll_create1; the size that epoll_create has must be positive, and is of no use.
func sysEpollCreate(flags uint64) uint64 {
	if flags&^oCloexec != 0 {
		return fail(eINVAL)
	}
	for i := range epolls {
		if epolls[i].used {
			continue
		}
		fd, errno := openFile(0, kindEpoll, flags&oCloexec, uint64(i))
		if errno != 0 {
			return fail(errno)
		}
		epolls[i] = epoll{used: true, fd: uint32(fd)}
		return fd
	}
	return fail(eMFILE)
}

// epollFree ends an instance and its interests.
func epollFree(e uint32) {
	for i := uint32(1); i < interestTop && epolls[e].count > 0; i++ {
		if interests[i].used && interests[i].epoll == e {
			interestRemove(i)
		}
	}
	epolls[e].used = false
}

func epollOf(fd uint64) (e uint32, errno uint64) {
	f := lookup(fd)
	if f == nil {
		return 0, eBADF
	}
	if f.kind != kindEpoll {
		return 0, eINVAL
	}
	return uint32(f.value), 0
}

func interestNew() uint32 {
	if i := interestFree; i != 0 {
		interestFree = interests[i].nextOfFile
		return i
	}
	if interestTop == maxInterests {
		return 0
	}
	interestTop++
	return interestTop - 1
}

func interestFind(fd uint64, e uint32) uint32 {
	i := files[fd].interest
	for i != 0 && interests[i].epoll != e {
		i = interests[i].nextOfFile
	}
	return i
}

func interestRemove(i uint32) {
	in := &interests[i]
	p := &files[in.fd].interest
	for *p != i {
		p = &interests[*p].nextOfFile
	}
	*p = in.nextOfFile
	interestUnqueue(i)
	epolls[in.epoll].count--
	*in = interest{nextOfFile: interestFree}
	interestFree = i
}

// interestQueue puts an interest at the end of its epoll's ready list if it is not in it.
func interestQueue(i uint32) {
	in := &interests[i]
	if in.queued {
		return
	}
	e := &epolls[in.epoll]
	in.queued, in.nextReady, in.prevReady = true, 0, e.last
	if e.last == 0 {
		e.first = i
	} else {
		interests[e.last].nextReady = i
	}
	e.last = i
}

func interestUnqueue(i uint32) {
	in := &interests[i]
	if !in.queued {
		return
	}
	e := &epolls[in.epoll]
	if in.prevReady == 0 {
		e.first = in.nextReady
	} else {
		interests[in.prevReady].nextReady = in.nextReady
	}
	if in.nextReady == 0 {
		e.last = in.prevReady
	} else {
		interests[in.nextReady].prevReady = in.prevReady
	}
	in.queued, in.nextReady, in.prevReady = false, 0, 0
}

// interestRaise takes events on an interest's descriptor to its epoll, and to those who wait for that.
func interestRaise(i uint32, events uint32) {
	in := &interests[i]
	if in.events&events&epollBits == 0 { // of no interest, or a one-shot that has fired
		return
	}
	interestQueue(i)
	e := &epolls[in.epoll]
	if e.waiters > 0 {
		epollWake(in.epoll)
	}
	if files[e.fd].interest != 0 {
		setReady(uint64(e.fd), epollIn, 0)
	}
}

func sysEpollCtl(epfd, op, fd, event uint64) uint64 {
	const add, del, mod = 1, 2, 3
	e, errno := epollOf(epfd)
	if errno != 0 {
		return fail(errno)
	}
	f := lookup(fd)
	if f == nil {
		return fail(eBADF)
	}
	if fd == epfd {
		return fail(eINVAL)
	}
	if op != del && !userRange(event, 12, protRead) {
		return fail(eFAULT)
	}
	i := interestFind(fd, e)
	switch op {
	case add:
		if i != 0 {
			return fail(eEXIST)
		}
		if f.kind == kindEpoll && epollDepth(uint32(f.value), e, 0) >= epollNest {
			return fail(eLOOP)
		}
		if f.kind == kindObject && f.value&objectPlain != 0 {
			return fail(ePERM) // regular files and directories are always ready
		}
		if i = interestNew(); i == 0 {
			return fail(eNOMEM)
		}
		interests[i] = interest{used: true, fd: uint32(fd), epoll: e, nextOfFile: f.interest}
		f.interest = i
		epolls[e].count++
	case mod:
		if i == 0 {
			return fail(eNOENT)
		}
	case del:
		if i == 0 {
			return fail(eNOENT)
		}
		interestRemove(i)
		return 0
	default:
		return fail(eINVAL)
	}
	in := &interests[i]
	in.events, in.data = *word32(event)|epollErr|epollHup, *word(event + 4)
	if !in.queued {
		interestRaise(i, readiness(f))
		if f.kind == kindConsole && f.value == 0 && f.level&epollIn == 0 {
			consoleAsk()
		}
	}
	return 0
}

// readiness is what holds of a descriptor now.
func readiness(f *file) uint32 {
	switch f.kind {
	case kindEpoll:
		return epollReadiness(&epolls[f.value])
	case kindConsole:
		switch {
		case f.value != 0 && consoleFull&(1<<f.value) != 0:
			return 0
		case f.value != 0:
			return epollOut
		}
	}
	return eventsOf(f.level)
}

// epollReadiness is whether one of an epoll's interests has something to report. Those that no longer have leave the
// ready list.
func epollReadiness(e *epoll) uint32 {
	for e.first != 0 {
		in := &interests[e.first]
		if readiness(&files[in.fd])&in.events != 0 {
			return epollIn
		}
		interestUnqueue(e.first)
	}
	return 0
}

// epollDepth is how deep e watches other epolls; epollNest or more if it is too deep or leads back to root.
func epollDepth(e, root uint32, depth int) int {
	if e == root || depth >= epollNest {
		return epollNest
	}
	deepest := depth
	for i := uint32(1); i < interestTop; i++ {
		in := &interests[i]
		if !in.used || in.epoll != e || files[in.fd].kind != kindEpoll {
			continue
		}
		deepest = max(deepest, epollDepth(uint32(files[in.fd].value), root, depth+1))
	}
	return deepest
}

// sysEpollWait is epoll_wait, epoll_pwait and epoll_pwait2. It reports whether the call is done.
func sysEpollWait(t *thread) bool {
	f := &t.frame
	e, errno := epollOf(f.RDI)
	if errno != 0 {
		f.RAX = fail(errno)
		return true
	}
	n := f.RDX
	if n == 0 || n > 1<<16 {
		f.RAX = fail(eINVAL)
		return true
	}
	if !userRange(f.RSI, 12*n, protWrite) {
		f.RAX = fail(eFAULT)
		return true
	}
	until, nowait := t.limit, false
	if !t.again {
		if until, nowait, errno = epollTimeout(t.call, f.R10); errno != 0 {
			f.RAX = fail(errno)
			return true
		}
	}
	collectDevices()
	if alarmTime != 0 {
		expireAlarm(now())
	}
	if f.RAX = epollCollect(e, f.RSI, n); f.RAX != 0 || nowait {
		return true
	}
	t.key, t.limit = uint64(e), until
	epolls[e].waiters++
	epolls[e].waiter = running
	wait(waitEpoll, until)
	return false
}

// epollTimeout is when an epoll_wait ends at the latest, 0 for never.
func epollTimeout(call, timeout uint64) (until uint64, nowait bool, errno uint64) {
	switch {
	case call == nrEpollPwait2:
		if timeout == 0 {
			return 0, false, 0
		}
		d, errno := timespec(timeout)
		return now() + d, d == 0, errno
	case int32(timeout) == 0:
		return 0, true, 0
	case int32(timeout) > 0:
		return now() + epollMillis(uint64(uint32(timeout)))*1e6, false, 0
	}
	return 0, false, 0
}

// epollMillis is how long an epoll_wait for ms waits, in ms. The runtime's poller rounds the time to its next timer down,
// and waits once more for the rest, for which it rounds up: two wake-ups of an idle guest for each timer. One that is rounded
// up to begin with comes at the same time as the second. Linux promises no more than not to be early.
func epollMillis(ms uint64) uint64 {
	if ms == 1 {
		return 1 // the rest, or rounded up
	}
	return ms + 1
}

// epollCollect stores up to n events at addr (struct epoll_event is packed: 12 bytes) and returns how many.
func epollCollect(e uint32, addr, n uint64) (stored uint64) {
	ep := &epolls[e]
	last := ep.last // those behind it have been looked at
	for i := uint32(0); i != last && stored < n; {
		i = ep.first
		in := &interests[i]
		interestUnqueue(i)
		events := readiness(&files[in.fd]) & in.events
		if events == 0 {
			continue
		}
		*word32(addr) = events
		*word(addr + 4) = in.data
		addr += 12
		stored++
		switch {
		case in.events&epollOneShot != 0:
			in.events &^= epollBits
		case in.events&epollEdge == 0:
			interestQueue(i) // until it no longer holds
		}
	}
	return stored
}

// epollWake lets a thread that waits for an epoll's events look again.
func epollWake(e uint32) {
	if i := epolls[e].waiter; waitsFor(i, waitEpoll, uint64(e)) {
		again(i)
		return
	}
	for i := uint32(1); i < threadTop; i++ {
		if waitsFor(i, waitEpoll, uint64(e)) {
			again(i)
			return
		}
	}
}

// epollForget takes a thread out of the count of an epoll's waiters.
func epollForget(i uint32) {
	epolls[threads[i].key].waiters--
	threads[i].key = 0
}
