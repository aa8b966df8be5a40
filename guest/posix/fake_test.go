package posix

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"ukvm.dev/guest/kernel"
	"ukvm.dev/hypercall"
)

// fakeCore stands for package kernel: descriptor numbers and readiness, with a limit, and the console at 0 to 2. (The
// kernel's own model on a host is one for the whole process, so that tests could not run beside each other.)
type fakeCore struct {
	mu    sync.Mutex
	cond  *sync.Cond
	files []fakeFile
	limit int
	calls atomic.Int64 // of SetReady
	out   [3][]byte    // what was written to the console
	in    []byte
}

type fakeFile struct {
	kind, value int
	flags       uint
	level       Events
	edges       int // how often EventIn was raised
}

func newFakeCore() *fakeCore {
	c := &fakeCore{limit: 1024}
	c.cond = sync.NewCond(&c.mu)
	for i := range 3 {
		c.files = append(c.files, fakeFile{kind: kernel.KindConsole, value: i})
	}
	return c
}

func (c *fakeCore) allocateLocked(min int, f fakeFile) int {
	for fd := min; fd < c.limit; fd++ {
		for len(c.files) <= fd {
			c.files = append(c.files, fakeFile{})
		}
		if c.files[fd].kind == kernel.KindNone {
			c.files[fd] = f
			return fd
		}
	}
	return -int(syscall.EMFILE)
}

func (c *fakeCore) Attach(min int, flags uint) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allocateLocked(min, fakeFile{kind: kernel.KindObject, flags: flags})
}

func (c *fakeCore) AttachAt(fd int, flags uint) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fd >= c.limit {
		return -int(syscall.EBADF)
	}
	for len(c.files) <= fd {
		c.files = append(c.files, fakeFile{})
	}
	c.files[fd] = fakeFile{kind: kernel.KindObject, flags: flags}
	return fd
}

func (c *fakeCore) Detach(fd int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[fd].kind != kernel.KindObject {
		panic("detach of what is no object")
	}
	c.files[fd] = fakeFile{}
	return 0
}

func (c *fakeCore) SetReady(fd int, set, clear uint32) {
	c.calls.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.files[fd]
	if f.kind != kernel.KindObject {
		panic("readiness of what is no object")
	}
	f.level = f.level&^Events(clear) | Events(set)
	if Events(set)&EventIn != 0 {
		f.edges++
	}
	c.cond.Broadcast()
}

func (c *fakeCore) SetFlags(fd int, flags uint) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files[fd].flags = c.files[fd].flags&kernel.Plain | flags
	return 0
}

func (c *fakeCore) KindOf(fd int) (kind, value int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fd < 0 || fd >= len(c.files) {
		return 0, 0
	}
	return c.files[fd].kind, c.files[fd].value
}

func (c *fakeCore) level(fd int) Events {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.files[fd].level
}

// The rest is the gate.

func (c *fakeCore) Read(fd int, p []byte) (int, syscall.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, 0
}

func (c *fakeCore) Write(fd int, p []byte) (int, syscall.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[fd]
	if f.kind != kernel.KindConsole {
		return 0, syscall.EBADF
	}
	c.out[f.value] = append(c.out[f.value], p...)
	return len(p), 0
}

func (c *fakeCore) Close(fd int) syscall.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fd >= len(c.files) || c.files[fd].kind == kernel.KindNone || c.files[fd].kind == kernel.KindObject {
		return syscall.EBADF // an object is closed by package posix only, even if it has come since that looked
	}
	c.files[fd] = fakeFile{}
	return 0
}

func (c *fakeCore) Ioctl(fd int, request uint32, p unsafe.Pointer) (uintptr, syscall.Errno) {
	return 0, syscall.ENOTTY
}

func (c *fakeCore) Fcntl(fd, cmd int, arg uintptr) (int, syscall.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fd >= len(c.files) || c.files[fd].kind == kernel.KindNone {
		return 0, syscall.EBADF
	}
	f := &c.files[fd]
	switch cmd {
	case syscall.F_GETFD:
		if f.flags&syscall.O_CLOEXEC != 0 {
			return syscall.FD_CLOEXEC, 0
		}
		return 0, 0
	case syscall.F_SETFD:
		f.flags &^= syscall.O_CLOEXEC
		if arg&syscall.FD_CLOEXEC != 0 {
			f.flags |= syscall.O_CLOEXEC
		}
		return 0, 0
	case syscall.F_DUPFD, syscall.F_DUPFD_CLOEXEC:
		if n := c.allocateLocked(int(arg), *f); n >= 0 {
			return n, 0
		}
		return 0, syscall.EMFILE
	}
	return 0, syscall.EINVAL
}

