package posix

import (
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// hidden returns p without the compiler seeing that what it points to is passed on, so that it may stay on the stack:
// that is how package syscall's callers pass their buffers.
//
// nosplit because between the two conversions p is a number: the stack must not move. (It does not shrink at
// asynchronous preemption either.)
//
//go:nosplit
//go:noinline
func hidden(p unsafe.Pointer) unsafe.Pointer {
	u := uintptr(p)
	return *(*unsafe.Pointer)(unsafe.Pointer(&u))
}

// deep uses n times 4 KiB of stack.
func deep(n int) byte {
	var b [4096]byte
	b[n] = 1
	if n == 0 {
		return b[0]
	}
	return deep(n-1) + b[7]
}

// stackCall is a call that has to wait, with everything it points to on the goroutine's stack. It reports whether what
// it got there is right, and whether the stack has moved meanwhile.
type stackCall struct {
	name string
	run  func(s *System, f uintptr) (right, moved bool)
	// wake lets it go on; peer is the other side.
	wake func(p *proc, peer fd)
}

var stackCalls = []stackCall{
	{"read", stackRead, func(p *proc, peer fd) { p.write(peer, "0123456789") }},
	{"readv", stackReadv, func(p *proc, peer fd) { p.write(peer, "0123456789") }},
	{"recvfrom", stackRecvfrom, func(p *proc, peer fd) { p.write(peer, "0123456789") }},
	{"recvmsg", stackRecvmsg, func(p *proc, peer fd) { p.sendmsg(peer, rights(peer), 0, []byte("0123456789")) }},
	{"recvmmsg", stackRecvmmsg, func(p *proc, peer fd) { p.write(peer, "0123456789") }},
	{"poll", stackPoll, func(p *proc, peer fd) { p.write(peer, "0123456789") }},
	{"select", stackSelect, func(p *proc, peer fd) { p.write(peer, "0123456789") }},
	{"write", stackWrite, stackWriteWake},
	{"writev", stackWritev, stackWriteWake},
}

func stackRead(s *System, f uintptr) (right, moved bool) {
	var b [16]byte
	before := uintptr(unsafe.Pointer(&b))
	n, _, _ := s.call(syscall.SYS_READ, args{a1: f, a3: 10, p2: hidden(unsafe.Pointer(&b))})
	return n == 10 && string(b[:10]) == "0123456789", before != uintptr(unsafe.Pointer(&b))
}

func stackReadv(s *System, f uintptr) (right, moved bool) {
	var b, c [5]byte
	v := [2]syscall.Iovec{{Base: &b[0], Len: 5}, {Base: &c[0], Len: 5}}
	before := uintptr(unsafe.Pointer(&v))
	n, _, _ := s.call(syscall.SYS_READV, args{a1: f, a3: 2, p2: hidden(unsafe.Pointer(&v))})
	return n == 10 && string(b[:])+string(c[:]) == "0123456789", before != uintptr(unsafe.Pointer(&v))
}

func stackRecvfrom(s *System, f uintptr) (right, moved bool) {
	var b [16]byte
	var addr [110]byte
	size := int32(len(addr))
	before := uintptr(unsafe.Pointer(&b))
	n, _, _ := s.call(syscall.SYS_RECVFROM, args{a1: f, a3: 10, a4: syscall.MSG_WAITALL, p2: hidden(unsafe.Pointer(&b)),
		p5: hidden(unsafe.Pointer(&addr)), p6: hidden(unsafe.Pointer(&size))})
	return n == 10 && string(b[:10]) == "0123456789" && size == 0, before != uintptr(unsafe.Pointer(&b))
}

func stackRecvmsg(s *System, f uintptr) (right, moved bool) {
	var b, c [5]byte
	var control [24]byte
	v := [2]syscall.Iovec{{Base: &b[0], Len: 5}, {Base: &c[0], Len: 5}}
	h := syscall.Msghdr{Iov: &v[0], Iovlen: 2, Control: &control[0], Controllen: 24}
	before := uintptr(unsafe.Pointer(&h))
	n, _, _ := s.call(syscall.SYS_RECVMSG, args{a1: f, p2: hidden(unsafe.Pointer(&h))})
	right = n == 10 && string(b[:])+string(c[:]) == "0123456789" && h.Controllen == 24 && h.Iov == &v[0] &&
		get32(control[12:]) == syscall.SCM_RIGHTS
	s.call(syscall.SYS_CLOSE, args{a1: uintptr(get32(control[16:]))})
	return right, before != uintptr(unsafe.Pointer(&h))
}

func stackRecvmmsg(s *System, f uintptr) (right, moved bool) {
	var b [10]byte
	v := [1]syscall.Iovec{{Base: &b[0], Len: 10}}
	h := [1]mmsghdr{{hdr: syscall.Msghdr{Iov: &v[0], Iovlen: 1}}}
	before := uintptr(unsafe.Pointer(&h))
	n, _, _ := s.call(syscall.SYS_RECVMMSG, args{a1: f, a3: 1, p2: hidden(unsafe.Pointer(&h))})
	return n == 1 && h[0].len == 10 && string(b[:]) == "0123456789", before != uintptr(unsafe.Pointer(&h))
}

func stackPoll(s *System, f uintptr) (right, moved bool) {
	set := [2]pollfd{{fd: -1}, {fd: int32(f), events: int16(EventIn)}}
	before := uintptr(unsafe.Pointer(&set))
	n, _, _ := s.call(syscall.SYS_POLL, args{a2: 2, a3: ^uintptr(0), p1: hidden(unsafe.Pointer(&set))})
	return n == 1 && set[1].revents == int16(EventIn), before != uintptr(unsafe.Pointer(&set))
}

func stackSelect(s *System, f uintptr) (right, moved bool) {
	set := [4]uint64{}
	set[f/64] |= 1 << (f % 64)
	before := uintptr(unsafe.Pointer(&set))
	n, _, _ := s.call(syscall.SYS_SELECT, args{a1: 200, p2: hidden(unsafe.Pointer(&set))})
	return n == 1 && set[f/64] == 1<<(f%64), before != uintptr(unsafe.Pointer(&set))
}

// stackMessage fits on a small stack but, sixteen times over, not into the pipe.
type stackMessage [1 << 10]byte

func fillMessage(m *stackMessage) {
	for i := range m {
		m[i] = byte(i*7 + 1)
	}
}

func stackWrite(s *System, f uintptr) (right, moved bool) {
	var m stackMessage
	fillMessage(&m)
	before := uintptr(unsafe.Pointer(&m))
	n, _, _ := s.call(syscall.SYS_WRITE, args{a1: f, a3: unsafe.Sizeof(m), p2: hidden(unsafe.Pointer(&m))})
	return n == unsafe.Sizeof(m), before != uintptr(unsafe.Pointer(&m))
}

func stackWritev(s *System, f uintptr) (right, moved bool) {
	var m stackMessage
	fillMessage(&m)
	v := [2]syscall.Iovec{{Base: &m[0], Len: 100}, {Base: &m[100], Len: uint64(len(m)) - 100}}
	before := uintptr(unsafe.Pointer(&m))
	n, _, _ := s.call(syscall.SYS_WRITEV, args{a1: f, a3: 2, p2: hidden(unsafe.Pointer(&v))})
	return n == unsafe.Sizeof(m), before != uintptr(unsafe.Pointer(&m))
}

// stackWriteWake reads what filled the socket, then the message.
func stackWriteWake(p *proc, peer fd) {
	buf := make([]byte, 1<<20)
	n := 0
	for n < unixSendLimit+len(stackMessage{}) {
		k, errno := p.call(syscall.SYS_READ, peer, buf[n:], len(buf)-n)
		if errno != 0 || k == 0 {
			p.t.Error("read:", k, errno)
			return
		}
		n += int(k)
	}
	var want stackMessage
	fillMessage(&want)
	if stackMessage(buf[unixSendLimit:]) != want {
		p.t.Error("the message was not what the stack held")
	}
}

// TestStacks parks calls whose arguments all lie on goroutine stacks, moves the stacks under them (they have been deep,
// so that garbage collection shrinks them), and looks at what arrives. The uintptr twins of the pointers are not even
// passed. (spike: 50 of 50 buffers were lost when another goroutine filled them.)
func TestStacks(t *testing.T) {
	for _, c := range stackCalls {
		t.Run(c.name, func(t *testing.T) {
			g := newGuest(t)
			g.c.limit = 190
			p := &proc{caller: g, t: t}
			moved := 0
			for range 30 {
				x, y := p.pair(syscall.SOCK_STREAM)
				if c.name == "write" || c.name == "writev" {
					full := make([]byte, unixSendLimit)
					p.must(syscall.SYS_WRITE, x, full, len(full))
				}
				type outcome struct{ right, moved bool }
				done := make(chan outcome)
				go func() {
					deep(30)
					right, moved := c.run(g.s, uintptr(x))
					done <- outcome{right, moved}
				}()
				waitParked(t, g, int(x))
				runtime.GC()
				runtime.GC()
				c.wake(p, y)
				o := <-done
				if !o.right {
					t.Fatal("the call did not bring what was sent")
				}
				if o.moved {
					moved++
				}
				p.close(x)
				p.close(y)
			}
			if moved == 0 {
				t.Error("no stack has moved: the test tests nothing")
			}
		})
	}
}

// waitParked waits until a call waits for the object of a descriptor.
func waitParked(t *testing.T, g *guest, f int) {
	t.Helper()
	r := g.s.files.get(f).object.ready()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		r.mu.Lock()
		n := len(r.waiters)
		r.mu.Unlock()
		if n > 0 {
			return
		}
	}
	t.Fatal("no call waits")
}

// TestSmallStacks makes calls from new goroutines, whose stacks grow in the middle of the calls.
func TestSmallStacks(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	p.must(syscall.SYS_MKDIR, "/tmp/some-directory", 0o755)
	f := p.must(syscall.SYS_OPEN, "/tmp/some-directory/file", creat|rdwr, 0o600)
	p.write(fd(f), "0123456789")
	for range 200 {
		done := make(chan bool)
		go func() {
			var b [64]byte
			var st syscall.Stat_t
			path := [32]byte{}
			copy(path[:], "/tmp/some-directory/file")
			_, e1, _ := g.s.call(syscall.SYS_STAT, args{p1: hidden(unsafe.Pointer(&path)), p2: hidden(unsafe.Pointer(&st))})
			n, e2, _ := g.s.call(syscall.SYS_PREAD64, args{a1: uintptr(f), a3: 64, p2: hidden(unsafe.Pointer(&b))})
			done <- e1 == 0 && e2 == 0 && st.Size == 10 && n == 10 && string(b[:10]) == "0123456789"
		}()
		if !<-done {
			t.Fatal("wrong result on a small stack")
		}
	}
}
