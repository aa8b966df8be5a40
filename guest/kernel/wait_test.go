package kernel

import "testing"

// TestEpollWaiters sees that each event wakes a thread that waits for it, and that time-outs end.
func TestEpollWaiters(t *testing.T) {
	boots(t)
	ev, ep := sys(nrEventfd2, 0, oNonblock), sys(nrEpollCreate1, 0)
	*word32(arena) = epollIn | epollEdge
	*word(arena + 4) = 5
	sys(nrEpollCtl, ep, 1, ev, arena)
	for range 3 {
		spawn(t)
	}
	// Threads 1 to 3 wait; thread 4 writes.
	for range 3 {
		if r := sys(nrEpollPwait, ep, arena+512+64*uint64(running), 4, ^uint64(0), 0, 8); r != notYet {
			t.Fatalf("epoll_wait: %d", int64(r))
		}
	}
	if running != 4 {
		t.Fatalf("thread %d runs", running)
	}
	woken := map[uint32]bool{}
	for range 3 {
		sys(nrWrite, ev, put(0, 1), 8)
		sys(nrSchedYield)
		if running == 4 {
			t.Fatal("an event woke nobody")
		}
		me := running
		if got := threads[me].frame.RAX; got != 1 || *word(arena + 512 + 64*uint64(me) + 4) != 5 {
			t.Errorf("thread %d: %d events", me, int64(got))
		}
		woken[me] = true
		sys(nrFutex, arena+2048, 128, 0) // out of the way
		if running != 4 {
			t.Fatalf("thread %d runs: one event has woken two", running)
		}
	}
	if len(woken) != 3 {
		t.Errorf("woken: %v", woken)
	}
	// Time-outs: those in ms are rounded up by one, since who asks has rounded them down.
	start := now()
	for _, c := range []struct{ ms, want uint64 }{{1, 1e6}, {2, 3e6}, {20, 21e6}, {1e9, 1e15 + 1e6}} {
		start = now()
		if r := sys(nrEpollPwait, ep, arena+512, 4, c.ms, 0, 8); r != 0 || now() != start+c.want {
			t.Errorf("%d ms: %d after %d ns", c.ms, int64(r), now()-start)
		}
	}
	start = now()
	if r := sys(nrEpollPwait2, ep, arena+512, 4, put(0, 0, 12345), 0, 8); r != 0 || now() != start+12345 {
		t.Errorf("12345 ns: %d after %d ns", int64(r), now()-start)
	}
	// An event that another thread takes first does not prolong the time-out of one that was woken in vain.
	ep2 := sys(nrEpollCreate1, 0)
	*word32(arena) = epollIn
	sys(nrEpollCtl, ep2, 1, ev, arena)
	sys(nrRead, ev, arena, 8)
	start = now()
	monitor.script = []func(){func() {
		monitor.time += 5e6
		eventfdWrite(&files[ev], ev, put(0, 1), 8)
		eventfdRead(&files[ev], ev, arena, 8)
	}}
	if r := sys(nrEpollPwait, ep2, arena+512, 4, 20, 0, 8); r != 0 || now() != start+21e6 {
		t.Errorf("woken in vain: %d after %d ns", int64(r), now()-start)
	}
}

// TestBlockingRead waits for an eventfd and for the console.
func TestBlockingRead(t *testing.T) {
	boots(t)
	ev := sys(nrEventfd2, 0, 0)
	spawn(t)
	spawn(t)
	sys(nrRead, ev, arena+64, 8) // thread 1
	sys(nrRead, ev, arena+72, 8) // thread 2
	if running != 3 {
		t.Fatalf("thread %d runs", running)
	}
	sys(nrWrite, ev, put(0, 7), 8)
	sys(nrSchedYield)
	if running != 1 || threads[1].frame.RAX != 8 || *word(arena + 64) != 7 {
		t.Fatalf("thread %d runs, %d", running, int64(threads[1].frame.RAX))
	}
	sys(nrSchedYield)
	if running != 3 || threads[2].wait != waitRead || readers != 1 {
		t.Error("the second reader has not gone on waiting")
	}

	// The console: nothing yet, then some, then the end.
	monitor.script = []func(){func() { monitor.in = []byte("hello"); monitor.ready = readyConsole }}
	sys(nrSchedYield)
	sys(nrExit) // thread 1; 3 is next
	if n := sys(nrRead, 0, arena+128, 3); n != 3 || string(bytesAt(arena+128, 3)) != "hel" {
		t.Fatalf("read: %d", int64(n))
	}
	if n := sys(nrRead, 0, arena+128, 100); n != 2 {
		t.Errorf("read: %d", int64(n))
	}
	monitor.script = []func(){func() { monitor.inEnd = true; monitor.ready = readyConsole }}
	if n := sys(nrRead, 0, arena+128, 100); n != 0 {
		t.Errorf("at the end: %d", int64(n))
	}
	monitor.inErr = eIO
	if got := errno(sys(nrRead, 0, arena+128, 100)); got != eIO {
		t.Errorf("broken input: errno %d", got)
	}
	if got := errno(sys(nrRead, 1, arena+128, 100)); got != eBADF {
		t.Errorf("read standard output: errno %d", got)
	}
	if n := sys(nrRead, 0, arena+128, 0); n != 0 {
		t.Errorf("read nothing: %d", int64(n))
	}
}

