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
	)
	f := &t.frame
	addr, val, timeout := f.RDI, uint32(f.RDX), f.R10
	op := f.RSI &^ private
	switch op {
	case opWait, opWaitBitset, opWaitBitset | realtime:
		if addr&3 != 0 || !userRange(addr, 4, protRead) {
			f.RAX = fail(eINVAL)
			return true
		}
		if *word32(addr) != val {
			f.RAX = fail(eAGAIN)
			return true
		}
		until := uint64(0)
		if timeout != 0 {
			d, ok := timespec(timeout)
			if !ok {
				f.RAX = fail(eINVAL)
				return true
			}
			n := now()
			until = n + d
			if op != opWait { // the bit-set form takes an absolute time
				until = d
				if op&realtime != 0 {
					until = d - realtimeOffset()
				}
			}
			if int64(until-n) <= 0 {
				f.RAX = fail(eTIMEDOUT)
				return true
			}
		}
		t.key = addr
		wait(waitFutex, until)
		futexAppend(running)
		return false
	case opWake, opWakeBitset:
		f.RAX = uint64(futexWake(addr, val))
		return true
	}
	f.RAX = fail(eNOSYS)
	return true
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
