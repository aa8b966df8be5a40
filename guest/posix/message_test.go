package posix

import (
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// iovecs are buffers as a call takes them.
func iovecs(bufs ...[]byte) []syscall.Iovec {
	v := make([]syscall.Iovec, len(bufs))
	for i, b := range bufs {
		v[i].Len = uint64(len(b))
		v[i].Base = unsafe.SliceData(b)
	}
	return v
}

func rights(fds ...fd) []byte {
	b := make([]byte, cmsgAlign(cmsgHeader+4*len(fds)))
	putCmsg(b, cmsgHeader+4*len(fds), syscall.SOL_SOCKET, syscall.SCM_RIGHTS)
	for i, f := range fds {
		put32(b[cmsgHeader+4*i:], uint32(f))
	}
	return b
}

func (p *proc) sendmsg(f fd, control []byte, flags int, bufs ...[]byte) {
	v := iovecs(bufs...)
	h := syscall.Msghdr{Iov: unsafe.SliceData(v), Iovlen: uint64(len(v)), Control: unsafe.SliceData(control)}
	h.SetControllen(len(control))
	n, errno := p.call(syscall.SYS_SENDMSG, f, unsafe.Pointer(&h), flags)
	p.note("sendmsg %d %#x = %d %s", len(bufs), flags, int(n), errnoName(errno))
}

// recvmsg notes what it gets and returns the descriptors that came along.
func (p *proc) recvmsg(f fd, room, flags int, sizes ...int) (got []fd) {
	var bufs [][]byte
	for _, n := range sizes {
		bufs = append(bufs, make([]byte, n))
	}
	v, control := iovecs(bufs...), make([]byte, room)
	h := syscall.Msghdr{Iov: unsafe.SliceData(v), Iovlen: uint64(len(v)), Control: unsafe.SliceData(control)}
	h.SetControllen(room)
	n, errno := p.call(syscall.SYS_RECVMSG, f, unsafe.Pointer(&h), flags)
	if errno != 0 {
		p.note("recvmsg %#x = %s", flags, errnoName(errno))
		return nil
	}
	var texts []string
	for _, b := range bufs {
		texts = append(texts, cString(b))
	}
	p.note("recvmsg %#x = %d %q flags %#x control %d", flags, n, texts, h.Flags, h.Controllen)
	for b := control[:h.Controllen]; ; {
		m, rest, ok, errno := nextCmsg(b)
		if errno != 0 {
			p.t.Error("control message:", errno)
		}
		if !ok {
			return got
		}
		b = rest
		p.note("cmsg %d %d %d", m.level, m.typ, len(m.data))
		if m.typ == syscall.SCM_RIGHTS {
			for i := 0; i < len(m.data); i += 4 {
				got = append(got, fd(get32(m.data[i:])))
			}
		}
	}
}

func TestMessages(t *testing.T) {
	compare(t, func(p *proc) {
		for _, typ := range []int{syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET} {
			x, y := p.pair(typ | syscall.SOCK_NONBLOCK)
			p.sendmsg(x, nil, 0, []byte("first "), nil, []byte("second"))
			p.sendmsg(x, nil, 0, []byte("more"))
			p.recvmsg(y, 0, 0, 4, 0, 3)
			p.recvmsg(y, 0, syscall.MSG_PEEK, 30)
			p.recvmsg(y, 0, syscall.MSG_TRUNC, 2)
			p.recvmsg(y, 0, 0, 100, 100)
			p.recvmsg(y, 0, 0, 10)
			p.sendmsg(x, nil, 0)
			p.recvmsg(y, 0, 0, 10)

			// Files, with and without room for them.
			r, w := p.pipe(0)
			p.sendmsg(x, rights(w, r), 0, []byte("two files"))
			p.sendmsg(x, nil, 0, []byte("none"))
			p.close(w)
			got := p.recvmsg(y, 100, 0, 100)
			for _, f := range got {
				p.do(syscall.SYS_FCNTL, f, syscall.F_GETFL, 0)
			}
			if len(got) == 2 {
				p.write(got[0], "through a passed pipe")
				p.read(r, 100)
				p.close(got[0])
				p.read(r, 100)
			}
			p.recvmsg(y, 100, 0, 100)
			p.sendmsg(x, rights(r, r, r), 0, []byte("three"))
			got = p.recvmsg(y, cmsgHeader+8, msgCmsgCloexec, 100)
			for _, f := range got {
				p.do(syscall.SYS_FCNTL, f, syscall.F_GETFD, 0)
			}
			p.sendmsg(x, nil, 0, []byte("before "))
			p.sendmsg(x, rights(r), 0, []byte("glued"))
			p.sendmsg(x, nil, 0, []byte("after"))
			p.recvmsg(y, 100, 0, 3)
			p.recvmsg(y, 100, 0, 6)
			p.recvmsg(y, 100, 0, 100)
			p.recvmsg(y, 100, 0, 100)
			p.sendmsg(x, rights(r), 0, []byte("plain read drops files"))
			p.read(y, 100)
			p.sendmsg(x, rights(999), 0, []byte("x"))
			p.sendmsg(x, []byte(strings.Repeat("\xff", 24)), 0, []byte("x"))
			p.sendmsg(x, rights(r), 0, []byte("never read"))
			p.close(y)
			p.close(x)
			p.close(r)
		}
		x, y := p.pair(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
		p.setOption(y, syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1, 0, 0, 0)
		p.write(x, "who am I")
		p.recvmsg(y, 100, 0, 100)
		var v [1]syscall.Iovec
		h := syscall.Msghdr{Iov: &v[0], Iovlen: 1025}
		_, errno := p.call(syscall.SYS_SENDMSG, x, unsafe.Pointer(&h), 0)
		p.note("%s", errnoName(errno))
		_, errno = p.call(syscall.SYS_RECVMSG, x, nil, 0)
		p.note("%s", errnoName(errno))
	})
}

func TestManyMessages(t *testing.T) {
	compare(t, func(p *proc) {
		x, y := p.pair(syscall.SOCK_DGRAM | syscall.SOCK_NONBLOCK)
		texts := [][]byte{[]byte("one"), []byte("two"), []byte("three")}
		out := make([]mmsghdr, 3)
		var keep [][]syscall.Iovec
		for i := range out {
			v := iovecs(texts[i])
			keep = append(keep, v)
			out[i].hdr = syscall.Msghdr{Iov: &v[0], Iovlen: 1}
		}
		p.do(sysSENDMMSG, x, unsafe.Pointer(&out[0]), 3, 0)
		p.note("%d %d %d", out[0].len, out[1].len, out[2].len)
		in := make([]mmsghdr, 5)
		for i := range in {
			v := iovecs(make([]byte, 4))
			keep = append(keep, v)
			in[i].hdr = syscall.Msghdr{Iov: &v[0], Iovlen: 1}
		}
		p.do(syscall.SYS_RECVMMSG, y, unsafe.Pointer(&in[0]), 5, 0, nil)
		p.note("%d %d %d %#x", in[0].len, in[1].len, in[2].len, in[2].hdr.Flags)
		p.do(syscall.SYS_RECVMMSG, y, unsafe.Pointer(&in[0]), 5, 0, nil)
		bad := syscall.Timespec{Nsec: -1}
		p.do(syscall.SYS_RECVMMSG, y, unsafe.Pointer(&in[0]), 5, 0, unsafe.Pointer(&bad))
		for range 5 {
			p.do(sysSENDMMSG, x, unsafe.Pointer(&out[0]), 3, 0)
		}
		_ = keep
	})
}

// TestRightsOfKernel sees that a descriptor of package kernel's cannot be sent.
func TestRightsOfKernel(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	x, _ := p.pair(syscall.SOCK_STREAM)
	p.sendmsg(x, rights(1), 0, []byte("x"))
	if got := p.log[len(p.log)-1]; !strings.Contains(got, "22 invalid") {
		t.Fatal(got)
	}
}
