package kernel

// Futexes: FUTEX_WAIT and FUTEX_WAKE on private addresses, which is what Go uses (futex(2)). Waiting threads hang in
// one of a few lists by address.

const futexLists = 64

var futexHead, futexTail [futexLists]uint32

func futexList(addr uint64) uint64 {
	return (addr>>2 ^ addr>>8) % futexLists
}

// sysFutex reports whether the call is done; otherwise the thread waits.
func sysFutex(t *thread) bool {
	const (
		opWait       = 0
		opWake       = 1
		opWaitBitset = 9
		opWakeBitset = 10
		private      = 128
		realtime     = 256
		anyBits      = 0xffffffff
	)
	f := &t.frame
	addr, val := f.RDI, uint32(f.RDX)
	op, bits := f.RSI&^private, uint32(anyBits)
	if op&^realtime == opWaitBitset || op == opWakeBitset {
		bits = uint32(f.R9)
	}
	switch op {
	case opWait, opWaitBitset, opWaitBitset | realtime:
		until, errno := futexTimeout(f.R10, op != opWait, op&realtime != 0)
		switch {
		case errno != 0:
		case addr&3 != 0 || bits == 0:
			errno = eINVAL
		case bits != anyBits:
			errno = eNOSYS
		case !userRange(addr, 4, protRead):
			errno = eFAULT
		case *word32(addr) != val:
			errno = eAGAIN
		case until != 0 && until <= now():
			errno = eTIMEDOUT
		}
		if errno != 0 {
			f.RAX = fail(errno)
			return true
		}
		t.key = addr
		wait(waitFutex, until)
		futexAppend(running)
		return false
	case opWake, opWakeBitset:
		switch {
		case addr&3 != 0 || bits == 0:
			f.RAX = fail(eINVAL)
		case bits != anyBits:
			f.RAX = fail(eNOSYS)
		default:
			f.RAX = uint64(futexWake(addr, val))
		}
		return true
	}
	f.RAX = fail(eNOSYS)
	return true
}

// futexTimeout is when a wait ends at the latest, in monotonic time, 0 for never. The bit-set form gives an absolute
// time.
func futexTimeout(addr uint64, absolute, realtime bool) (until, errno uint64) {
	if addr == 0 {
		return 0, 0
	}
	d, errno := timespec(addr)
	switch {
	case !absolute:
		d += now()
	case realtime:
		d -= min(d, realtimeOffset())
	}
	return max(d, 1), errno
}

func futexAppend(i uint32) {
	t := &threads[i]
	l := futexList(t.key)
	t.next, t.prev = 0, futexTail[l]
	if t.prev == 0 {
		futexHead[l] = i
	} else {
		threads[t.prev].next = i
	}
	futexTail[l] = i
}

func futexRemove(i uint32) {
	t := &threads[i]
	l := futexList(t.key)
	if t.prev == 0 {
		futexHead[l] = t.next
	} else {
		threads[t.prev].next = t.next
	}
	if t.next == 0 {
		futexTail[l] = t.prev
	} else {
		threads[t.next].prev = t.prev
	}
	t.next, t.prev, t.key = 0, 0, 0
}

// futexWake wakes up to n threads that wait for addr, the longest waiting first.
func futexWake(addr uint64, n uint32) (woken uint32) {
	i := futexHead[futexList(addr)]
	for i != 0 && woken < n {
		next := threads[i].next
		if threads[i].key == addr {
			wake(i, 0)
			woken++
		}
		i = next
	}
	return woken
}
