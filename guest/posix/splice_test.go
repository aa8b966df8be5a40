package posix

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

func (p *proc) splice(from fd, fromAt *int64, to fd, toAt *int64, n, flags int) int {
	r, errno := p.call(syscall.SYS_SPLICE, from, unsafe.Pointer(fromAt), to, unsafe.Pointer(toAt), n, flags)
	p.note("splice(%s, %s, %d, %#x) = %d %s", p.name(from), p.name(to), n, flags, int(r), errnoName(errno))
	return int(r)
}

func TestSplice(t *testing.T) {
	compare(t, func(p *proc) {
		r, w := p.pipe(syscall.O_NONBLOCK)
		r2, w2 := p.pipe(syscall.O_NONBLOCK)
		f := p.open("f", creat|rdwr, 0o600)
		x, y := p.pair(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
		p.write(f, "0123456789")
		off := int64(3)
		p.splice(f, &off, w, nil, 4, 0)
		p.note("%d", off)
		p.do(syscall.SYS_LSEEK, f, 8, 0)
		p.splice(f, nil, w, nil, 100, 0)
		p.splice(f, nil, w, nil, 100, 0)
		p.do(syscall.SYS_LSEEK, f, 0, 1)
		p.do(syscall.SYS_TEE, r, w2, 100, 0)
		p.splice(r, nil, x, nil, 5, 0)
		p.read(r2, 100)
		p.read(y, 100)
		off = 20
		p.splice(r, nil, f, &off, 100, 0)
		p.pread(f, 100, 0)
		p.splice(r, nil, x, nil, 5, 0)
		p.do(syscall.SYS_TEE, r, w2, 100, spliceNonblock)
		p.splice(y, nil, w, nil, 10, 0)
		p.write(x, "from the socket")
		p.splice(y, nil, w, nil, 100, spliceNonblock)
		p.splice(r, nil, w2, nil, 4, 0)
		p.read(r2, 100)
		p.read(r, 100)
		p.do(syscall.SYS_SHUTDOWN, x, syscall.SHUT_WR)
		p.splice(y, nil, w, nil, 10, 0)
		p.splice(f, nil, x, nil, 10, 0)
		p.splice(r, nil, w, nil, 10, 0)
		p.splice(r, &off, x, nil, 10, 0)
		p.splice(f, nil, w, &off, 10, 0)
		p.splice(w, nil, r, nil, 10, 0)
		p.splice(f, nil, w, nil, 10, 99)
		p.splice(f, nil, w, nil, 0, 0)
		p.splice(fd(900), nil, w, nil, 10, 0)
		p.splice(f, nil, fd(900), nil, 10, 0)
		a := p.open("f", wronly|syscall.O_APPEND, 0)
		p.write(w, "x")
		p.splice(r, nil, a, nil, 10, 0)
		d := p.open(".", rdonly, 0)
		p.splice(d, nil, w, nil, 10, 0)
		dx, _ := p.pair(syscall.SOCK_DGRAM | syscall.SOCK_NONBLOCK)
		p.write(w, strings.Repeat("x", 65536-1))
		p.splice(f, nil, w, nil, 10, spliceNonblock)
		p.do(syscall.SYS_TEE, r, r2, 10, 0)
		p.do(syscall.SYS_TEE, r, w, 10, 0)
		p.do(syscall.SYS_TEE, f, w, 10, 0)
		p.close(r2)
		p.splice(r, nil, w2, nil, 4, 0)
		p.close(w)
		p.read(r, 70000)
		p.splice(r, nil, x, nil, 5, 0)
		p.close(dx)
	})
}

// TestSpliceStream pumps a stream through a pipe in odd pieces, waiting on all sides.
func TestSpliceStream(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	a, b := p.pair(syscall.SOCK_STREAM)
	c, d := p.pair(syscall.SOCK_STREAM)
	r, w := p.pipe(0)
	p.must(syscall.SYS_FCNTL, w, fSetPipeSize, 8192)
	want := make([]byte, 1<<20)
	for i := range want {
		want[i] = byte(rand.Uint32())
	}
	go func() {
		g.call(syscall.SYS_WRITE, a, want, len(want))
		g.call(syscall.SYS_SHUTDOWN, a, syscall.SHUT_WR)
	}()
	go func() {
		for {
			n, errno := g.call(syscall.SYS_SPLICE, b, nil, w, nil, 1+rand.IntN(20_000), 0)
			if errno != 0 || n == 0 {
				g.call(syscall.SYS_CLOSE, w)
				return
			}
		}
	}()
	go func() {
		for {
			n, errno := g.call(syscall.SYS_SPLICE, r, nil, c, nil, 1+rand.IntN(20_000), 0)
			if errno != 0 || n == 0 {
				g.call(syscall.SYS_SHUTDOWN, c, syscall.SHUT_WR)
				return
			}
		}
	}()
	got := make([]byte, 0, len(want))
	for {
		buf := make([]byte, 30_000)
		n, errno := g.call(syscall.SYS_READ, d, buf, len(buf))
		if errno != 0 {
			t.Fatal(errno)
		}
		if n == 0 {
			break
		}
		got = append(got, buf[:n]...)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("bytes changed on their way:", len(got))
	}
}
