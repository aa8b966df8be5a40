package posix

import (
	"syscall"
	"testing"
	"unsafe"

	"ukvm.dev/guest/kernel"
)

func TestFcntl(t *testing.T) {
	compare(t, func(p *proc) {
		f := p.open("f", creat|rdwr, 0o644)
		p.do(syscall.SYS_FCNTL, f, syscall.F_GETFD, 0)
		p.do(syscall.SYS_FCNTL, f, syscall.F_SETFD, 1)
		p.do(syscall.SYS_FCNTL, f, syscall.F_GETFD, 0)
		p.do(syscall.SYS_FCNTL, f, syscall.F_SETFL, syscall.O_NONBLOCK|syscall.O_APPEND|syscall.O_RDONLY|syscall.O_CREAT)
		p.do(syscall.SYS_FCNTL, f, syscall.F_GETFL, 0)
		p.do(syscall.SYS_FCNTL, f, syscall.F_GETFD, 0)
		d := p.make(syscall.SYS_DUP, f)
		p.do(syscall.SYS_FCNTL, d, syscall.F_GETFL, 0)
		p.do(syscall.SYS_FCNTL, d, syscall.F_GETFD, 0)
		p.do(syscall.SYS_FCNTL, d, syscall.F_SETFL, 0)
		p.do(syscall.SYS_FCNTL, f, syscall.F_GETFL, 0)
		p.write(f, "abc")
		p.do(syscall.SYS_LSEEK, d, 0, 1)
		e := p.make(syscall.SYS_FCNTL, f, syscall.F_DUPFD_CLOEXEC, 0)
		p.do(syscall.SYS_FCNTL, e, syscall.F_GETFD, 0)
		p.do(syscall.SYS_FCNTL, f, syscall.F_DUPFD, -1)
		p.do(syscall.SYS_FCNTL, f, syscall.F_DUPFD, 900)
		p.do(syscall.SYS_FCNTL, f, fGetPipeSize, 0)
		p.do(syscall.SYS_FCNTL, f, 12345, 0)
		p.do(syscall.SYS_FCNTL, fd(800), syscall.F_GETFL, 0)
		o := p.open("f", oPath, 0)
		p.do(syscall.SYS_FCNTL, o, syscall.F_GETFL, 0)
		p.do(syscall.SYS_FCNTL, o, syscall.F_SETFL, 0)
		p.do(syscall.SYS_FCNTL, o, syscall.F_GETFD, 0)
		one := int32(1)
		p.do(syscall.SYS_IOCTL, f, fionbio, unsafe.Pointer(&one))
		p.do(syscall.SYS_FCNTL, f, syscall.F_GETFL, 0)
		p.do(syscall.SYS_IOCTL, f, fioclex, nil)
		p.do(syscall.SYS_FCNTL, f, syscall.F_GETFD, 0)
		p.do(syscall.SYS_DUP3, f, f, 0)
		p.do(syscall.SYS_DUP3, f, fd(900), 1)
		p.do(syscall.SYS_DUP2, fd(800), fd(900))
		p.do(syscall.SYS_DUP2, fd(800), fd(800))
		p.do(syscall.SYS_DUP2, f, fd(-1))
		p.do(syscall.SYS_DUP3, f, fd(905), syscall.O_CLOEXEC)
		p.do(syscall.SYS_FCNTL, fd(905), syscall.F_GETFD, 0)
		p.read(fd(905), 10)
		p.do(syscall.SYS_CLOSE, fd(905))
		p.do(syscall.SYS_CLOSE, fd(905))
		p.do(syscall.SYS_DUP2, f, fd(907))
		p.do(sysCLOSERANGE, 906, 910, 0)
		p.do(syscall.SYS_FSTAT, fd(907), make([]byte, 200))
		p.do(sysCLOSERANGE, 910, 906, 0)
		p.do(sysCLOSERANGE, 906, 910, 8)
		p.call(syscall.SYS_CLOSE, 900)
	})
}

