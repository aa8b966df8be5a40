package posix

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// unixAddr encodes an address of AF_UNIX.
func unixAddr(path string) []byte { return append([]byte{syscall.AF_UNIX, 0}, path...) }

func (p *proc) socket(typ int) fd { return p.make(syscall.SYS_SOCKET, syscall.AF_UNIX, typ, 0) }

func (p *proc) pair(typ int) (x, y fd) {
	var fds [2]int32
	_, errno := p.call(syscall.SYS_SOCKETPAIR, syscall.AF_UNIX, typ, 0, unsafe.Pointer(&fds))
	p.note("socketpair(%#x) = %s", typ, errnoName(errno))
	return fd(fds[0]), fd(fds[1])
}

func (p *proc) withAddr(nr uintptr, f fd, addr []byte) {
	_, errno := p.call(nr, f, addr, len(addr))
	p.note("%s %q = %s", calls[nr].name, strings.TrimPrefix(string(addr), ""), errnoName(errno))
}

func (p *proc) sockname(nr uintptr, f fd) {
	b, n := make([]byte, 120), int32(120)
	_, errno := p.call(nr, f, b, unsafe.Pointer(&n))
	if errno != 0 {
		n = 0
	}
	p.note("%s = %q %s", calls[nr].name, b[:n], errnoName(errno))
}

func (p *proc) accept(f fd) fd {
	b, n := make([]byte, 120), int32(120)
	r, errno := p.call(syscall.SYS_ACCEPT4, f, b, unsafe.Pointer(&n), syscall.SOCK_NONBLOCK)
	if errno != 0 {
		p.note("accept = %s", errnoName(errno))
		return -1
	}
	p.note("accept = %q", b[:n])
	return fd(r)
}

func (p *proc) send(f fd, text string, flags int, to []byte) {
	n, errno := p.call(syscall.SYS_SENDTO, f, []byte(text), len(text), flags, to, len(to))
	p.note("sendto %d %#x = %d %s", len(text), flags, int(n), errnoName(errno))
}

func (p *proc) recv(f fd, n, flags int) {
	b, addr, size := make([]byte, n), make([]byte, 120), int32(120)
	got, errno := p.call(syscall.SYS_RECVFROM, f, b, n, flags, addr, unsafe.Pointer(&size))
	if errno != 0 {
		p.note("recvfrom %d %#x = %s", n, flags, errnoName(errno))
		return
	}
	p.note("recvfrom %d %#x = %d %q from %q", n, flags, got, b[:min(int(got), n)], addr[:size])
}

func (p *proc) option(f fd, level, name, size int) {
	b, n := make([]byte, size), int32(size)
	_, errno := p.call(syscall.SYS_GETSOCKOPT, f, level, name, b, unsafe.Pointer(&n))
	p.note("getsockopt %d %d = %v %s", level, name, b[:n], errnoName(errno))
}

func (p *proc) setOption(f fd, level, name int, v ...byte) {
	_, errno := p.call(syscall.SYS_SETSOCKOPT, f, level, name, v, len(v))
	p.note("setsockopt %d %d %v = %s", level, name, v, errnoName(errno))
}

func (p *proc) levels(fds ...fd) {
	for _, f := range fds {
		p.poll(0, pollfd{fd: int32(f), events: int16(EventIn | EventOut | EventRdHup | EventPri)})
	}
}

