package kernel

import (
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
)

// The tests of this package run the kernel on the host. A fake monitor serves its hypercalls on a clock that stands
// still unless it is told to move; threads are what the tests make them do: a test is the program.

// fakeMonitor is the monitor's end. There is one, because there is one kernel.
type fakeMonitor struct {
	time    uint64 // monotonic
	tick    uint64 // how far time moves whenever it is read
	script  []func()
	polls   []uint64 // deadlines of Poll calls
	ready   uint64   // what the next Poll returns
	kicks   int
	memory  []hypercall.MemoryOp
	full    bool // no memory for MemoryCommit
	onOp    func(hypercall.MemoryOp)
	out     [3][]byte
	room    [3]int // how much a stream takes before it fails with outErr
	outErr  uint64
	in      []byte
	inEnd   bool
	inErr   uint64
	entropy byte // value of the next random byte
	start   hypercall.StartArgs
	calls   [hypercall.CallMax]int
}

var monitor fakeMonitor

// ended is the panic with which the fake ends the guest.
type ended struct {
	status, signal uint64
	text           string // of an abort
}

// The program's memory: pages between two that are not mapped.
var (
	arena     uint64
	arenaSize = uint64(64 << 12)
)

func TestMain(m *testing.M) {
	b, err := unix.Mmap(-1, 0, int(arenaSize)+2*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		panic(err)
	}
	for _, guard := range [][]byte{b[:pageSize], b[len(b)-pageSize:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			panic(err)
		}
	}
	arena = uint64(uintptr(unsafe.Pointer(&b[0]))) + pageSize
	os.Exit(m.Run())
}

// boots makes a kernel as boot does, with one thread, which runs.
func boots(t testing.TB) {
	t.Helper()
	clear(threads[:])
	current, running, live, lastTID, threadTop = 0, 0, 0, 0, 1
	queueHead, queueTail, sliceEnd, loadedFS = 0, 0, 0, 0
	clear(sleepHeap[:])
	sleepers = 0
	clear(futexHead[:])
	clear(futexTail[:])
	clear(files[:])
	clear(fileBits[:])
	fileFirst, readers, writers, consoleFull, FileMask = 0, 0, 0, 0, 0o022
	clear(interests[:interestTop])
	interestFree, interestTop = 0, 1
	clear(epolls[:])
	clear(devices[:])
	deviceCount = 0
	alarmTime, alarmFile = 0, 0
	realTimer, profTimer = itimer{}, itimer{}
	idleTotal, idleSince = 0, 0
	randomKey, randomBuf, randomUsed, randomSince, randomReady = [8]uint32{}, [16 * randomBlocks]uint32{}, randomSize, 0, false
	xsaveBase, xsaveStride, xsaveArea, xsaveMask = 0, 0, 0, 0

	r := regions()
	clear(r.Table[:r.Count])
	r.Count = 0
	*control() = hypercall.Control{Mask: 1, Vector: hypercall.NoException}
	*boot_() = hypercall.Boot{Magic: hypercall.BootMagic, Version: hypercall.Version, Memory: 64 << 20}
	host.clock = hypercall.Clock{}
	clear(host.rings[:])

	m := &monitor
	*m = fakeMonitor{time: hypercall.ClockStart, room: [3]int{1: 1 << 30, 2: 1 << 30}}
	nowFunc = func() uint64 { m.time += m.tick; return m.time }
	outFunc = serveOut
	swapFunc = func(addr, value uint64) uint64 { was := *word(addr); *word(addr) = value; return was }
	cpuidFunc = func(leaf, sub uint64) uint64 { return 2696<<32 | 7 } // leaf 0xd: EBX, EAX

	initThreads()
	initFiles()
	if !insert(arena, arena+arenaSize, protRead|protWrite, true) {
		t.Fatal("no room for a region")
	}
	clear(unsafe.Slice(byteAt(arena), arenaSize))
}

