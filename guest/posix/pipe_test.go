package posix

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func (p *proc) pipe(flags int) (r, w fd) {
	var fds [2]int32
	_, errno := p.call(syscall.SYS_PIPE2, unsafe.Pointer(&fds), flags)
	p.note("pipe2(%#x) = %s", flags, errnoName(errno))
	return fd(fds[0]), fd(fds[1])
}

func (p *proc) poll(timeout int, set ...pollfd) {
	n, errno := p.call(syscall.SYS_POLL, unsafe.Pointer(unsafe.SliceData(set)), len(set), timeout)
	for _, f := range set {
		p.note("poll %d %s: %#x of %#x", int(n), errnoName(errno), f.revents, f.events)
	}
}

const pollAll = int16(EventIn | EventOut | EventPri | EventRdHup | 0x8000>>9)

func TestPipe(t *testing.T) {
	compare(t, func(p *proc) {
		r, w := p.pipe(syscall.O_NONBLOCK | syscall.O_CLOEXEC)
		both := func() {
			p.poll(0, pollfd{fd: int32(r), events: 0x7fff}, pollfd{fd: int32(w), events: 0x7fff})
		}
		both()
		p.read(r, 10)
		p.write(w, "hello")
		both()
		p.read(r, 3)
		p.read(r, 10)
		p.read(r, 10)
		both()
		p.write(r, "x")
		p.read(w, 1)
		p.pread(r, 1, 0)
		p.pwrite(w, "x", 0)
		p.do(syscall.SYS_LSEEK, r, 0, 1)
		p.do(syscall.SYS_FSYNC, r)
		p.do(syscall.SYS_FTRUNCATE, w, 0)
		p.do(syscall.SYS_FALLOCATE, w, 0, 0, 1)
		p.do(syscall.SYS_GETDENTS64, r, make([]byte, 10), 10)
		p.do(syscall.SYS_FCHDIR, r)
		p.write(w, strings.Repeat("x", 65536))
		both()
		p.write(w, "y")
		p.read(r, 4096)
		p.write(w, strings.Repeat("z", 4097))
		var n int32
		p.do(syscall.SYS_IOCTL, r, fionread, unsafe.Pointer(&n))
		p.note("%d", n)
		p.do(syscall.SYS_IOCTL, w, fionread, unsafe.Pointer(&n))
		p.do(syscall.SYS_IOCTL, r, tcgets, make([]byte, 60))
		p.read(r, 70000)
		p.do(syscall.SYS_FCNTL, w, fGetPipeSize, 0)
		p.do(syscall.SYS_FCNTL, w, fSetPipeSize, 100_000)
		p.do(syscall.SYS_FCNTL, r, fGetPipeSize, 0)
		p.write(w, strings.Repeat("x", 131072))
		p.do(syscall.SYS_FCNTL, w, fSetPipeSize, 4096)
		p.read(r, 200000)
		p.do(syscall.SYS_FCNTL, w, fSetPipeSize, 1)
		p.write(w, strings.Repeat("x", 5000))
		p.do(syscall.SYS_FCNTL, r, syscall.F_GETFL, 0)
		p.do(syscall.SYS_FCNTL, w, syscall.F_GETFL, 0)
		p.write(w, "")
		p.close(r)
		both()
		p.write(w, "x")
		p.write(w, "")
		p.close(w)
		r, w = p.pipe(syscall.O_NONBLOCK)
		p.write(w, "last words")
		p.close(w)
		both()
		p.read(r, 100)
		p.read(r, 100)
		both()
		p.fstat(r)
		p.pipe(1)
		p.pipe(syscall.O_APPEND)
	})
}

func TestPipeErrors(t *testing.T) {
	g := newGuest(t)
	if _, errno := g.call(syscall.SYS_PIPE2, nil, 0); errno != syscall.EFAULT {
		t.Fatal(errno)
	}
	g.c.limit = 4
	var fds [2]int32
	if _, errno := g.call(syscall.SYS_PIPE2, unsafe.Pointer(&fds), 0); errno != syscall.EMFILE {
		t.Fatal(errno)
	}
	if kind, _ := g.c.KindOf(3); kind != 0 {
		t.Fatal("a number is left over")
	}
}

// blocked starts a call on a goroutine and fails if it returns before release has run.
func blocked(t *testing.T, call func() string, release func()) string {
	t.Helper()
	done := make(chan string, 1)
	go func() { done <- call() }()
	select {
	case got := <-done:
		t.Fatalf("the call did not wait: %s", got)
	case <-time.After(20 * time.Millisecond):
	}
	release()
	select {
	case got := <-done:
		return got
	case <-time.After(10 * time.Second):
		t.Fatal("the call still waits")
	}
	return ""
}

func result2(r uintptr, errno syscall.Errno) string {
	if errno != 0 {
		return errno.Error()
	}
	return decimal(int64(r))
}