func TestSocketErrors(t *testing.T) {
	compare(t, func(p *proc) {
		for _, c := range [][3]int{
			{syscall.AF_UNIX, 0, 0}, {syscall.AF_UNIX, 9, 0}, {syscall.AF_UNIX, syscall.SOCK_STREAM, 5},
			{syscall.AF_UNIX, syscall.SOCK_STREAM | 0x100, 0}, {syscall.AF_UNIX, syscall.SOCK_RAW, 0},
			{200, syscall.SOCK_STREAM, 0},
		} {
			p.make(syscall.SYS_SOCKET, c[0], c[1], c[2])
		}
		f := p.open("f", creat|rdwr, 0o600)
		s := p.socket(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
		p.withAddr(syscall.SYS_BIND, f, unixAddr("x"))
		p.withAddr(syscall.SYS_BIND, fd(999), unixAddr("x"))
		p.do(syscall.SYS_LISTEN, f, 1)
		p.do(syscall.SYS_LISTEN, s, 1)
		p.accept(s)
		p.accept(f)
		p.sockname(syscall.SYS_GETSOCKNAME, s)
		p.sockname(syscall.SYS_GETPEERNAME, s)
		p.sockname(syscall.SYS_GETPEERNAME, f)
		p.withAddr(syscall.SYS_CONNECT, s, unixAddr("/none/such"))
		p.withAddr(syscall.SYS_CONNECT, s, unixAddr("/dev/null"))
		p.withAddr(syscall.SYS_CONNECT, s, unixAddr("\x00nobody here"))
		p.withAddr(syscall.SYS_CONNECT, s, unixAddr(""))
		p.withAddr(syscall.SYS_CONNECT, s, []byte{1})
		p.withAddr(syscall.SYS_CONNECT, s, []byte{2, 0, 0, 1, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
		p.withAddr(syscall.SYS_BIND, s, make([]byte, 200))
		p.withAddr(syscall.SYS_BIND, s, unixAddr(strings.Repeat("x", 109)))
		p.send(s, "x", 0, nil)
		p.send(s, "x", 0, unixAddr("\x00nobody"))
		p.recv(s, 10, 0)
		p.read(s, 10)
		p.write(s, "x")
		p.levels(s)
		p.do(syscall.SYS_SHUTDOWN, s, 3)
		p.do(syscall.SYS_SHUTDOWN, s, 1)
		p.do(syscall.SYS_SHUTDOWN, f, 1)
		p.do(syscall.SYS_LSEEK, s, 0, 0)
		p.pread(s, 1, 0)
		p.do(syscall.SYS_FTRUNCATE, s, 0)
		p.do(syscall.SYS_FSYNC, s)
		p.fstat(s)
		d := p.socket(syscall.SOCK_DGRAM | syscall.SOCK_NONBLOCK)
		p.do(syscall.SYS_LISTEN, d, 1)
		p.accept(d)
		p.recv(d, 10, 0)
		p.send(d, "x", 0, nil)
		p.send(d, "x", 0, unixAddr("\x00nobody"))
		p.send(d, "x", 0, unixAddr("/dev/null"))
		p.levels(d)
		q := p.socket(syscall.SOCK_SEQPACKET | syscall.SOCK_NONBLOCK)
		p.recv(q, 10, 0)
		p.send(q, "x", 0, nil)
		p.levels(q)
	})
}

func TestUnixStream(t *testing.T) {
	compare(t, func(p *proc) {
		name := "\x00ukvm-test-" + fmt.Sprintf("%p", p)
		s := p.socket(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
		bind := func(f fd, name string) {
			a := unixAddr(name)
			_, errno := p.call(syscall.SYS_BIND, f, a, len(a))
			p.note("bind = %s", errnoName(errno))
		}
		connect := func(f fd, name string) {
			a := unixAddr(name)
			_, errno := p.call(syscall.SYS_CONNECT, f, a, len(a))
			p.note("connect = %s", errnoName(errno))
		}
		bind(s, name)
		bind(s, name+"2")
		s2 := p.socket(syscall.SOCK_STREAM)
		bind(s2, name)
		connect(s2, name)
		p.do(syscall.SYS_LISTEN, s, 1)
		p.levels(s)
		p.accept(s)
		connect(s2, name)
		connect(s2, name)
		p.levels(s, s2)
		p.write(s2, "early")
		a := p.accept(s)
		p.levels(s, s2, a)
		p.sockname(syscall.SYS_GETPEERNAME, a)
		p.option(a, syscall.SOL_SOCKET, syscall.SO_TYPE, 4)
		p.option(a, syscall.SOL_SOCKET, soDomain, 4)
		p.option(a, syscall.SOL_SOCKET, soProtocol, 4)
		p.option(a, syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
		p.option(a, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN, 4)
		p.option(s, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN, 4)
		p.option(s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, 16)
		p.setOption(s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, 1, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x1f, 0, 0, 0, 0, 0, 0)
		p.option(s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, 16)
		p.setOption(s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, 1, 0)
		p.setOption(s, syscall.SOL_SOCKET, syscall.SO_TYPE, 1, 0, 0, 0)
		p.option(s, syscall.SOL_SOCKET, 7777, 4)
		p.setOption(s, syscall.SOL_SOCKET, 7777, 1, 0, 0, 0)
		p.setOption(s, syscall.IPPROTO_TCP, 1, 1, 0, 0, 0)
		p.recv(a, 3, syscall.MSG_PEEK)
		p.recv(a, 3, 0)
		p.recv(a, 10, syscall.MSG_DONTWAIT)
		p.recv(a, 10, syscall.MSG_DONTWAIT)
		p.recv(a, 10, syscall.MSG_OOB)
		p.send(a, "back", syscall.MSG_NOSIGNAL, nil)
		p.send(a, "back", 0, unixAddr(name))
		p.read(s2, 10)
		p.do(syscall.SYS_SHUTDOWN, s2, syscall.SHUT_WR)
		p.levels(s2, a)
		p.write(s2, "x")
		p.read(a, 10)
		p.write(a, "still")
		p.read(s2, 10)
		p.close(s2)
		p.levels(a)
		p.read(a, 10)
		p.write(a, "x")
		p.close(a)

		x, y := p.pair(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
		p.sockname(syscall.SYS_GETSOCKNAME, x)
		p.sockname(syscall.SYS_GETPEERNAME, x)
		p.write(x, "unread")
		var n int32
		p.do(syscall.SYS_IOCTL, y, fionread, unsafe.Pointer(&n))
		p.note("%d", n)
		p.close(y)
		p.levels(x)
		p.read(x, 10)
		p.read(x, 10)
		p.write(x, "x")

		x, y = p.pair(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
		p.write(y, "answer")
		p.close(y)
		p.levels(x)
		p.read(x, 10)
		p.read(x, 10)
		x, y = p.pair(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
		p.do(syscall.SYS_SHUTDOWN, x, syscall.SHUT_RD)
		p.levels(x, y)
		p.read(x, 1)
		p.write(y, "x")
		p.read(y, 1)
		p.do(syscall.SYS_SHUTDOWN, y, syscall.SHUT_RDWR)
		p.levels(x, y)

		// A backlog that is full, and a listener that goes.
		for range 4 {
			c := p.socket(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
			connect(c, name)
			p.levels(c)
			s2 = c
		}
		c := p.socket(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
		connect(c, name)
		p.accept(s)
		connect(c, name)
		p.close(s)
		p.levels(c, s2)
		p.read(c, 1)
		p.read(c, 1)
		connect(s2, name)
	})
}

func TestUnixDatagram(t *testing.T) {
	compare(t, func(p *proc) {
		nameA, nameB := fmt.Sprintf("\x00ukvm-a-%p", p), fmt.Sprintf("\x00ukvm-b-%p", p)
		with := func(nr uintptr, f fd, name string) {
			a := unixAddr(name)
			_, errno := p.call(nr, f, a, len(a))
			p.note("%s = %s", calls[nr].name, errnoName(errno))
		}
		recv := func(f fd, n, flags int) {
			b, addr, size := make([]byte, n), make([]byte, 120), int32(120)
			got, errno := p.call(syscall.SYS_RECVFROM, f, b, n, flags, addr, unsafe.Pointer(&size))
			p.note("recvfrom = %d %q %v %s", int(got), b[:min(max(int(got), 0), n)], size > 0, errnoName(errno))
		}
		a := p.socket(syscall.SOCK_DGRAM | syscall.SOCK_NONBLOCK)
		b := p.socket(syscall.SOCK_DGRAM | syscall.SOCK_NONBLOCK)
		with(syscall.SYS_BIND, a, nameA)
		p.send(b, "anonymous", 0, unixAddr(nameA))
		recv(a, 5, 0)
		recv(a, 5, 0)
		with(syscall.SYS_BIND, b, nameB)
		p.send(b, "named", 0, unixAddr(nameA))
		p.send(b, "", 0, unixAddr(nameA))
		p.levels(a)
		recv(a, 3, syscall.MSG_PEEK|syscall.MSG_TRUNC)
		recv(a, 30, 0)
		recv(a, 30, 0)
		recv(a, 30, 0)
		with(syscall.SYS_CONNECT, a, nameB)
		p.sockname(syscall.SYS_GETPEERNAME, b)
		p.write(a, "to b")
		recv(b, 10, 0)
		c := p.socket(syscall.SOCK_DGRAM | syscall.SOCK_NONBLOCK)
		p.send(c, "x", 0, unixAddr(nameA))
		with(syscall.SYS_CONNECT, c, nameA)
		with(syscall.SYS_CONNECT, c, nameB)
		for range 12 {
			p.write(c, "fill")
		}
		p.levels(c, b)
		recv(b, 10, 0)
		p.levels(c)
		p.write(c, "fill")
		p.write(c, strings.Repeat("x", 300_000))
		p.close(b)
		p.write(c, "x")
		p.write(c, "x")
		with(syscall.SYS_CONNECT, c, nameB)
		_, errno := p.call(syscall.SYS_CONNECT, a, []byte{0, 0}, 2)
		p.note("disconnect = %s", errnoName(errno))
		p.write(a, "x")
		s := p.socket(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
		with(syscall.SYS_CONNECT, s, nameA)
		x, y := p.pair(syscall.SOCK_DGRAM | syscall.SOCK_NONBLOCK)
		p.write(x, "one")
		p.write(x, "two")
		recv(y, 10, 0)
		p.close(x)
		p.levels(y)
		recv(y, 10, 0)
		recv(y, 10, 0)
		p.write(y, "x")

		x, y = p.pair(syscall.SOCK_SEQPACKET | syscall.SOCK_NONBLOCK)
		p.write(x, "one packet")
		p.write(x, "")
		p.write(x, "another")
		p.levels(x, y)
		p.read(y, 3)
		p.recv(y, 10, syscall.MSG_PEEK)
		p.read(y, 10)
		p.read(y, 10)
		p.read(y, 10)
		p.close(x)
		p.levels(y)
		p.read(y, 1)
		p.write(y, "x")
		u := p.socket(syscall.SOCK_DGRAM)
		_, errno = p.call(syscall.SYS_BIND, u, []byte{1, 0}, 2)
		p.note("autobind = %s", errnoName(errno))
		addr, n := make([]byte, 120), int32(120)
		p.call(syscall.SYS_GETSOCKNAME, u, addr, unsafe.Pointer(&n))
		p.note("%d %v", n, addr[2])
	})
}

// TestUnixPath binds to a path in each one's own directory.
func TestUnixPath(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	bind := func(f fd, path string) syscall.Errno {
		a := unixAddr(path)
		_, errno := g.call(syscall.SYS_BIND, f, a, len(a))
		return errno
	}
	connect := func(f fd, path string) syscall.Errno {
		a := append(unixAddr(path), 0)
		_, errno := g.call(syscall.SYS_CONNECT, f, a, len(a))
		return errno
	}
	s, c := p.socket(syscall.SOCK_STREAM), p.socket(syscall.SOCK_STREAM)
	p.must(syscall.SYS_CHDIR, "/tmp")
	if errno := bind(s, "sock"); errno != 0 {
		t.Fatal(errno)
	}
	if errno := bind(c, "/tmp/sock"); errno != syscall.EADDRINUSE {
		t.Fatal(errno)
	}
	if errno := connect(c, "/tmp/sock"); errno != syscall.ECONNREFUSED {
		t.Fatal(errno)
	}
	p.must(syscall.SYS_LISTEN, s, 5)
	if errno := connect(c, "/tmp/sock"); errno != 0 {
		t.Fatal(errno)
	}
	a := p.accept(s)
	p.sockname(syscall.SYS_GETPEERNAME, c)
	if got := p.log[len(p.log)-1]; got != `getpeername = "\x01\x00sock\x00" 0 errno 0` {
		t.Fatal(got)
	}
	p.close(s)
	c2 := p.socket(syscall.SOCK_STREAM)
	if errno := connect(c2, "/tmp/sock"); errno != syscall.ECONNREFUSED {
		t.Fatal(errno)
	}
	if errno := bind(c2, "/tmp/sock"); errno != syscall.EADDRINUSE {
		t.Fatal(errno)
	}
	p.must(syscall.SYS_UNLINK, "/tmp/sock")
	if errno := bind(c2, "/tmp/sock"); errno != 0 {
		t.Fatal(errno)
	}
	if errno := bind(c, "/nowhere/sock"); errno != syscall.ENOENT {
		t.Fatal(errno)
	}
	for _, f := range []fd{a, c, c2} {
		p.close(f)
	}
	if len(g.s.unix.nodes) != 0 || len(g.s.unix.named) != 0 {
		t.Fatal("names are left over")
	}
}

func TestUnixBlocking(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	s, c := p.socket(syscall.SOCK_STREAM), p.socket(syscall.SOCK_STREAM)
	addr := unixAddr("\x00here")
	p.must(syscall.SYS_BIND, s, addr, len(addr))
	p.must(syscall.SYS_LISTEN, s, 0)
	var a fd
	blocked(t, func() string {
		r, errno := g.call(syscall.SYS_ACCEPT, s, nil, nil)
		a = fd(r)
		return result2(r, errno)
	}, func() { p.must(syscall.SYS_CONNECT, c, addr, len(addr)) })
	c2, c3 := p.socket(syscall.SOCK_STREAM), p.socket(syscall.SOCK_STREAM)
	p.must(syscall.SYS_CONNECT, c2, addr, len(addr))
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_CONNECT, c3, addr, len(addr))) },
		func() { p.must(syscall.SYS_ACCEPT, s, nil, nil) }); got != "0" {
		t.Fatal(got)
	}
	b := make([]byte, 10)
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_RECVFROM, a, b, 10, syscall.MSG_WAITALL, nil, nil)) },
		func() {
			p.write(c, "12345")
			time.Sleep(time.Millisecond)
			p.write(c, "67890")
		}); got != "10" || string(b) != "1234567890" {
		t.Fatal(got, b)
	}
	big := bytes.Repeat([]byte("abcdefgh"), 100_000)
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_WRITE, c, big, len(big))) }, func() {
		var all []byte
		for len(all) < len(big) {
			b := make([]byte, 50_000)
			n, _ := g.call(syscall.SYS_READ, a, b, len(b))
			all = append(all, b[:n]...)
		}
		if !bytes.Equal(all, big) {
			t.Error("bytes changed on their way")
		}
	}); got != "800000" {
		t.Fatal(got)
	}
	p.setOption(a, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x4e, 0, 0, 0, 0, 0, 0) // 20 ms
	start := time.Now()
	if _, errno := g.call(syscall.SYS_READ, a, b, 10); errno != syscall.EAGAIN || time.Since(start) < 19*time.Millisecond {
		t.Fatal(errno, time.Since(start))
	}
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_READ, c, b, 10)) },
		func() { p.close(a) }); got != "0" {
		t.Fatal(got)
	}
	x, y := p.pair(syscall.SOCK_DGRAM)
	for errno := syscall.Errno(0); errno == 0; {
		_, errno = g.call(syscall.SYS_SENDTO, x, big, 1000, syscall.MSG_DONTWAIT, nil, 0)
	}
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_WRITE, x, big, 1000)) },
		func() {
			for range 200 { // to a quarter of the limit
				g.call(syscall.SYS_RECVFROM, y, b, 10, syscall.MSG_DONTWAIT, nil, nil)
			}
		}); got != "1000" {
		t.Fatal(got)
	}
}