// serveOut is the monitor's answer to an OUT instruction.
func serveOut(port, value uint64) {
	m, c := &monitor, control()
	n := port - hypercall.PortCall
	if n >= uint64(hypercall.CallMax) {
		panic("OUT to a port that is not open")
	}
	if c.Mask != 1 {
		panic("a hypercall with upcalls unmasked")
	}
	m.calls[n]++
	a := unsafe.Pointer(&c.Args)
	switch hypercall.Call(n) {
	case hypercall.CallHalt:
		h := (*hypercall.HaltArgs)(a)
		panic(ended{status: h.Status, signal: h.Signal})
	case hypercall.CallAbort:
		h := (*hypercall.AbortArgs)(a)
		panic(ended{text: unsafe.String(byteAt(uint64(h.Text)), h.Len)})
	case hypercall.CallStart:
		m.start = *(*hypercall.StartArgs)(a)
	case hypercall.CallPoll:
		servePoll((*hypercall.PollArgs)(a))
	case hypercall.CallConsoleWrite:
		h := (*hypercall.ConsoleWriteArgs)(a)
		h.N = min(h.Len, uint64(m.room[h.Stream]))
		if h.Errno = 0; h.N < h.Len {
			h.Errno = m.outErr
		}
		m.room[h.Stream] -= int(h.N)
		m.out[h.Stream] = append(m.out[h.Stream], unsafe.Slice(byteAt(uint64(h.Addr)), h.N)...)
	case hypercall.CallConsoleRead:
		h := (*hypercall.ConsoleReadArgs)(a)
		h.N = uint64(copy(unsafe.Slice(byteAt(uint64(h.Addr)), h.Len), m.in))
		m.in = m.in[h.N:]
		h.End, h.Errno = 0, 0
		if h.N == 0 && m.inErr != 0 {
			h.Errno = m.inErr
		} else if h.N == 0 && m.inEnd {
			h.End = 1
		}
	case hypercall.CallMemory:
		h := (*hypercall.MemoryArgs)(a)
		h.Done = 0
		for i := range h.Count {
			op := *(*hypercall.MemoryOp)(unsafe.Pointer(word(uint64(h.Ops) + i*uint64(unsafe.Sizeof(hypercall.MemoryOp{})))))
			if m.full && op.Op == hypercall.MemoryCommit {
				return
			}
			m.memory = append(m.memory, op)
			if m.onOp != nil {
				m.onOp(op)
			}
			h.Done++
		}
	case hypercall.CallEntropy:
		h := (*hypercall.EntropyArgs)(a)
		for i := range h.Len {
			m.entropy++
			*byteAt(uint64(h.Addr) + i) = m.entropy
		}
	case hypercall.CallKick:
		m.kicks++
	}
}

// servePoll sleeps: the next step of the script is what happens in the meantime; without one, time passes until the
// deadline.
func servePoll(a *hypercall.PollArgs) {
	m := &monitor
	m.polls = append(m.polls, a.Deadline)
	a.Ready = 0
	if len(m.script) > 0 {
		step := m.script[0]
		m.script = m.script[1:]
		step()
	} else if a.Deadline == 0 {
		panic("asleep for ever")
	} else {
		m.time = max(m.time, a.Deadline)
	}
	a.Ready, m.ready = m.ready, 0
	if control().Signals != 0 {
		a.Ready |= hypercall.ReadySignal
	}
}

// sys makes the running thread do a system call. It returns the result if the same thread goes on at once; else the
// thread waits or is ready, result is "not yet", and running is another.
const notYet = ^uint64(0) - 0xfffff

func sys(nr uint64, args ...uint64) uint64 {
	t := &threads[running]
	i := running
	var a [6]uint64
	copy(a[:], args)
	f := &t.frame
	f.RAX, f.RDI, f.RSI, f.RDX, f.R10, f.R8, f.R9 = nr, a[0], a[1], a[2], a[3], a[4], a[5]
	next := dispatch(t)
	checkKernel()
	if next != &threads[running] || uint64(uintptr(unsafe.Pointer(next))) != uint64(current) {
		panic("dispatch returned a thread that is not the running one")
	}
	if running != i {
		return notYet
	}
	return f.RAX
}

// interrupt is an upcall without a reason of its own: the running thread's time is up.
func interrupt() { fault(hypercall.NoException, 0, 0) }

// fault is an upcall because of an exception.
func fault(vector, code, address uint64) {
	c := control()
	c.Vector, c.Error, c.Address = vector, code, address
	c.Frame = threads[running].frame
	upcall()
	c.Vector = hypercall.NoException
	checkKernel()
}

