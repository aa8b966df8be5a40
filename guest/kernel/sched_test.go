package kernel

import (
	"fmt"
	"slices"
	"testing"

	"ukvm.dev/hypercall"
)

func TestClone(t *testing.T) {
	boots(t)
	threads[mainThread].mask = 0x5a5a
	threads[mainThread].fs = 111
	f := &threads[mainThread].frame
	f.RBX, f.RCX, f.R12, f.R15 = 1, 0x401000, 2, 3
	const flags = cloneVM | cloneThread | cloneSetTLS
	tid := sys(nrClone, flags, 0x7000_0000, 0, 0, 0xf5f5)
	if tid != 2 || running != mainThread {
		t.Fatalf("clone: %d, thread %d runs", int64(tid), running)
	}
	if r := sys(nrSchedYield); r != notYet || running != 2 {
		t.Fatal("the new thread does not run")
	}
	n := &threads[2]
	if f := &n.frame; f.RAX != 0 || f.RSP != 0x7000_0000 || f.RBX != 1 || f.RCX != 0x401000 || f.R12 != 2 || f.R15 != 3 {
		t.Errorf("registers of the new thread: %+v", *f)
	}
	if n.fs != 0xf5f5 || n.mask != 0x5a5a || n.how != resumeCall {
		t.Errorf("new thread: fs %#x, mask %#x, how %d", n.fs, n.mask, n.how)
	}
	if got := sys(nrGettid); got != 2 {
		t.Errorf("gettid: %d", got)
	}
	if got := sys(nrGetpid); got != processID {
		t.Errorf("getpid: %d", got)
	}
	for _, flags := range []uint64{0, 17, cloneVM, cloneThread, 0x4000 | cloneVM} { // fork, vfork
		if got := errno(sys(nrClone, flags, 1)); got != eNOSYS {
			t.Errorf("clone(%#x): errno %d, want ENOSYS", flags, got)
		}
	}
}

// TestCloneInSyscallInstruction sees that a thread made by a stray SYSCALL, which comes as an exception, resumes whole.
func TestCloneInSyscallInstruction(t *testing.T) {
	boots(t)
	// The instruction is looked at where the arena has it: the arena is made executable for that.
	protectArena(protRead | protExec)
	*word32(arena) = 0x050f
	f := &threads[mainThread].frame
	f.RIP, f.RAX, f.RDI, f.RSI, f.RFLAGS, f.RSP = arena, nrClone, cloneVM|cloneThread, 0x7000, 0x246, 0x6000
	fault(vectorInvalid, 0, 0)
	f = &threads[mainThread].frame
	if f.RAX != 2 || f.RIP != arena+2 || f.RCX != arena+2 || f.R11 != 0x246 {
		t.Errorf("after the instruction: RAX %d, RIP +%d, RCX +%d, R11 %#x", f.RAX, f.RIP-arena, f.RCX-arena, f.R11)
	}
	n := &threads[2]
	if n.how != resumeAll || n.frame.RIP != arena+2 || n.frame.RSP != 0x7000 || n.frame.RAX != 0 {
		t.Errorf("new thread: how %d, %+v", n.how, n.frame)
	}
}

// protectArena changes the protection of the arena in the region table only.
func protectArena(prot uint32) {
	cut(arena, arena+arenaSize)
	if prot != protNone {
		insert(arena, arena+arenaSize, prot, true)
	}
}

func TestThreadLimit(t *testing.T) {
	boots(t)
	for n := 1; n < maxThreads-1; n++ {
		if spawn(t) == 0 {
			t.Fatalf("thread %d is not found", n)
		}
	}
	if got := errno(sys(nrClone, cloneVM|cloneThread, 1)); got != eAGAIN {
		t.Fatalf("clone with %d threads: errno %d, want EAGAIN", live, got)
	}
	if got := errno(sys(nrClone, cloneVM|cloneThread, 1)); got != eAGAIN {
		t.Fatalf("and once more: errno %d", got)
	}
	// One thread ends, and one more can begin; thread ids are not used again.
	ended := running
	sys(nrExit)
	if running == ended {
		t.Fatal("an ended thread runs")
	}
	i := spawn(t)
	if i != ended || threads[i].tid != maxThreads {
		t.Errorf("new thread at %d with id %d, want %d and %d", i, threads[i].tid, ended, maxThreads)
	}
}

func TestExit(t *testing.T) {
	boots(t)
	spawn(t)
	sys(nrExit, 3) // the first thread; the program goes on
	if running != 2 || live != 1 {
		t.Fatalf("thread %d runs, %d live", running, live)
	}
	if e := endOf(t, func() { sys(nrExit, 0x107) }); e.status != 7 || e.signal != 0 {
		t.Errorf("the last thread's exit: %+v", e)
	}
	boots(t)
	spawn(t)
	if e := endOf(t, func() { sys(nrExitGroup, 0x1ff) }); e.status != 0xff || e.signal != 0 {
		t.Errorf("exit_group: %+v", e)
	}
}