func bytesAt(addr, n uint64) (b []byte) {
	for i := range n {
		b = append(b, *byteAt(addr + i))
	}
	return b
}

// TestConsoleEpoll sees that standard input is readable when the monitor says so, until it is empty.
func TestConsoleEpoll(t *testing.T) {
	boots(t)
	sys(nrFcntl, 0, 4, oNonblock)
	ep := sys(nrEpollCreate1, 0)
	*word32(arena) = epollIn | epollOut
	*word(arena + 4) = 0
	sys(nrEpollCtl, ep, 1, 0, arena)
	wait := func(timeout uint64) uint64 { return sys(nrEpollPwait, ep, arena+64, 4, timeout, 0, 8) }
	if n := wait(0); n != 0 {
		t.Error("readable before anything has come")
	}
	monitor.script = []func(){func() { monitor.in = []byte("x"); monitor.ready = readyConsole }}
	if n := wait(^uint64(0)); n != 1 || *word32(arena + 64) != epollIn {
		t.Errorf("input: %d, %#x", int64(n), *word32(arena + 64))
	}
	if n := sys(nrRead, 0, arena+128, 100); n != 1 {
		t.Errorf("read: %d", int64(n))
	}
	if got := errno(sys(nrRead, 0, arena+128, 100)); got != eAGAIN {
		t.Errorf("read all: errno %d", got)
	}
	if n := wait(0); n != 0 {
		t.Error("readable after all was read")
	}
	// Standard output can always be written.
	*word32(arena) = epollOut
	sys(nrEpollCtl, ep, 1, 1, arena)
	if n := wait(0); n != 1 || *word32(arena + 64) != epollOut {
		t.Errorf("output: %d, %#x", int64(n), *word32(arena + 64))
	}
}

func TestConsoleOutput(t *testing.T) {
	boots(t)
	fill := func(n uint64) uint64 {
		for i := range n {
			*byteAt(arena + i) = byte(i * 7)
		}
		return arena
	}
	if n := sys(nrWrite, 1, fill(5000), 5000); n != 5000 || string(monitor.out[1]) != string(bytesAt(arena, 5000)) {
		t.Errorf("write: %d, %d bytes arrived", int64(n), len(monitor.out[1]))
	}
	sys(nrDup2, 2, 9)
	if n := sys(nrWrite, 9, arena, 3); n != 3 || len(monitor.out[2]) != 3 {
		t.Error("a duplicate of standard error")
	}
	if got := errno(sys(nrWrite, 0, arena, 3)); got != eBADF {
		t.Errorf("write standard input: errno %d", got)
	}
	// A crash report to a file of package posix is not lost.
	fd := sys(nrAttach, 0, 0)
	if n := sys(nrWrite, fd, arena, 10); n != 10 || len(monitor.out[2]) != 13 {
		t.Error("write to a descriptor that is not the kernel's")
	}
	// The reader is gone: what fitted, then EPIPE and SIGPIPE.
	handle(t, sigPIPE)
	monitor.room[1], monitor.outErr = 100, ePIPE
	threads[1].frame.RSP = arena + 0x4000
	if n := sys(nrWrite, 1, arena, 300); n != 100 {
		t.Errorf("write to a full stream: %d", int64(n))
	}
	sys(nrWrite, 1, arena, 300)
	f := &threads[1].frame
	if f.RIP != handlerAddr || f.RDI != sigPIPE || errno(*word(f.RDX + ucRegisters + 104)) != ePIPE {
		t.Errorf("write to a broken pipe: at %#x, signal %d", f.RIP, f.RDI)
	}
	sigreturn()
	monitor.outErr = eIO
	if got := errno(sys(nrWrite, 2, arena, 0)); got != 0 {
		t.Errorf("write nothing: errno %d", got)
	}
	monitor.room[2] = 0
	if got := errno(sys(nrWrite, 2, arena, 1)); got != eIO {
		t.Errorf("broken output: errno %d", got)
	}
}