// spawn makes a thread with clone as Go's runtime does, and returns its index; it is in the run queue.
func spawn(t testing.TB) uint32 {
	t.Helper()
	const flags = cloneVM | 0x200 | 0x400 | 0x800 | cloneThread | 0x40000
	tid := sys(nrClone, flags, arena+arenaSize)
	if int64(tid) < 0 {
		t.Fatalf("clone: errno %d", -int64(tid))
	}
	return findThread(tid)
}

// endOf runs f, which ends the guest, and returns how.
func endOf(t testing.TB, f func()) (e ended) {
	t.Helper()
	over := false
	func() {
		defer func() {
			if r := recover(); r != nil {
				var ok bool
				if e, ok = r.(ended); !ok {
					panic(r)
				}
				over = true
			}
		}()
		f()
	}()
	if !over {
		t.Error("the guest goes on")
	}
	return e
}

// checkKernel panics if the kernel's tables contradict each other: it runs after every entry.
func checkKernel() {
	in := map[uint32]string{} // where a thread hangs
	hang := func(i uint32, where string) {
		if was, twice := in[i]; twice {
			panic("a thread hangs in " + was + " and in " + where)
		}
		in[i] = where
	}
	last := uint32(0)
	for i := queueHead; i != 0; i = threads[i].next {
		hang(i, "the run queue")
		if threads[i].state != stateReady {
			panic("a thread in the run queue is not ready")
		}
		last = i
	}
	if last != queueTail {
		panic("the run queue's tail is not its end")
	}
	for l := range futexHead {
		prev := uint32(0)
		for i := futexHead[l]; i != 0; i = threads[i].next {
			hang(i, "a futex list")
			t := &threads[i]
			if t.prev != prev || t.wait != waitFutex || t.state != stateWaiting || futexList(t.key) != uint64(l) {
				panic("a futex list is broken")
			}
			prev = i
		}
		if futexTail[l] != prev {
			panic("a futex list's tail is not its end")
		}
	}
	for at := range sleepers {
		t := &threads[sleepHeap[at]]
		if t.slot != at+1 || t.state != stateWaiting || at > 0 && threads[sleepHeap[(at-1)/2]].until > t.until {
			panic("the heap of sleepers is broken")
		}
	}
	alive, reading, writing := uint32(0), uint32(0), uint32(0)
	waiting := [maxEpolls]uint32{}
	for i := uint32(1); i < threadTop; i++ {
		t := &threads[i]
		if t.state == stateFree {
			continue
		}
		alive++
		switch {
		case t.state == stateRunning && i != running, t.state == stateReady && in[i] != "the run queue",
			t.state == stateWaiting && t.wait == 0, t.wait == waitFutex && in[i] != "a futex list",
			t.state != stateWaiting && t.wait != 0, t.slot > sleepers:
			panic("a thread's state and place do not agree")
		}
		switch t.wait {
		case waitRead:
			reading++
		case waitWrite:
			writing++
		case waitEpoll:
			waiting[t.key]++
		}
	}
	if alive != live || reading != readers || writing != writers || threads[running].state != stateRunning {
		panic("threads are miscounted")
	}
	for e := range epolls {
		if epolls[e].used && epolls[e].waiters != waiting[e] {
			panic("waiters of an epoll are miscounted")
		}
	}
	checkRegions()
}

// checkRegions panics unless the region table is as hypercall.Regions wants it, with neighbours joined.
func checkRegions() {
	r := regions()
	for i := range int(r.Count) {
		e := &r.Table[i]
		if e.Start >= e.End || e.Start&pageMask != 0 || e.End&pageMask != 0 || e.Prot&(protWrite|protExec) == protWrite|protExec {
			panic("a region is wrong")
		}
		if i == 0 {
			continue
		}
		p := &r.Table[i-1]
		if p.End > e.Start {
			panic("regions overlap or are not sorted")
		}
	}
}

// random is a source with a fixed seed.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// put stores words in the program's memory, at the arena's start plus off, and returns their address.
func put(off uint64, words ...uint64) uint64 {
	for i, w := range words {
		*word(arena + off + 8*uint64(i)) = w
	}
	return arena + off
}

// errno is the error number a system call has returned, or 0.
func errno(result uint64) uint64 {
	if e := -int64(result); e > 0 && e < 4096 {
		return uint64(e)
	}
	return 0
}
