package kernel

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// thread is one thread of the program, which Go calls an M. Threads are named by their index in threads; 0 is none in
// links, so that the zero table is empty; index 0 is never used.
type thread struct {
	frame hypercall.Frame // registers while it does not run
	fs    uint64          // FS base, Go's thread-local storage
	how   uint64          // how frame is resumed: resumeCall, resumeAll or resumeVector
	xsave uint64          // address of the vector state to restore with resumeVector

	state uint32 // stateFree and so on
	tid   uint32
	next  uint32 // link in the run queue or a wait queue
	prev  uint32
	wait  uint32 // what it waits in: waitSleep and so on
	slot  uint32 // its place in the heap of sleepers, plus one; 0: not in it
	until uint64 // when it wakes, monotonic ns
	key   uint64 // what it waits for: a futex address, a descriptor
	limit uint64 // epoll_wait: until, kept for when the call is done again
	done  uint64 // bytes of a write that waits for room that are written already
	call  uint64 // number of the system call it is in
	again bool   // the call is to be done again

	mask       uint64 // blocked signals; bit n-1 is signal n
	pending    uint64 // signals sent to this thread
	fromThread uint64 // of those, the ones sent by tgkill
	fromKernel uint64 // and by a timer; the others came from outside or by kill
	altBase    uint64 // sigaltstack
	altSize    uint64
	depth      uint64 // signal handlers it is in, 0 or 1
	outerHow   uint64 // how, of the frame under the handler
	code       uint32 // si_code and si_addr of a pending synchronous signal, 0 if there is none
	_          uint32
	addr       uint64
}

// Ways to resume a thread.
const (
	resumeCall   = iota // as from a system call: RCX, R11 and vector registers are lost
	resumeAll           // all general registers, flags included; vector registers are lost
	resumeVector        // everything
)

// Thread states.
const (
	stateFree    = iota
	stateReady   // in the run queue
	stateRunning // it is threads[running]
	stateWaiting
)

// What a waiting thread waits in.
const (
	waitSleep = 1 + iota // nanosleep
	waitFutex
	waitEpoll
	waitRead  // a descriptor to become readable; the call is then done again
	waitWrite // room in an output stream; likewise
)

var (
	threads   [maxThreads]thread
	current   uintptr // address of threads[running], for the gate
	running   uint32
	live      uint32 // threads that exist
	lastTID   uint32
	threadTop uint32 = 1 // all threads have a lower index
)

// xsaveBase and xsaveStride say where vector states are kept: two for each thread, one for it and one for its signal
// handler. xsaveMask are the state components in them.
var (
	xsaveBase, xsaveStride uint64
	xsaveMask              uint32
)

func xsaveOf(t, depth uint32) uint64 {
	return xsaveBase + uint64(2*t+depth)*xsaveStride
}

// newThread makes a thread that is not in any queue, or returns 0 if there are too many.
func newThread() uint32 {
	i := uint32(1)
	for i < threadTop && threads[i].state != stateFree {
		i++
	}
	if i == maxThreads {
		return 0
	}
	threadTop = max(threadTop, i+1)
	t := &threads[i]
	*t = thread{}
	lastTID++
	t.tid = lastTID
	t.state = stateWaiting
	live++
	return i
}

// waitsFor reports whether a thread waits for something.
func waitsFor(i, kind uint32, key uint64) bool {
	t := &threads[i]
	return t.state == stateWaiting && t.wait == kind && t.key == key
}

// setRunning makes t the thread that runs when the kernel returns.
func setRunning(t uint32) {
	running = t
	current = uintptr(unsafe.Pointer(&threads[t]))
	threads[t].state = stateRunning
}

// findThread returns the thread with a thread id, or 0.
func findThread(tid uint64) uint32 {
	for i := uint32(1); i < threadTop; i++ {
		if threads[i].state != stateFree && uint64(threads[i].tid) == tid {
			return i
		}
	}
	return 0
}

// Flags of clone(2) that Go passes: threads of one process.
const (
	cloneVM     = 0x100
	cloneThread = 0x10000
	cloneSetTLS = 0x80000
)

// sysClone starts a thread on a new stack, where the caller's registers continue with 0 in RAX.
func sysClone(t *thread) uint64 {
	f := &t.frame
	flags := f.RDI
	if flags&cloneVM == 0 || flags&cloneThread == 0 {
		return fail(eNOSYS) // fork, vfork: there is one process
	}
	if flags&cloneSetTLS != 0 && f.R8 >= uint64(hypercall.UserEnd) {
		return fail(ePERM)
	}
	i := newThread()
	if i == 0 {
		return fail(eAGAIN)
	}
	n := &threads[i]
	n.frame = *f
	n.frame.RAX = 0
	n.frame.RSP = f.RSI
	n.how = t.how
	if n.how == resumeVector {
		n.how = resumeAll
	}
	n.fs = t.fs
	if flags&cloneSetTLS != 0 {
		n.fs = f.R8
	}
	n.mask = t.mask
	ready(i)
	return uint64(n.tid)
}

// sysExit ends the calling thread, and the program with its last one.
func sysExit(t *thread) bool {
	if live == 1 {
		halt(t.frame.RDI&0xff, 0)
	}
	live--
	t.state = stateFree
	return false
}

// sysArchPrctl sets and gets the FS base.
func sysArchPrctl(t *thread) uint64 {
	const setFS, getFS = 0x1002, 0x1003
	switch t.frame.RDI {
	case setFS:
		if t.frame.RSI >= uint64(hypercall.UserEnd) {
			return fail(ePERM) // WRFSBASE faults on what is not canonical
		}
		t.fs = t.frame.RSI
		return 0
	case getFS:
		if !userRange(t.frame.RSI, 8, protWrite) {
			return fail(eFAULT)
		}
		*word(t.frame.RSI) = t.fs
		return 0
	}
	return fail(eINVAL)
}
