package kernel

import (
	"testing"

	"ukvm.dev/hypercall"
)

// TestFullConsole has threads write more than there is room for.
func TestFullConsole(t *testing.T) {
	boots(t)
	for i := range uint64(100) {
		*byteAt(arena + i) = byte('a' + i%26)
	}
	want := string(bytesAt(arena, 100))
	monitor.room[1], monitor.outErr = 30, eAGAIN
	monitor.script = []func(){
		func() { monitor.room[1] = 50; monitor.ready = readyOutput },
		func() { monitor.ready = readyOutput }, // in vain
		func() { monitor.room[1] = 50; monitor.ready = readyOutput },
	}
	if n := sys(nrWrite, 1, arena, 100); n != 100 || string(monitor.out[1]) != want || len(monitor.polls) != 3 || writers != 0 {
		t.Errorf("write: %d, %q arrived after %d polls", int64(n), monitor.out[1], len(monitor.polls))
	}

	// Other threads go on; the news may come in the control page, with an upcall.
	boots(t)
	monitor.outErr = eAGAIN
	spawn(t)
	monitor.room[1] = 10
	if r := sys(nrWrite, 1, arena, 100); r != notYet || running != 2 || writers != 1 {
		t.Fatalf("a write without room: thread %d runs, %d wait", running, writers)
	}
	monitor.room[1] = 1000
	control().Ready = readyOutput
	interrupt()
	if running != 1 || writers != 0 || control().Ready != 0 {
		t.Errorf("thread %d runs, %d writers wait, ready %#x", running, writers, control().Ready)
	}
	if n := threads[1].frame.RAX; n != 100 || len(monitor.out[1]) != 100 {
		t.Errorf("write: %d, %d bytes arrived", int64(n), len(monitor.out[1]))
	}
}

// TestFullConsoleSignal: what is written when a signal comes is the result of the write.
func TestFullConsoleSignal(t *testing.T) {
	for _, room := range []int{0, 10} {
		boots(t)
		monitor.outErr = eAGAIN
		monitor.room[1] = room
		actions[10] = action{handler: 0x1000, flags: saOnStack}
		threads[1].altBase, threads[1].altSize = arena+4096, 8192
		spawn(t)
		sys(nrWrite, 1, arena, 100)
		if running != 2 {
			t.Fatalf("thread %d runs", running)
		}
		post(1, 10, siUser)
		if n := threads[1].frame.RAX; room > 0 && (n != uint64(room) || threads[1].again) || room == 0 && !threads[1].again {
			t.Errorf("room for %d: result %d, again %t", room, int64(n), threads[1].again)
		}
		if writers != 0 || threads[1].done != 0 {
			t.Errorf("room for %d: %d writers, %d done", room, writers, threads[1].done)
		}
	}
}

// TestFullConsoleNonblocking: a descriptor that does not wait polls writable when there is room.
func TestFullConsoleNonblocking(t *testing.T) {
	boots(t)
	monitor.outErr = eAGAIN
	monitor.room[2] = 5
	sys(nrFcntl, 2, 4, oNonblock)
	ep := sys(nrEpollCreate1, 0)
	*word32(arena) = epollOut
	sys(nrEpollCtl, ep, 1, 2, arena)
	wait := func(timeout uint64) uint64 { return sys(nrEpollPwait, ep, arena+64, 4, timeout, 0, 8) }
	if n := wait(0); n != 1 {
		t.Error("not writable at first")
	}
	if n := sys(nrWrite, 2, arena, 100); n != 5 {
		t.Errorf("write: %d", int64(n))
	}
	if got := errno(sys(nrWrite, 2, arena, 100)); got != eAGAIN {
		t.Errorf("write without room: errno %d", got)
	}
	if n := wait(0); n != 0 {
		t.Error("writable without room")
	}
	monitor.script = []func(){func() { monitor.room[2] = 50; monitor.ready = readyOutput }}
	if n := wait(^uint64(0)); n != 1 || *word32(arena + 64) != epollOut {
		t.Errorf("with room: %d, %#x", int64(n), *word32(arena + 64))
	}
}

// TestConsoleDuplicates: whoever waits under another number hears of input too, and of what is left of it.
func TestConsoleDuplicates(t *testing.T) {
	boots(t)
	fd := sys(nrDup, 0)
	monitor.script = []func(){func() { monitor.in = []byte("hello"); monitor.ready = readyConsole }}
	if n := sys(nrRead, fd, arena, 100); n != 5 {
		t.Errorf("read: %d", int64(n))
	}
	ep := sys(nrEpollCreate1, 0)
	*word32(arena) = epollIn
	asked := monitor.calls[hypercall.CallConsoleRead]
	sys(nrEpollCtl, ep, 1, fd, arena)
	if monitor.calls[hypercall.CallConsoleRead] != asked+1 {
		t.Error("the monitor was not asked to tell of input")
	}
	wait := func() uint64 { return sys(nrEpollPwait, ep, arena+64, 4, 0, 0, 8) }
	monitor.in = []byte("more")
	control().Ready = readyConsole
	interrupt()
	if n := wait(); n != 1 {
		t.Error("not readable")
	}
	if n := sys(nrRead, fd, arena, 3); n != 3 {
		t.Errorf("read: %d", int64(n))
	}
	if n := wait(); n != 0 {
		t.Error("readable, although that has to be found out")
	}
	if monitor.calls[hypercall.CallConsoleRead] != asked+3 {
		t.Error("the monitor was not asked whether there is more")
	}
}

// TestFileMask: umask(2) of SYSCALL instructions that package posix does not see is the one it uses.
func TestFileMask(t *testing.T) {
	boots(t)
	if was := sys(nrUmask, 0o7027); was != 0o022 || FileMask != 0o027 {
		t.Errorf("umask: %#o, now %#o", was, FileMask)
	}
	put(0, ^uint64(0), ^uint64(0))
	if r := sys(nrGetresuid, arena, arena+4, arena+8); r != 0 || *word(arena) != 0 || *word(arena + 8) != 0xffffffff_00000000 {
		t.Errorf("getresuid: %d, %#x, %#x", int64(r), *word(arena), *word(arena + 8))
	}
	if got := errno(sys(nrGetresgid, arena, 0, arena)); got != eFAULT {
		t.Errorf("getresgid to nowhere: errno %d", got)
	}
	if r := sys(nrSync); r != 0 {
		t.Errorf("sync: %d", int64(r))
	}
}
