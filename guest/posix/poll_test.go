package posix

import (
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func TestPoll(t *testing.T) {
	compare(t, func(p *proc) {
		r, w := p.pipe(syscall.O_NONBLOCK)
		f := p.open("f", creat|rdwr, 0o600)
		set := []pollfd{
			{fd: int32(r), events: 0x7fff}, {fd: int32(w), events: 0x7fff}, {fd: -1, events: 1}, {fd: 999, events: 1},
			{fd: int32(f), events: 0x145}, {fd: int32(r), events: 4}, {fd: int32(w), events: 0},
		}
		p.poll(0, set...)
		p.write(w, "x")
		p.poll(0, set...)
		p.poll(-1, set...)
		p.close(r)
		p.poll(0, set[1:]...)
		p.poll(0)
		p.do(syscall.SYS_POLL, nil, 5, 0)
		p.do(syscall.SYS_POLL, nil, 1<<20, 0)
		ts := syscall.Timespec{Nsec: 1e9}
		p.do(syscall.SYS_PPOLL, nil, 0, unsafe.Pointer(&ts), nil, 0)
		ts = syscall.Timespec{Nsec: 1e6}
		p.do(syscall.SYS_PPOLL, nil, 0, unsafe.Pointer(&ts), nil, 0)

		r, w = p.pipe(syscall.O_NONBLOCK)
		sel := func(r, w, e []fd, timeout any) {
			var sets [3][16]uint64
			for i, list := range [][]fd{r, w, e} {
				for _, f := range list {
					sets[i][f/64] |= 1 << (f % 64)
				}
			}
			n, errno := p.call(syscall.SYS_SELECT, 1000, unsafe.Pointer(&sets[0]), unsafe.Pointer(&sets[1]),
				unsafe.Pointer(&sets[2]), timeout)
			got := ""
			for i, list := range [][]fd{r, w, e} {
				for _, f := range list {
					if sets[i][f/64]>>(f%64)&1 != 0 {
						got += string("rwe"[i])
					}
				}
			}
			p.note("select = %d %q %s", int(n), got, errnoName(errno))
		}
		zero := func() any { return unsafe.Pointer(&syscall.Timeval{}) }
		sel([]fd{r}, []fd{w}, []fd{r, w}, zero())
		p.write(w, "x")
		sel([]fd{r, f}, []fd{w, f}, []fd{r, w}, zero())
		sel([]fd{r}, nil, nil, nil)
		sel([]fd{r, 900}, nil, nil, nil)
		sel(nil, nil, nil, unsafe.Pointer(&syscall.Timeval{Usec: 1000}))
		p.do(syscall.SYS_PSELECT6, -1, nil, nil, nil, nil, nil)
		p.do(syscall.SYS_PSELECT6, 0, nil, nil, nil, unsafe.Pointer(&syscall.Timespec{Nsec: -1}), nil)
		p.do(syscall.SYS_PSELECT6, 0, nil, nil, nil, unsafe.Pointer(&syscall.Timespec{Nsec: 1}), nil)
	})
}

func TestPollBlocking(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	r, w := p.pipe(0)
	r2, _ := p.pipe(0)
	set := []pollfd{{fd: int32(r2), events: 1}, {fd: int32(r), events: 1}}
	poll := func(timeout int) func() string {
		return func() string { return result2(g.call(syscall.SYS_POLL, unsafe.Pointer(&set[0]), len(set), timeout)) }
	}
	if got := blocked(t, poll(-1), func() { p.write(w, "x") }); got != "1" || set[1].revents != 1 || set[0].revents != 0 {
		t.Fatal(got, set)
	}
	p.read(r, 1)
	start := time.Now()
	if got := poll(30)(); got != "0" || time.Since(start) < 30*time.Millisecond {
		t.Fatal(got, time.Since(start))
	}
	if n := len(g.s.files.get(int(r)).object.ready().waiters); n != 0 {
		t.Fatal(n, "waiters are left over")
	}

	// With the console among them, an epoll instance waits.
	set = append(set, pollfd{fd: 0, events: 1}, pollfd{fd: int32(r), events: 1}, pollfd{fd: 99, events: 1})
	if got := poll(-1)(); got != "1" || set[4].revents != pollNval {
		t.Fatal(got, set)
	}
	set = set[:4]
	if got := blocked(t, poll(-1), func() { p.write(w, "x") }); got != "2" || set[1].revents != 1 || set[3].revents != 1 {
		t.Fatal(got, set)
	}
	p.read(r, 1)
	if got := blocked(t, poll(10_000), func() {
		g.c.mu.Lock()
		g.c.in = []byte("typed")
		g.c.cond.Broadcast()
		g.c.mu.Unlock()
	}); got != "1" || set[2].revents != 1 {
		t.Fatal(got, set)
	}
	g.c.in = nil
	if got := poll(20)(); got != "0" {
		t.Fatal(got, set)
	}
	f := p.must(syscall.SYS_OPEN, "/dev/zero", rdonly, 0)
	set = append(set, pollfd{fd: int32(f), events: 5})
	if got := poll(-1)(); got != "1" || set[4].revents != 5 {
		t.Fatal(got, set)
	}
}

// TestReadiness sees what package kernel is told about a pipe, and that it is not told what it knows.
func TestReadiness(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	r, w := p.pipe(syscall.O_NONBLOCK)
	step := func(what string, calls int64, reader, writer Events, do func()) {
		t.Helper()
		before := g.c.calls.Load()
		do()
		if n := g.c.calls.Load() - before; n != calls {
			t.Errorf("%s: %d calls, want %d", what, n, calls)
		}
		if a, b := g.c.level(int(r)), g.c.level(int(w)); a != reader || b != writer {
			t.Errorf("%s: levels %#x and %#x, want %#x and %#x", what, a, b, reader, writer)
		}
	}
	full := make([]byte, 65536)
	step("nothing", 0, 0, EventOut, func() { p.read(r, 1) })
	step("write", 1, EventIn, EventOut, func() { p.write(w, "abc") })
	step("second write", 1, EventIn, EventOut, func() { p.write(w, "def") })
	step("part of it read", 0, EventIn, EventOut, func() { p.read(r, 2) })
	step("all read", 1, 0, EventOut, func() { p.read(r, 20) })
	step("filled", 2, EventIn, 0, func() { g.call(syscall.SYS_WRITE, w, full, len(full)) })
	step("full", 0, EventIn, 0, func() { p.write(w, "x") })
	step("a little room", 0, EventIn, 0, func() { p.read(r, 100) })
	step("room", 1, EventIn, EventOut, func() { p.read(r, 4000) })
	step("dup", 1, EventIn, EventOut, func() { p.must(syscall.SYS_DUP, r) })
	if l := g.c.level(5); l != EventIn {
		t.Errorf("the duplicate's level is %#x", l)
	}
	step("drained with two numbers", 2, 0, EventOut, func() { p.read(r, 70000) })
	step("hang-up", 2, EventHup, EventHup, func() { p.close(w); w = r })
}