func TestPipeBlocking(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	r, w := p.pipe(0)
	b := make([]byte, 10)
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_READ, r, b, 10)) },
		func() { p.write(w, "abc") }); got != "3" {
		t.Fatal(got)
	}
	big := bytes.Repeat([]byte("0123456789"), 20_000)
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_WRITE, w, big, len(big))) }, func() {
		var all []byte
		for len(all) < len(big) {
			p := make([]byte, 1+rand.IntN(9000))
			n, errno := g.call(syscall.SYS_READ, r, p, len(p))
			if errno != 0 {
				t.Error(errno)
				return
			}
			all = append(all, p[:n]...)
		}
		if !bytes.Equal(all, big) {
			t.Error("bytes changed on their way")
		}
	}); got != "200000" {
		t.Fatal(got)
	}
	// A short write is done whole: it waits although there is some room.
	fill := make([]byte, 65536-5)
	g.call(syscall.SYS_WRITE, w, fill, len(fill))
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_WRITE, w, b, 10)) },
		func() { p.read(r, 5) }); got != "10" {
		t.Fatal(got)
	}
	p.read(r, 70000)
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_READ, r, b, 10)) },
		func() { p.close(w) }); got != "0" {
		t.Fatal(got)
	}
}

// TestPipeAtomic has writers of short messages fill a small pipe: messages stay whole.
func TestPipeAtomic(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	r, w := p.pipe(0)
	p.do(syscall.SYS_FCNTL, w, fSetPipeSize, 4096)
	const writers, messages, size = 4, 200, 1000
	for i := range writers {
		go func() {
			m := bytes.Repeat([]byte{byte('a' + i)}, size)
			for range messages {
				if n, errno := g.call(syscall.SYS_WRITE, w, m, size); n != size || errno != 0 {
					t.Errorf("write: %d %v", n, errno)
				}
			}
		}()
	}
	var all []byte
	for len(all) < writers*messages*size {
		b := make([]byte, 777)
		n, errno := g.call(syscall.SYS_READ, r, b, len(b))
		if errno != 0 || n == 0 {
			t.Fatal(n, errno)
		}
		all = append(all, b[:n]...)
	}
	for ; len(all) > 0; all = all[size:] {
		if m := all[:size]; !bytes.Equal(m, bytes.Repeat(m[:1], size)) {
			t.Fatal("messages are mixed")
		}
	}
}

// TestPipeClosedWhileRead reads in one goroutine while another closes the descriptor: as on Linux, the read goes on.
func TestPipeClosedWhileRead(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	r, w := p.pipe(0)
	b := make([]byte, 10)
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_READ, r, b, 10)) }, func() {
		p.close(r)
		p.write(w, "abc")
	}); got != "3" {
		t.Fatal(got)
	}
	if _, errno := g.call(syscall.SYS_WRITE, w, b, 1); errno != syscall.EPIPE {
		t.Fatal("after the read:", errno)
	}
}

func TestFIFO(t *testing.T) {
	compare(t, func(p *proc) {
		p.do(syscall.SYS_MKNODAT, p.base, "fifo", syscall.S_IFIFO|0o644, 0)
		p.stat("fifo", 0)
		p.open("fifo", wronly|syscall.O_NONBLOCK, 0)
		r := p.open("fifo", rdonly|syscall.O_NONBLOCK, 0)
		p.read(r, 10)
		p.poll(0, pollfd{fd: int32(r), events: 0x7fff})
		w := p.open("fifo", wronly|syscall.O_NONBLOCK, 0)
		p.read(r, 10)
		p.write(w, "abc")
		p.read(r, 10)
		p.close(w)
		p.poll(0, pollfd{fd: int32(r), events: 0x7fff})
		p.read(r, 10)
		r2 := p.open("fifo", rdonly|syscall.O_NONBLOCK, 0)
		p.poll(0, pollfd{fd: int32(r2), events: 0x7fff})
		w = p.open("fifo", wronly|syscall.O_NONBLOCK, 0)
		r3 := p.open("fifo", rdonly|syscall.O_NONBLOCK, 0)
		p.close(w)
		for _, f := range []fd{r, r2, r3} {
			p.poll(0, pollfd{fd: int32(f), events: 0x7fff})
			p.close(f)
		}
		b := p.open("fifo", rdwr, 0)
		p.write(b, "self")
		p.read(b, 10)
		p.poll(0, pollfd{fd: int32(b), events: 0x7fff})
		p.write(b, "kept?")
		p.close(b)
		r = p.open("fifo", rdonly|syscall.O_NONBLOCK, 0)
		p.read(r, 10)
		p.do(syscall.SYS_UNLINKAT, p.base, "fifo", 0)
		p.fstat(r)
	})
}

func TestFIFOBlocking(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	if _, errno := g.call(syscall.SYS_MKNOD, "/tmp/fifo", syscall.S_IFIFO|0o600, 0); errno != 0 {
		t.Fatal(errno)
	}
	for range 20 {
		type end struct {
			fd    uintptr
			errno syscall.Errno
		}
		r := make(chan end, 1)
		go func() {
			fd, errno := g.call(syscall.SYS_OPEN, "/tmp/fifo", rdonly, 0)
			r <- end{fd, errno}
		}()
		w, errno := g.call(syscall.SYS_OPEN, "/tmp/fifo", wronly, 0)
		e := <-r
		if errno != 0 || e.errno != 0 {
			t.Fatal(errno, e.errno)
		}
		p.write(fd(w), "through")
		if got := p.read(fd(e.fd), 20); got != "through" {
			t.Fatal(got)
		}
		p.close(fd(w))
		if got := p.read(fd(e.fd), 20); got != "" {
			t.Fatal(got)
		}
		p.close(fd(e.fd))
	}
	g.s.tree.mu.Lock()
	defer g.s.tree.mu.Unlock()
	if len(g.s.tree.fifos) != 0 {
		t.Fatal("pipes of closed FIFOs are left over")
	}
}
