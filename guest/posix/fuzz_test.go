package posix

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// FuzzPath resolves paths in a tree with symbolic links of all kinds. What is found must be what its directory says,
// and an absolute path of a directory must lead back to it.
func FuzzPath(f *testing.F) {
	s, c := newTestSystem(nil)
	p := &proc{caller: &guest{s, c}, t: f}
	for _, d := range []string{"/a", "/a/b", "/a/b/c"} {
		p.must(syscall.SYS_MKDIR, d, 0o755)
	}
	for _, l := range [][2]string{{"b", "/a/l"}, {"../..", "/a/b/up"}, {"/a/b", "/abs"}, {"loop", "/loop"}, {"/abs/c/", "/a/s"},
		{"nothing", "/a/dangling"}, {"/proc/self/cwd", "/a/magic"}, {strings.Repeat("./", 2000) + "a", "/long"}} {
		p.must(syscall.SYS_SYMLINK, l[0], l[1])
	}
	p.close(fd(p.must(syscall.SYS_OPEN, "/a/b/f", creat|rdwr, 0o644)))
	for _, path := range []string{"/", "a/../a/./b//c/", "/a/l/up/abs/f", "/loop/x", "a/s/..", "/proc/self/fd/0", "/a/magic/a",
		"/proc/self/root/a/b", strings.Repeat("long/../", 500), "/a/b/f/", "/a/dangling"} {
		f.Add(path, uint32(walkFollow))
		f.Add(path, uint32(walkParent))
		f.Add(path, uint32(walkBeneath|walkNoMagic))
	}
	t0 := s.fs()
	f.Fuzz(func(t *testing.T, path string, mode uint32) {
		path, _, _ = strings.Cut(path, "\x00")
		if len(path) >= vnode.PathMax {
			return
		}
		for _, from := range []string{"/", "/a/b"} {
			start, errno := t0.walk(t0.root, from, walkFollow)
			if errno != 0 {
				t.Fatal(errno)
			}
			dir := start.node.(vnode.Dir)
			found, errno := t0.walk(dir, path, walkMode(mode)&(walkNoSymlinks<<1-1))
			if errno != 0 {
				continue
			}
			if found.last == lastName {
				n, errno := found.dir.Lookup(found.name)
				if errno != 0 != (found.node == nil) || found.node != nil && t0.covering(n).Attr().Ino != found.node.Attr().Ino {
					t.Fatalf("%q: %+v, but its directory says %v", path, found, errno)
				}
			}
			if d, ok := found.node.(vnode.Dir); ok {
				back, errno := t0.pathOf(d)
				if errno != 0 {
					t.Fatal(path, errno)
				}
				again, errno := t0.walk(t0.root, back, walkNoSymlinks)
				if errno != 0 || again.node != d {
					t.Fatalf("%q is at %q, where there is something else: %v", path, back, errno)
				}
			}
		}
	})
}

func FuzzSockaddr(f *testing.F) {
	f.Add([]byte{2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{10, 0, 0, 80, 0, 0, 0, 0}, append(netip.MustParseAddr("fe80::1").AsSlice(), 2, 0, 0, 0)...))
	f.Add(unixAddr("/tmp/x"))
	f.Add(unixAddr("\x00abs\x00tract"))
	f.Add([]byte{16, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, errno := parseSockaddr(b)
		if errno != 0 {
			return
		}
		c := a.appendTo(nil)
		if len(c) > sockaddrStorage {
			t.Fatal("too long:", len(c))
		}
		if a.family == syscall.AF_UNSPEC {
			return
		}
		again, errno := parseSockaddr(c)
		if errno != 0 || again != a {
			t.Fatalf("%v -> %+v -> %v -> %+v %v", b, a, c, again, errno)
		}
	})
}

func FuzzControl(f *testing.F) {
	f.Add(rights(0, 1))
	f.Add(rights(3, 4, 5)[:20])
	creds := make([]byte, 32)
	putCmsg(creds, cmsgHeader+ucredSize, syscall.SOL_SOCKET, syscall.SCM_CREDENTIALS)
	putUcred(creds[cmsgHeader:])
	f.Add(creds)
	s, c := newTestSystem(nil)
	p := &proc{caller: &guest{s, c}, t: f}
	null := p.must(syscall.SYS_OPEN, "/dev/null", rdwr, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, errno := s.parseControl(b, syscall.AF_UNIX)
		if errno == 0 != (m != nil) {
			t.Fatal("both a message and an error")
		}
		if m != nil {
			for _, d := range m.files {
				if d.object != s.files.get(null).object {
					t.Fatal("a file that is not open")
				}
				d.release()
			}
			out := make([]byte, len(b)+64)
			used, _ := s.storeControl(out, m, true)
			if used > len(out) || len(m.files) > 0 && used > 0 {
				t.Fatal(used, len(m.files))
			}
			m.drop()
		}
		for n := range c.files {
			if n != null {
				s.close(n)
			}
		}
		if refs := s.files.get(null); refs == nil || refs.refs.Load() != 2 {
			t.Fatal("references are lost or left")
		} else {
			refs.release()
		}
	})
}

func FuzzNetlink(f *testing.F) {
	f.Add(routeRequest(syscall.RTM_GETLINK, syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP, 0))
	f.Add(append(routeRequest(syscall.RTM_GETADDR, syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP, 2),
		routeRequest(syscall.RTM_GETLINK, syscall.NLM_F_REQUEST, append(make([]byte, 16), 8, 0, 3, 0, 'l', 'o', 0, 0)...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range answerRoute(b, 5, testInterfaces) {
			for len(r) > 0 {
				m, rest, ok := nextRequest(r)
				if !ok {
					t.Fatalf("an answer that is no message: %v", r)
				}
				if m.typ != syscall.NLMSG_ERROR && m.typ != syscall.NLMSG_DONE {
					if _, err := syscall.ParseNetlinkRouteAttr(&syscall.NetlinkMessage{
						Header: syscall.NlMsghdr{Type: m.typ}, Data: m.body}); err != nil {
						t.Fatal(err)
					}
				}
				r = rest
			}
		}
	})
}

// FuzzGetdents has buffers of any size at any position.
func FuzzGetdents(f *testing.F) {
	s, c := newTestSystem(nil)
	p := &proc{caller: &guest{s, c}, t: f}
	for _, name := range []string{"x", "a longer name", strings.Repeat("n", 255)} {
		p.must(syscall.SYS_MKDIR, "/tmp/"+name, 0o700)
	}
	dirs := []int{p.must(syscall.SYS_OPEN, "/tmp", rdonly, 0), p.must(syscall.SYS_OPEN, "/proc/self/fd", rdonly, 0)}
	f.Add(uint16(100), int64(0))
	f.Add(uint16(1000), int64(3))
	f.Add(uint16(24), int64(1)<<62)
	f.Fuzz(func(t *testing.T, size uint16, pos int64) {
		for _, d := range dirs {
			g := p.caller.(*guest)
			if _, errno := g.call(syscall.SYS_LSEEK, d, int(pos), 0); errno != 0 {
				continue
			}
			b := make([]byte, int(size)+1)
			n, errno := g.call(syscall.SYS_GETDENTS64, d, unsafe.Pointer(&b[0]), int(size))
			if errno != 0 {
				continue
			}
			for b := b[:n]; len(b) > 0; {
				k := int(get16(b[16:]))
				if k < direntHeader+2 || k > len(b) || k%8 != 0 || cString(b[direntHeader:k]) == "" {
					t.Fatalf("entry of %d bytes in %d", k, len(b))
				}
				b = b[k:]
			}
		}
	})
}