// TestNumbers sees that numbers are the lowest free ones, that descriptors share their object until the last is
// closed, and that dup2 works across the kernel's descriptors and ours.
func TestNumbers(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	r, w := p.pipe(0)
	if r != 3 || w != 4 {
		t.Fatal(r, w)
	}
	d := p.must(syscall.SYS_DUP, w)
	p.close(w)
	if f := p.must(syscall.SYS_OPEN, "/dev/null", rdwr, 0); d != 5 || f != 4 {
		t.Fatal(d, f)
	}
	p.write(fd(d), "x")
	p.read(r, 5)
	p.close(fd(d))
	if got := p.read(r, 5); got != "" {
		t.Fatal("the pipe still has a writer")
	}

	// Ours over the console, and the console over ours.
	r, w = p.pipe(0)
	if n := p.must(syscall.SYS_DUP2, w, 1); n != 1 {
		t.Fatal(n)
	}
	if kind, _ := g.c.KindOf(1); kind != kernel.KindObject {
		t.Fatal(kind)
	}
	p.write(1, "to the pipe")
	if got := p.read(r, 20); got != "to the pipe" {
		t.Fatal(got)
	}
	p.close(w)
	if n := p.must(syscall.SYS_DUP2, 2, 1); n != 1 {
		t.Fatal(n)
	}
	if kind, _ := g.c.KindOf(1); kind != kernel.KindConsole || g.s.files.get(1) != nil {
		t.Fatal(kind)
	}
	if got := p.read(r, 20); got != "" {
		t.Fatal("dup2 has not closed the pipe's last writer")
	}
	if _, errno := g.call(syscall.SYS_DUP2, 2, 2000); errno != syscall.EBADF {
		t.Fatal(errno)
	}
	r, w = p.pipe(0)
	if _, errno := g.call(syscall.SYS_DUP2, 99, int(w)); errno != syscall.EBADF {
		t.Fatal(errno)
	}
	p.write(w, "still there")
	if got := p.read(r, 20); got != "still there" {
		t.Fatal(got)
	}
}

func TestNoNumbersLeft(t *testing.T) {
	g := newGuest(t)
	g.c.limit = 40
	n := 0
	for {
		_, errno := g.call(syscall.SYS_OPEN, "/dev/null", rdonly, 0)
		if errno == syscall.EMFILE {
			break
		}
		if n++; errno != 0 || n > 40 {
			t.Fatal(n, errno)
		}
	}
	if _, errno := g.call(syscall.SYS_DUP, 3); errno != syscall.EMFILE {
		t.Fatal(errno)
	}
	if _, errno := g.call(syscall.SYS_FCNTL, 3, syscall.F_DUPFD, 40); errno != syscall.EINVAL {
		t.Fatal(errno)
	}
	if _, errno := g.call(syscall.SYS_FCNTL, 3, syscall.F_DUPFD, 39); errno != syscall.EMFILE {
		t.Fatal(errno)
	}
	if _, errno := g.call(sysCLOSERANGE, 3, -1, 0); errno != 0 || n != 37 {
		t.Fatal(n, errno)
	}
	if fd, errno := g.call(syscall.SYS_OPEN, "/dev/null", rdonly, 0); fd != 3 || errno != 0 {
		t.Fatal(fd, errno)
	}
}