// TestTerminal sees which streams are terminals.
func TestTerminal(t *testing.T) {
	boots(t)
	boot_().Console = [3]uint32{1, 2, 4}
	for fd, want := range []uint64{0, eNOTTY, eNOTTY} {
		for _, request := range []uint64{tcgets, tiocgwinsz} {
			if got := errno(sys(nrIoctl, uint64(fd), request, arena)); got != want {
				t.Errorf("ioctl(%d, %#x): errno %d, want %d", fd, request, got, want)
			}
		}
	}
	if got := errno(sys(nrIoctl, 0, 0x9999, arena)); got != eINVAL {
		t.Errorf("unknown request: errno %d", got)
	}
}

// TestEventfdDuplicates: they are one counter, whose readers and epolls wait at any of them.
func TestEventfdDuplicates(t *testing.T) {
	boots(t)
	ev := sys(nrEventfd2, 3, oNonblock)
	dup := sys(nrDup, ev)
	to := sys(nrDup2, dup, 0) // number 0 too
	read := func(fd uint64) uint64 {
		if r := sys(nrRead, fd, arena+64, 8); r != 8 {
			return r
		}
		return *word(arena + 64)
	}
	ep := sys(nrEpollCreate1, 0)
	for _, fd := range []uint64{ev, dup, to} {
		*word32(arena) = epollIn
		*word(arena + 4) = fd
		sys(nrEpollCtl, ep, 1, fd, arena)
	}
	wait := func() uint64 { return sys(nrEpollPwait, ep, arena+128, 9, 0, 0, 8) }
	if n := wait(); n != 3 {
		t.Errorf("%d of 3 are readable", n)
	}
	if v := read(to); v != 3 || errno(read(ev)) != eAGAIN || errno(read(dup)) != eAGAIN || wait() != 0 {
		t.Errorf("read %d, and then more", int64(v))
	}
	sys(nrWrite, dup, put(0, 5), 8)
	sys(nrWrite, ev, put(0, 6), 8)
	if n := wait(); n != 3 {
		t.Errorf("written: %d of 3 are readable", n)
	}
	sys(nrClose, dup)
	if v := read(to); v != 11 || wait() != 0 {
		t.Errorf("read %d, want 11", int64(v))
	}
	sys(nrClose, ev)
	sys(nrWrite, to, put(0, 1), 8)
	if v := read(to); v != 1 || files[to].twin != 0 {
		t.Errorf("the last one: read %d, next in the ring %d", int64(v), files[to].twin)
	}
	// Who waits at one is woken by the other.
	ev = sys(nrEventfd2, 0, 0)
	dup = sys(nrFcntl, ev, 0, 50)
	spawn(t)
	sys(nrRead, ev, arena+64, 8)
	sys(nrWrite, dup, put(0, 9), 8)
	sys(nrSchedYield)
	if running != 1 || threads[1].frame.RAX != 8 || *word(arena + 64) != 9 {
		t.Errorf("thread %d runs, result %d", running, int64(threads[1].frame.RAX))
	}
}

// TestAccounting checks what the calls about the process itself say.
func TestAccounting(t *testing.T) {
	boots(t)
	control().Resident = 20 << 20
	monitor.time += 5_250_000_000
	idleTotal = 1_000_000_000
	if r := sys(nrGetrusage, 0, arena); r != 0 || *word(arena) != 4 || *word(arena + 8) != 250_000 || *word(arena + 32) != 20<<10 {
		t.Errorf("getrusage: %d, busy %d.%06d, %d KiB", int64(r), *word(arena), *word(arena + 8), *word(arena + 32))
	}
	if r := sys(nrGetrusage, ^uint64(0), arena); r != 0 || *word(arena) != 0 || *word(arena + 32) != 0 {
		t.Errorf("getrusage of children: %d, busy %d", int64(r), *word(arena))
	}
	if r := sys(nrSysinfo, arena); r != 0 || *word(arena) != 5 || *word(arena + 32) != 64<<20 || *word(arena + 40) != 44<<20 || *word32(arena + 104) != 1 {
		t.Errorf("sysinfo: %d, up %d, %d of %d bytes free", int64(r), *word(arena), *word(arena + 40), *word(arena + 32))
	}
	for _, tid := range []uint64{0, 1} {
		if r := sys(nrSchedGetaffinity, tid, 128, arena); r != 8 || *word(arena) != 1 {
			t.Errorf("sched_getaffinity: %d, %#x", int64(r), *word(arena))
		}
	}
	if r := sys(nrArchPrctl, 0x1002, 0x7777000); r != 0 || threads[1].fs != 0x7777000 {
		t.Errorf("ARCH_SET_FS: %d", int64(r))
	}
	if r := sys(nrArchPrctl, 0x1003, arena); r != 0 || *word(arena) != 0x7777000 {
		t.Errorf("ARCH_GET_FS: %d", int64(r))
	}
	for _, nr := range []uint64{nrGetuid, nrGeteuid, nrGetgid, nrGetegid, nrGetppid, nrBrk} {
		if r := sys(nr); r != 0 {
			t.Errorf("call %d: %d", nr, int64(r))
		}
	}
}