func (c *fakeCore) Random(p []byte) {
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
}

func (c *fakeCore) Memory(trap, addr, n, prot, flags uintptr) (uintptr, syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(trap, addr, n, prot, flags, ^uintptr(0), 0)
	return r, errno
}

func (c *fakeCore) Limit(resource int) syscall.Rlimit {
	if resource == syscall.RLIMIT_NOFILE {
		return syscall.Rlimit{Cur: uint64(c.limit), Max: 1 << 17}
	}
	return syscall.Rlimit{Cur: ^uint64(0), Max: ^uint64(0)}
}

func (c *fakeCore) Clock(id int) int64 { return 12_340_000_000 }

func (c *fakeCore) Epoll() (epoll, syscall.Errno) {
	return &fakeEpoll{core: c, events: map[int]Events{}}, 0
}

type fakeEpoll struct {
	core   *fakeCore
	events map[int]Events
}

func (e *fakeEpoll) Add(fd int, events Events, data int32) syscall.Errno {
	e.core.mu.Lock()
	defer e.core.mu.Unlock()
	switch f := e.core.files; {
	case fd >= len(f) || f[fd].kind == kernel.KindNone:
		return syscall.EBADF
	case f[fd].flags&kernel.Plain != 0:
		return syscall.EPERM
	}
	e.events[fd] = events
	return 0
}

func (e *fakeEpoll) Wait(buf []syscall.EpollEvent, ms int) (n int, errno syscall.Errno) {
	c := e.core
	c.mu.Lock()
	defer c.mu.Unlock()
	over := false
	if ms > 0 {
		t := time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
			c.mu.Lock()
			over = true
			c.cond.Broadcast()
			c.mu.Unlock()
		})
		defer t.Stop()
	}
	for {
		for fd, events := range e.events {
			level := c.files[fd].level
			if f := c.files[fd]; f.kind == kernel.KindConsole && f.value > 0 {
				level = EventOut
			} else if f.kind == kernel.KindConsole && len(c.in) > 0 {
				level = EventIn
			}
			if level &= events | EventErr | EventHup; level != 0 {
				buf[n] = syscall.EpollEvent{Events: uint32(level), Fd: int32(fd)}
				n++
			}
		}
		if n > 0 || ms == 0 || over {
			return n, 0
		}
		c.cond.Wait()
	}
}

func (e *fakeEpoll) Close() {}

// bootWith is boot information for tests.
func bootWith(change func(b *hypercall.Boot)) func() *hypercall.Boot {
	b := &hypercall.Boot{Memory: 64 << 20, ImageStart: 0x400000, ImageEnd: 0x600000}
	copy(b.Hostname[:], "box")
	if change != nil {
		change(b)
	}
	return func() *hypercall.Boot { return b }
}

// newTestSystem returns a System on a fake core.
func newTestSystem(change func(b *hypercall.Boot)) (*System, *fakeCore) {
	c := newFakeCore()
	return newSystem(c, c, environment{
		boot:     bootWith(change),
		archive:  func() []byte { return nil },
		args:     func() []string { return []string{"app", "-x"} },
		environ:  func() []string { return []string{"A=b"} },
		now:      wallClock,
		resident: func() uint64 { return 5 << 20 },
		regions: func() []hypercall.Region {
			return []hypercall.Region{
				{Start: 0x400000, End: 0x500000, Prot: hypercall.ProtRead | hypercall.ProtExec},
				{Start: 0x500000, End: 0x600000, Prot: hypercall.ProtRead},
				{Start: 0xc000000000, End: 0xc000400000, Prot: hypercall.ProtRead | hypercall.ProtWrite},
				{Start: hypercall.StackTop - hypercall.StackSize, End: hypercall.StackTop, Prot: 3},
			}
		},
		hertz: func() uint64 { return 2_500_000_000 },
	}), c
}

