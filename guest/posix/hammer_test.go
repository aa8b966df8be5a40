package posix

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"unsafe"
)

// TestHammer makes calls of all kinds on shared names and numbers from many goroutines, for the race detector and for
// what is left over: numbers, references, names, locks.
func TestHammer(t *testing.T) {
	g := newGuest(t)
	g.c.limit = 64
	p := &proc{caller: g, t: t}
	p.must(syscall.SYS_MKDIR, "/tmp/h", 0o755)
	p.must(syscall.SYS_MKNOD, "/tmp/h/fifo", syscall.S_IFIFO|0o600, 0)
	p.must(syscall.SYS_DUP2, p.must(syscall.SYS_OPEN, "/dev/null", rdwr, 0), passed)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() { hammer(g, rand.New(rand.NewPCG(uint64(n), 5)), 3000) })
	}
	wg.Wait()
	for n := 3; n < g.c.limit; n++ {
		g.call(syscall.SYS_CLOSE, n)
	}
	for n := 3; n < len(g.c.files); n++ {
		if g.c.files[n].kind != 0 {
			t.Errorf("number %d is left over", n)
		}
	}
	if x := &g.s.unix; len(x.named) != 0 || len(x.nodes) != 0 {
		t.Error("names of sockets are left over")
	}
	if n := len(g.s.tree.fifos); n != 0 {
		t.Error(n, "pipes of FIFOs are left over")
	}
	for _, f := range g.s.locks.files {
		t.Errorf("locks are left over: %+v", f)
	}
}

// passed is the descriptor that is sent along with messages. (A socket that is sent through itself would be lost.)
const passed = 60

func hammer(g *guest, r *rand.Rand, steps int) {
	b := make([]byte, 3000)
	for range steps {
		fd, other := 3+r.IntN(40), 3+r.IntN(40)
		name := fmt.Sprint("/tmp/h/", r.IntN(4))
		switch r.IntN(24) {
		case 0, 1:
			g.call(syscall.SYS_OPEN, name, creat|rdwr|syscall.O_NONBLOCK, 0o600)
		case 2, 3:
			g.call(syscall.SYS_CLOSE, fd)
		case 4:
			var fds [2]int32
			g.call(syscall.SYS_PIPE2, unsafe.Pointer(&fds), syscall.O_NONBLOCK)
		case 5:
			var fds [2]int32
			typ := []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET}[r.IntN(3)]
			g.call(syscall.SYS_SOCKETPAIR, syscall.AF_UNIX, typ|syscall.SOCK_NONBLOCK, 0, unsafe.Pointer(&fds))
		case 6, 7, 8:
			g.call(syscall.SYS_WRITE, fd, b, r.IntN(len(b)))
		case 9, 10, 11:
			g.call(syscall.SYS_READ, fd, b, r.IntN(len(b)))
		case 12:
			g.call(syscall.SYS_DUP2, fd, other)
		case 13:
			g.call(syscall.SYS_DUP, fd)
		case 14:
			set := []pollfd{{fd: int32(fd), events: 5}, {fd: int32(other), events: 5}}
			g.call(syscall.SYS_POLL, unsafe.Pointer(&set[0]), 2, r.IntN(2))
		case 15:
			g.call(syscall.SYS_UNLINK, name)
		case 16:
			g.call(syscall.SYS_RENAME, name, fmt.Sprint("/tmp/h/", r.IntN(4)))
		case 17:
			g.call(syscall.SYS_OPEN, "/tmp/h/fifo", rdwr|syscall.O_NONBLOCK, 0)
		case 18:
			f := []int{syscall.LOCK_SH, syscall.LOCK_EX, syscall.LOCK_UN}[r.IntN(3)]
			g.call(syscall.SYS_FLOCK, fd, f|syscall.LOCK_NB)
		case 19:
			l := syscall.Flock_t{Type: int16(r.IntN(3)), Start: int64(r.IntN(10)), Len: int64(r.IntN(10))}
			g.call(syscall.SYS_FCNTL, fd, []int{syscall.F_SETLK, fOFDSetLock}[r.IntN(2)], unsafe.Pointer(&l))
		case 20:
			so, errno := g.call(syscall.SYS_SOCKET, syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
			if errno == 0 {
				addr := unixAddr(fmt.Sprint("\x00", r.IntN(3)))
				if _, errno := g.call(syscall.SYS_BIND, int(so), addr, len(addr)); errno == 0 {
					g.call(syscall.SYS_LISTEN, int(so), 2)
				} else {
					g.call(syscall.SYS_CONNECT, int(so), addr, len(addr))
				}
			}
		case 21:
			g.call(syscall.SYS_ACCEPT4, fd, nil, nil, syscall.SOCK_NONBLOCK)
		case 22:
			control := rights(passed)
			v := iovecs(b[:10])
			h := syscall.Msghdr{Iov: &v[0], Iovlen: 1, Control: &control[0], Controllen: uint64(len(control))}
			g.call(syscall.SYS_SENDMSG, fd, unsafe.Pointer(&h), syscall.MSG_DONTWAIT)
		case 23:
			control := make([]byte, 64)
			v := iovecs(b[:100])
			h := syscall.Msghdr{Iov: &v[0], Iovlen: 1, Control: &control[0], Controllen: uint64(len(control))}
			g.call(syscall.SYS_RECVMSG, fd, unsafe.Pointer(&h), syscall.MSG_DONTWAIT)
		}
	}
}

// TestKernelCore makes a System on package kernel as it runs on a host.
func TestKernelCore(t *testing.T) {
	s, c := newTestSystem(nil)
	s.core = kernelCore{}
	p := &proc{caller: &guest{s, c}, t: t}
	r, w := p.pipe(syscall.O_NONBLOCK)
	p.write(w, "abc")
	if got := p.read(r, 5); got != "abc" {
		t.Fatal(got)
	}
	if n := p.must(syscall.SYS_DUP2, r, 20); n != 20 {
		t.Fatal(n)
	}
	p.must(syscall.SYS_FCNTL, r, syscall.F_SETFL, 0)
	p.must(syscall.SYS_CLOSE, r)
	if f := p.must(syscall.SYS_OPEN, "/dev/null", rdwr, 0); f != int(r) {
		t.Fatal(f)
	}
	for _, f := range []fd{r, w, 20} {
		p.must(syscall.SYS_CLOSE, f)
	}
}
