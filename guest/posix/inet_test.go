package posix

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// inet encodes 127.0.0.1 and a port.
func inet(port uint16) []byte {
	return []byte{syscall.AF_INET, 0, byte(port >> 8), byte(port), 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
}

// port returns the port a socket is bound to.
func (p *proc) port(f fd) uint16 {
	b, n := make([]byte, 16), int32(16)
	p.must(syscall.SYS_GETSOCKNAME, f, b, unsafe.Pointer(&n))
	return big16(b[2:])
}

// address notes an address without its port, which the two systems choose differently.
func (p *proc) address(what string, b []byte, errno syscall.Errno) {
	if len(b) >= 4 {
		b = bytes.Clone(b)
		copy(b[2:], "pp")
	}
	p.note("%s = %v %s", what, b, errnoName(errno))
}

func (p *proc) inetName(nr uintptr, f fd) {
	b, n := make([]byte, 30), int32(30)
	_, errno := p.call(nr, f, b, unsafe.Pointer(&n))
	if errno != 0 {
		n = 0
	}
	p.address(calls[nr].name, b[:n], errno)
}

func (p *proc) inetRecv(f fd, n, flags int) {
	b, addr, size := make([]byte, n), make([]byte, 30), int32(30)
	got, errno := p.call(syscall.SYS_RECVFROM, f, b, n, flags, addr, unsafe.Pointer(&size))
	if errno != 0 {
		p.note("recvfrom = %s", errnoName(errno))
		return
	}
	p.address("recvfrom "+string(b[:min(int(got), n)]), addr[:size], errno)
}

func (p *proc) inetCall(nr uintptr, f fd, addr []byte) {
	_, errno := p.call(nr, f, addr, len(addr))
	p.note("%s = %s", calls[nr].name, errnoName(errno))
}

// until polls a descriptor until it is ready: what arrives takes its time.
func (p *proc) until(f fd, events Events) {
	set := pollfd{fd: int32(f), events: int16(events)}
	n, errno := p.call(syscall.SYS_POLL, unsafe.Pointer(&set), 1, 10_000)
	p.note("poll = %d %#x %s", n, set.revents, errnoName(errno))
}

func TestTCP(t *testing.T) {
	compare(t, func(p *proc) {
		const stream = syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK
		socket := func() fd { return p.make(syscall.SYS_SOCKET, syscall.AF_INET, stream, 0) }
		s := socket()
		p.levels(s)
		p.inetName(syscall.SYS_GETSOCKNAME, s)
		p.inetName(syscall.SYS_GETPEERNAME, s)
		p.setOption(s, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1, 0, 0, 0)
		p.inetCall(syscall.SYS_BIND, s, inet(0))
		p.inetCall(syscall.SYS_BIND, s, unixAddr("x12345678901234"))
		p.accept(s)
		p.do(syscall.SYS_LISTEN, s, 5)
		p.levels(s)
		p.accept(s)
		p.option(s, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN, 4)
		p.option(s, syscall.SOL_SOCKET, syscall.SO_TYPE, 4)
		p.option(s, syscall.SOL_SOCKET, soDomain, 4)
		p.option(s, syscall.SOL_SOCKET, soProtocol, 4)
		port := p.port(s)
		c := socket()
		p.inetCall(syscall.SYS_CONNECT, c, inet(port))
		p.until(c, EventOut)
		p.option(c, syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
		p.inetName(syscall.SYS_GETPEERNAME, c)
		p.inetCall(syscall.SYS_CONNECT, c, inet(port))
		p.inetCall(syscall.SYS_CONNECT, c, inet(port))
		p.until(s, EventIn)
		b, n := make([]byte, 30), int32(30)
		r, errno := p.call(syscall.SYS_ACCEPT4, s, b, unsafe.Pointer(&n), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		p.address("accept4", b[:n], errno)
		a := fd(r)
		p.do(syscall.SYS_FCNTL, a, syscall.F_GETFL, 0)
		p.do(syscall.SYS_FCNTL, a, syscall.F_GETFD, 0)
		p.levels(s, c, a)
		p.read(a, 10)
		p.write(c, "hello")
		p.until(a, EventIn)
		p.inetRecv(a, 3, syscall.MSG_PEEK)
		p.inetRecv(a, 10, 0)
		p.sendmsg(c, nil, 0, []byte("one "), []byte("two "), []byte("three"))
		p.until(a, EventIn)
		p.recvmsg(a, 0, 0, 4, 4, 10)
		v := iovecs([]byte("by "), []byte("writev"))
		p.do(syscall.SYS_WRITEV, c, unsafe.Pointer(&v[0]), 2)
		p.until(a, EventIn)
		p.read(a, 20)
		f := p.open("f", creat|rdwr, 0o600)
		p.write(f, strings.Repeat("file ", 1000))
		p.do(syscall.SYS_LSEEK, f, 0, 0)
		p.do(syscall.SYS_SENDFILE, c, f, nil, 5000)
		total := 0
		for total < 5000 {
			p.call(syscall.SYS_POLL, unsafe.Pointer(&pollfd{fd: int32(a), events: 1}), 1, 1000)
			n, _ := p.call(syscall.SYS_READ, a, make([]byte, 5000), 5000)
			total += int(n)
		}
		p.note("%d bytes", total)
		p.pread(a, 1, 0)
		p.do(syscall.SYS_LSEEK, a, 0, 0)
		p.do(syscall.SYS_SHUTDOWN, c, syscall.SHUT_WR)
		p.until(a, EventIn|EventRdHup)
		p.read(a, 10)
		p.write(c, "x")
		p.write(a, "last")
		p.until(c, EventIn)
		p.read(c, 10)
		p.close(a)
		p.until(c, EventIn|EventRdHup)
		p.read(c, 10)
		p.close(c)
		p.close(s)
		c = socket()
		p.inetCall(syscall.SYS_CONNECT, c, inet(port))
		p.until(c, EventOut)
		p.option(c, syscall.SOL_SOCKET, syscall.SO_ERROR, 4)
		p.write(c, "x")
		c = socket()
		p.inetCall(syscall.SYS_CONNECT, c, unixAddr("x12345678901234"))
		p.inetCall(syscall.SYS_CONNECT, c, []byte{2, 0, 1})
		p.make(syscall.SYS_SOCKET, syscall.AF_INET, 77, 0)
		p.do(syscall.SYS_SOCKETPAIR, syscall.AF_INET, syscall.SOCK_STREAM, 0, make([]byte, 8))
	})
}

func TestUDP(t *testing.T) {
	compare(t, func(p *proc) {
		a := p.make(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK, 0)
		b := p.make(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK, 17)
		p.inetCall(syscall.SYS_BIND, a, inet(0))
		p.levels(a)
		port := p.port(a)
		p.write(b, "x")
		p.send(b, "first", 0, inet(port))
		p.until(a, EventIn)
		p.inetRecv(a, 3, syscall.MSG_PEEK)
		p.inetRecv(a, 3, syscall.MSG_TRUNC)
		p.inetRecv(a, 3, 0)
		p.inetCall(syscall.SYS_CONNECT, b, inet(port))
		v := iovecs([]byte("one "), []byte("datagram"))
		p.do(syscall.SYS_WRITEV, b, unsafe.Pointer(&v[0]), 2)
		p.until(a, EventIn)
		p.recvmsg(a, 0, 0, 4, 3)
		p.write(b, "read in parts")
		p.until(a, EventIn)
		v = iovecs(make([]byte, 5), make([]byte, 50))
		p.do(syscall.SYS_READV, a, unsafe.Pointer(&v[0]), 2)
		p.write(b, "")
		p.until(a, EventIn)
		p.read(a, 10)
		p.inetName(syscall.SYS_GETPEERNAME, b)
		p.do(syscall.SYS_LISTEN, a, 1)
		p.accept(a)
		p.write(b, strings.Repeat("x", 70_000))
		out := make([]mmsghdr, 2)
		texts := [][]syscall.Iovec{iovecs([]byte("many")), iovecs([]byte("messages"))}
		for i := range out {
			out[i].hdr = syscall.Msghdr{Iov: &texts[i][0], Iovlen: 1}
		}
		p.do(sysSENDMMSG, b, unsafe.Pointer(&out[0]), 2, 0)
		p.until(a, EventIn)
		p.inetRecv(a, 10, 0)
		p.inetRecv(a, 10, 0)
	})
}

// TestTCPBlocking uses sockets that wait.
func TestTCPBlocking(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	socket := func() fd { return p.make(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_STREAM, 0) }
	s, c := socket(), socket()
	p.must(syscall.SYS_BIND, s, inet(0), 16)
	p.must(syscall.SYS_LISTEN, s, 5)
	port := p.port(s)
	var a fd
	if got := blocked(t, func() string {
		r, errno := g.call(syscall.SYS_ACCEPT, s, nil, nil)
		a = fd(r)
		return result2(0, errno)
	}, func() { p.must(syscall.SYS_CONNECT, c, inet(port), 16) }); got != "0" {
		t.Fatal(got)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_WRITE, c, big, len(big))) }, func() {
		all := make([]byte, len(big))
		if n, errno := g.call(syscall.SYS_RECVFROM, a, all, len(all), syscall.MSG_WAITALL, nil, nil); int(n) != len(big) ||
			errno != 0 || !bytes.Equal(all, big) {
			t.Error(n, errno, "or bytes have changed")
		}
	}); got != decimal(int64(len(big))) {
		t.Fatal(got)
	}
	b := make([]byte, 10)
	if got := blocked(t, func() string { return result2(g.call(syscall.SYS_READ, a, b, 10)) },
		func() { p.close(c) }); got != "0" {
		t.Fatal(got)
	}
	p.setOption(s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0x4e, 0, 0, 0, 0, 0, 0) // 20 ms
	start := time.Now()
	if _, errno := g.call(syscall.SYS_ACCEPT, s, nil, nil); errno != syscall.EAGAIN || time.Since(start) < 19*time.Millisecond {
		t.Fatal(errno, time.Since(start))
	}
	p.close(s)
	c = socket()
	if _, errno := g.call(syscall.SYS_CONNECT, c, inet(port), 16); errno != syscall.ECONNREFUSED {
		t.Fatal(errno)
	}
	if _, errno := g.call(syscall.SYS_SOCKET, syscall.AF_INET6, syscall.SOCK_STREAM, 0); errno != syscall.EAFNOSUPPORT {
		t.Fatal(errno)
	}
}