// caller makes system calls: the host's kernel or a System. Arguments are integers, strings (passed with a NUL),
// []byte, unsafe.Pointer or nil.
type caller interface {
	call(nr uintptr, a ...any) (uintptr, syscall.Errno)
}

// TestFamily makes a network stack.
var TestFamily func() Family

// guest calls a System.
type guest struct {
	s *System
	c *fakeCore
}

func newGuest(t testing.TB) *guest {
	t.Helper()
	s, c := newTestSystem(nil)
	s.registerFamily(syscall.AF_INET, TestFamily())
	g := &guest{s, c}
	t.Cleanup(g.closeAll)
	return g
}

func (g *guest) closeAll() {
	for n := range g.c.files {
		g.s.close(n)
	}
}

func (g *guest) call(nr uintptr, list ...any) (uintptr, syscall.Errno) {
	var a [6]uintptr
	var p [6]unsafe.Pointer
	pointers := uint8(0)
	if nr < uintptr(len(calls)) {
		pointers = calls[nr].pointers
	}
	for i, v := range list {
		a[i], p[i] = argument(v)
		if pointers>>i&1 != 0 {
			a[i] = 0xdead // the twin of a pointer must not be used
		} else if p[i] != nil {
			panic("pointer for an integer in call " + decimal(int64(nr)))
		}
	}
	for i, v := range list { // but integers for fcntl and ioctl are integers
		if p[i] == nil {
			a[i], _ = argument(v)
		}
	}
	r, errno, ok := g.s.call(nr, args{a[0], a[1], a[2], a[3], a[4], a[5], p[0], p[1], p[2], p[3], p[4], p[5]})
	if !ok {
		return g.gate(nr, a)
	}
	if errno != 0 {
		r = ^uintptr(0) // as syscall.Syscall returns it
	}
	return r, syscall.Errno(errno)
}

// gate is what package kernel does with calls it gets back.
func (g *guest) gate(nr uintptr, a [6]uintptr) (uintptr, syscall.Errno) {
	if kind, _ := g.c.KindOf(fdOf(a[0])); kind == kernel.KindNone {
		return ^uintptr(0), syscall.EBADF
	}
	switch nr {
	case syscall.SYS_FCNTL:
		n, errno := g.c.Fcntl(fdOf(a[0]), int(a[1]), a[2])
		return uintptr(n), errno
	case syscall.SYS_CLOSE:
		return 0, g.c.Close(fdOf(a[0]))
	case syscall.SYS_DUP2, syscall.SYS_DUP3:
		g.c.mu.Lock()
		defer g.c.mu.Unlock()
		if k := g.c.files[a[0]].kind; k == kernel.KindNone || k == kernel.KindObject {
			return ^uintptr(0), syscall.EBADF
		}
		for len(g.c.files) <= int(a[1]) {
			g.c.files = append(g.c.files, fakeFile{})
		}
		g.c.files[a[1]] = g.c.files[a[0]]
		return a[1], 0
	}
	return ^uintptr(0), syscall.ENOSYS
}

// native calls the host's kernel.
type native struct{}

func (native) call(nr uintptr, list ...any) (uintptr, syscall.Errno) {
	var a [6]uintptr
	var p [6]unsafe.Pointer
	for i, v := range list {
		a[i], p[i] = argument(v)
	}
	at := func(i int) uintptr {
		if p[i] != nil {
			return uintptr(p[i]) // p keeps it alive, and heap memory does not move
		}
		return a[i]
	}
	r, _, errno := syscall.Syscall6(nr, at(0), at(1), at(2), at(3), at(4), at(5))
	runtime.KeepAlive(p)
	return r, errno
}

func argument(v any) (uintptr, unsafe.Pointer) {
	switch v := v.(type) {
	case nil:
		return 0, nil
	case int:
		return uintptr(v), nil
	case fd:
		return uintptr(v), nil
	case uintptr:
		return v, nil
	case string:
		b := append([]byte(v), 0)
		return 0, unsafe.Pointer(&b[0])
	case []byte:
		if len(v) == 0 {
			return 0, nil
		}
		return 0, unsafe.Pointer(&v[0])
	case unsafe.Pointer:
		return 0, v
	}
	panic("argument of an unknown type")
}