// TestTimeSlice sees that a thread that never enters the kernel makes room for those that are ready, in turn, and is
// left alone if there are none.
func TestTimeSlice(t *testing.T) {
	boots(t)
	if d := control().Deadline; d != 0 {
		t.Errorf("one thread: an upcall is wanted at %d", d)
	}
	spawn(t)
	spawn(t)
	first := control().Deadline
	if first == 0 || first > now()+sliceNanos {
		t.Fatalf("others are ready: an upcall is wanted at %d, now %d", first, now())
	}
	monitor.time += sliceNanos / 2
	sys(nrGettid) // does not prolong the slice
	if d := control().Deadline; d != first {
		t.Errorf("the time slice ends at %d, was %d", d, first)
	}
	var order []uint32
	for range 7 {
		monitor.time = control().Deadline
		interrupt()
		order = append(order, running)
	}
	if want := []uint32{2, 3, 1, 2, 3, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("ran %d, want %d", order, want)
	}
	if threads[1].how != resumeVector {
		t.Error("an interrupted thread does not get its vector registers back")
	}
}

// model is the scheduler as its documentation has it, in the simplest way.
type model struct {
	running int
	queue   []int
	futex   map[uint64][]int // by address
	until   map[int]uint64
	timeout map[int]uint64 // what a thread's call returns when its time has come
	result  map[int]uint64
	live    int
	next    int // thread id
}

func (m *model) wake(i int, result uint64) {
	for a, l := range m.futex {
		m.futex[a] = slices.DeleteFunc(l, func(x int) bool { return x == i })
	}
	delete(m.until, i)
	m.result[i] = result
	m.queue = append(m.queue, i)
}

func (m *model) expire(n uint64) {
	for {
		first := 0
		for i, u := range m.until {
			if u <= n && (first == 0 || u < m.until[first]) {
				first = i
			}
		}
		if first == 0 {
			return
		}
		m.wake(first, m.timeout[first])
	}
}

func (m *model) schedule(n *uint64) {
	for len(m.queue) == 0 {
		first := uint64(0)
		for _, u := range m.until {
			if first == 0 || u < first {
				first = u
			}
		}
		*n = max(*n, first)
		m.expire(*n)
	}
	m.running, m.queue = m.queue[0], m.queue[1:]
}

// TestSchedulerModel does random things and compares who runs, and with which results, with the model.
func TestSchedulerModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
	}
}