func TestLocks(t *testing.T) {
	compare(t, func(p *proc) {
		a := p.open("f", creat|rdwr, 0o644)
		b := p.open("f", rdwr, 0)
		c := p.make(syscall.SYS_DUP, a)
		r := p.open("f", rdonly, 0)
		flock := func(f fd, op int) { p.do(syscall.SYS_FLOCK, f, op) }
		const sh, ex, nb, un = syscall.LOCK_SH, syscall.LOCK_EX, syscall.LOCK_NB, syscall.LOCK_UN
		flock(a, sh)
		flock(b, sh|nb)
		flock(a, ex|nb)
		flock(b, ex|nb)
		flock(a, ex|nb)
		flock(c, ex|nb)
		flock(b, un)
		flock(c, ex|nb)
		flock(b, sh|nb)
		flock(a, sh|nb)
		flock(b, sh|nb)
		flock(a, 0)
		flock(a, sh|ex)
		p.close(b)
		flock(a, ex|nb)
		p.close(a)
		b = p.open("f", rdwr, 0)
		flock(b, sh|nb)
		p.close(c)
		flock(b, ex|nb)

		lock := func(f fd, cmd int, typ, whence int16, start, n int64) {
			l := syscall.Flock_t{Type: typ, Whence: whence, Start: start, Len: n}
			_, errno := p.do(syscall.SYS_FCNTL, f, cmd, unsafe.Pointer(&l))
			if errno == 0 {
				p.note("%d %d %d %d %v", l.Type, l.Whence, l.Start, l.Len, l.Pid > 0)
			}
		}
		const rd, wr, unl = syscall.F_RDLCK, syscall.F_WRLCK, syscall.F_UNLCK
		a = p.open("f", rdwr, 0)
		p.write(a, "0123456789")
		lock(a, syscall.F_SETLK, wr, 0, 0, 10)
		lock(b, syscall.F_SETLK, wr, 0, 5, 10)
		lock(b, syscall.F_GETLK, wr, 0, 0, 0)
		lock(b, fOFDSetLock, rd, 0, 9, 1)
		lock(b, fOFDGetLock, rd, 0, 9, 1)
		lock(a, syscall.F_SETLK, unl, 0, 3, 4)
		lock(b, fOFDGetLock, wr, 0, 2, 0)
		lock(b, fOFDSetLock, wr, 0, 3, 4)
		lock(a, syscall.F_GETLK, rd, 1, -6, 2)
		lock(a, syscall.F_SETLK, rd, 2, -4, -3)
		lock(a, syscall.F_SETLK, rd, 0, -1, 0)
		lock(a, syscall.F_SETLK, rd, 0, 5, -6)
		lock(a, syscall.F_SETLK, 9, 0, 0, 0)
		lock(a, syscall.F_SETLK, rd, 9, 0, 0)
		lock(r, syscall.F_SETLK, wr, 0, 0, 0)
		lock(a, syscall.F_GETLK, unl, 0, 0, 0)
		p.close(r) // ends the process's locks
		lock(b, fOFDSetLock, wr, 0, 0, 3)
		p.do(syscall.SYS_FCNTL, a, syscall.F_SETLK, nil)
	})
}

func TestLockBlocking(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	a := fd(p.must(syscall.SYS_OPEN, "/tmp/f", creat|rdwr, 0o600))
	b := fd(p.must(syscall.SYS_OPEN, "/tmp/f", rdwr, 0))
	p.must(syscall.SYS_FLOCK, a, syscall.LOCK_EX)
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_FLOCK, b, syscall.LOCK_EX)) },
		func() { p.must(syscall.SYS_FLOCK, a, syscall.LOCK_UN) }); got != "0" {
		t.Fatal(got)
	}
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_FLOCK, a, syscall.LOCK_SH)) },
		func() { p.close(b) }); got != "0" {
		t.Fatal(got)
	}
	b = fd(p.must(syscall.SYS_OPEN, "/tmp/f", rdwr, 0))
	l := syscall.Flock_t{Type: syscall.F_WRLCK, Len: 5}
	p.must(syscall.SYS_FCNTL, a, fOFDSetLock, unsafe.Pointer(&l))
	m := syscall.Flock_t{Type: syscall.F_RDLCK, Start: 4}
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_FCNTL, b, fOFDSetLockW, unsafe.Pointer(&m))) },
		func() {
			u := syscall.Flock_t{Type: syscall.F_UNLCK, Start: 2}
			p.must(syscall.SYS_FCNTL, a, fOFDSetLock, unsafe.Pointer(&u))
		}); got != "0" {
		t.Fatal(got)
	}
	p.close(a)
	p.close(b)
	if n := len(g.s.locks.files); n != 0 {
		t.Fatal(n, "files with locks are left over")
	}
}