func runModel(t *testing.T, seed uint64) {
	boots(t)
	r := random(seed)
	m := &model{running: 1, live: 1, next: 2, futex: map[uint64][]int{}, until: map[int]uint64{}, timeout: map[int]uint64{}, result: map[int]uint64{}}
	futexes := [4]uint64{arena + 8, arena + 8 + 1024, arena + 16, arena + 4096} // two in one list
	threadOf := func(id int) *thread { return &threads[findThread(uint64(id))] }
	for step := range 5000 {
		me := m.running
		what := ""
		var got, want uint64
		canBlock := len(m.queue) > 0 || len(m.until) > 0
		unique := func() uint64 { // a time that no other sleeper has
			for {
				u := now() + 1 + r.Uint64N(20_000_000)
				taken := false
				for _, x := range m.until {
					taken = taken || x == u
				}
				if !taken {
					return u
				}
			}
		}
		switch op := r.IntN(12); {
		case op == 0 && m.live < 40:
			what = "clone"
			got = sys(nrClone, cloneVM|cloneThread, 1)
			want = uint64(m.next)
			m.queue = append(m.queue, m.next)
			m.result[m.next] = 0
			m.next++
			m.live++
		case op == 1 && m.live > 1 && canBlock && r.IntN(3) == 0:
			what = "exit"
			got, want = sys(nrExit), notYet
			m.live--
			m.schedule(&monitor.time)
			me = 0
		case op == 2:
			what = "yield"
			got = sys(nrSchedYield)
			m.result[me] = 0
			if len(m.queue) > 0 {
				want = notYet
				m.queue = append(m.queue, me)
				m.schedule(&monitor.time)
			}
		case op == 3:
			what = "futex wait, wrong value"
			a := futexes[r.IntN(4)]
			*word32(a) = 5
			got, want = sys(nrFutex, a, 128, 6), fail(eAGAIN)
		case op <= 5 && canBlock:
			what = "futex wait"
			a := futexes[r.IntN(4)]
			*word32(a) = 7
			got, want = sys(nrFutex, a, 128, 7), notYet
			m.futex[a] = append(m.futex[a], me)
			m.schedule(&monitor.time)
		case op == 6:
			what = "futex wait with a timeout"
			a := futexes[r.IntN(4)]
			*word32(a) = 7
			u := unique()
			want = notYet
			m.futex[a] = append(m.futex[a], me)
			m.until[me], m.timeout[me] = u, fail(eTIMEDOUT)
			if d := u - now(); r.IntN(2) == 0 {
				got = sys(nrFutex, a, 128, 7, put(64, d/1e9, d%1e9))
			} else { // absolute
				got = sys(nrFutex, a, 9|128, 7, put(64, u/1e9, u%1e9), 0, 0xffffffff)
			}
			m.schedule(&monitor.time)
		case op <= 8:
			what = "futex wake"
			a, n := futexes[r.IntN(4)], 1+r.IntN(4)
			got = sys(nrFutex, a, 129, uint64(n))
			for n > 0 && len(m.futex[a]) > 0 {
				m.wake(m.futex[a][0], 0)
				n--
				want++
			}
		case op == 9:
			what = "nanosleep"
			u := unique()
			d := u - now()
			if r.IntN(2) == 0 {
				got = sys(nrNanosleep, put(64, d/1e9, d%1e9), 0)
			} else {
				got = sys(nrClockNanosleep, clockMonotonic_, 1, put(64, u/1e9, u%1e9), 0)
			}
			want = notYet
			m.until[me], m.timeout[me] = u, 0
			m.schedule(&monitor.time)
		case op == 10:
			what = "time passes"
			monitor.time += r.Uint64N(5_000_000)
			continue
		default:
			what = "upcall"
			f := &threads[running].frame
			keep := *f
			interrupt()
			m.expire(now())
			if len(m.queue) > 0 {
				m.queue = append(m.queue, me)
				m.result[me] = keep.RAX
				m.schedule(&monitor.time)
			}
		}
		if me == m.running && want == notYet { // it waited, and was the next to run
			want = m.result[me]
		}
		if got != want && !(me == m.running && got == m.result[me]) {
			t.Fatalf("step %d, %s: %d, want %d", step, what, int64(got), int64(want))
		}
		if threads[running].tid != uint32(m.running) {
			t.Fatalf("step %d, %s: thread %d runs, want %d", step, what, threads[running].tid, m.running)
		}
		if m.running != me {
			if got := threadOf(m.running).frame.RAX; got != m.result[m.running] {
				t.Fatalf("step %d: thread %d continues with %d, want %d", step, m.running, int64(got), int64(m.result[m.running]))
			}
		}
		checkDeadline(t)
	}
	if control().Log.Switches == 0 || control().Log.Gates < 1000 {
		t.Error("switches or calls are not counted")
	}
}

// checkDeadline checks that the running thread will be interrupted for those that wait.
func checkDeadline(t *testing.T) {
	t.Helper()
	d, n := control().Deadline, now()
	switch {
	case queueHead == 0 && sleepers == 0:
		if d != 0 {
			t.Fatalf("nobody waits, and an upcall is wanted at %d", d)
		}
	case d == 0:
		t.Fatal("others wait, and no upcall is wanted")
	case queueHead != 0 && d > n+sliceNanos:
		t.Fatalf("an upcall is wanted in %d ns: that is more than a time slice", d-n)
	case sleepers > 0 && d > max(threads[sleepHeap[0]].until, n)+sliceNanos:
		t.Fatalf("an upcall is wanted in %d ns: a sleeper's time is over by then", d-n)
	}
}

// TestPending sees that an upcall that came while the kernel was at work is made up for.
func TestPending(t *testing.T) {
	boots(t)
	i := spawn(t)
	sys(nrSchedYield)
	sys(nrNanosleep, put(0, 0, 1000), 0) // thread 2 sleeps, thread 1 runs
	monitor.time += 2000
	control().Pending = 1
	sys(nrGettid)
	if threads[i].state != stateReady || control().Pending != 0 {
		t.Error("the sleeper's time has come, but the upcall was lost")
	}
}

// TestIdle sees that an idle guest makes one call, until the first sleeper's time.
func TestIdle(t *testing.T) {
	boots(t)
	spawn(t)
	sys(nrNanosleep, put(0, 5, 0), 0)
	sys(nrNanosleep, put(16, 3, 0), 0) // the second thread, which is the first to wake
	want := uint64(hypercall.ClockStart) + 3e9
	if len(monitor.polls) != 1 || monitor.polls[0] != want || now() != want || running != 2 {
		t.Errorf("polls until %d, want once until %d; thread %d runs", monitor.polls, want, running)
	}
	if busy := busyTime(now()); busy != 0 {
		t.Errorf("busy for %d ns: all the time was idle", busy)
	}
	monitor.time += 12345
	if busy := busyTime(now()); busy != 12345 {
		t.Errorf("busy for %d ns, want 12345", busy)
	}
}
