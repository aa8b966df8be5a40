package posix

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// proc makes system calls in a directory of its own and writes down what they return, so that two can be compared: the
// host's kernel and a System.
type proc struct {
	caller
	t     testing.TB
	base  fd // the directory
	log   []string
	made  map[fd]int // in which order descriptors were made, by which they are noted
	count int
}

// fd is a descriptor: an argument whose number is not noted, because it differs between the two.
type fd int

// compare runs the same calls on the host's kernel and on a System and requires the same results.
func compare(t *testing.T, run func(p *proc)) {
	t.Helper()
	host := &proc{caller: native{}, t: t}
	dir := t.TempDir()
	if d, err := os.MkdirTemp("/dev/shm", "ukvm-posix-"); err == nil { // tmpfs is what we are most like
		t.Cleanup(func() { os.RemoveAll(d) })
		dir = d
	}
	host.base = fd(host.must(syscall.SYS_OPEN, dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0))
	defer host.call(syscall.SYS_CLOSE, host.base)
	g := newGuest(t)
	ours := &proc{caller: g, t: t}
	ours.must(syscall.SYS_MKDIR, "/tmp/t", 0o700)
	ours.base = fd(ours.must(syscall.SYS_OPEN, "/tmp/t", syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0))
	syscall.Umask(0o022)
	run(host)
	run(ours)
	compareLogs(t, host.log, ours.log)
}

func compareLogs(t testing.TB, host, ours []string) {
	t.Helper()
	bad := 0
	for i := range max(len(host), len(ours)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(host) {
			a = host[i]
		}
		if i < len(ours) {
			b = ours[i]
		}
		if a != b {
			if bad == 0 {
				t.Logf("before:\n   %s", strings.Join(ours[max(0, i-10):min(i, len(ours))], "\n   "))
			}
			t.Errorf("call %d\n   Linux: %s\n   posix: %s", i, a, b)
			if bad++; bad > 5 {
				break
			}
		}
	}
	if bad > 0 {
		t.FailNow()
	}
}

func (p *proc) must(nr uintptr, a ...any) int {
	p.t.Helper()
	r, errno := p.call(nr, a...)
	if errno != 0 {
		p.t.Fatalf("%T: call %d %v: %v", p.caller, nr, a, errno)
	}
	return int(r)
}

func (p *proc) note(format string, a ...any) { p.log = append(p.log, fmt.Sprintf(format, a...)) }

// do makes a call and notes its result.
func (p *proc) do(nr uintptr, a ...any) (int, syscall.Errno) {
	r, errno := p.call(nr, a...)
	if errno != 0 {
		p.note("%s(%s) = %s", calls[nr].name, p.shown(a), errnoName(errno))
		return -1, errno
	}
	p.note("%s(%s) = %d", calls[nr].name, p.shown(a), r)
	return int(r), 0
}

// make makes a call that returns a descriptor, -1 on failure.
func (p *proc) make(nr uintptr, a ...any) fd {
	r, errno := p.call(nr, a...)
	if errno != 0 {
		p.note("%s(%s) = %s", calls[nr].name, p.shown(a), errnoName(errno))
		return -1
	}
	if p.made == nil {
		p.made = make(map[fd]int)
	}
	p.count++
	p.made[fd(r)] = p.count
	p.note("%s(%s) = %s", calls[nr].name, p.shown(a), p.name(fd(r)))
	return fd(r)
}

// name is how a descriptor is noted.
func (p *proc) name(f fd) string {
	if n := p.made[f]; n > 0 {
		return fmt.Sprint("fd", n)
	}
	return "fd"
}

// shown are the arguments that are the same for both.
func (p *proc) shown(a []any) string {
	var shown []string
	for _, v := range a {
		switch v := v.(type) {
		case nil:
			shown = append(shown, "nil")
		case string:
			shown = append(shown, fmt.Sprintf("%.40q", v))
		case fd:
			shown = append(shown, p.name(v))
		case int:
			shown = append(shown, fmt.Sprint(v))
		}
	}
	return strings.Join(shown, ", ")
}

func errnoName(errno syscall.Errno) string { return fmt.Sprintf("%d %v", int(errno), errno) }

func (p *proc) open(path string, flags int, mode int) fd {
	return p.make(syscall.SYS_OPENAT, p.base, path, flags, mode)
}

func (p *proc) close(f fd) { p.do(syscall.SYS_CLOSE, f) }

func (p *proc) read(f fd, n int) string { return p.readWith(syscall.SYS_READ, f, n, 0) }

func (p *proc) pread(f fd, n, off int) string { return p.readWith(syscall.SYS_PREAD64, f, n, off) }

func (p *proc) readWith(nr uintptr, f fd, n, off int) string {
	b := make([]byte, n)
	got, errno := p.call(nr, f, b, n, off)
	if errno != 0 {
		p.note("%s %s %d = %s", calls[nr].name, p.name(f), n, errnoName(errno))
		return ""
	}
	p.note("%s %s %d = %d %.60q", calls[nr].name, p.name(f), n, got, b[:got])
	return string(b[:got])
}

func (p *proc) write(f fd, text string) { p.writeWith(syscall.SYS_WRITE, f, text, 0) }

func (p *proc) pwrite(f fd, text string, off int) { p.writeWith(syscall.SYS_PWRITE64, f, text, off) }

func (p *proc) writeWith(nr uintptr, f fd, text string, off int) {
	n, errno := p.call(nr, f, []byte(text), len(text), off)
	p.note("%s %s %d = %d %s", calls[nr].name, p.name(f), len(text), int(n), errnoName(errno))
}

// stat notes the attributes that are the same on all file systems.
func (p *proc) stat(path string, flags int) {
	var st syscall.Stat_t
	_, errno := p.call(syscall.SYS_NEWFSTATAT, p.base, path, unsafe.Pointer(&st), flags)
	p.noteStat(fmt.Sprintf("stat %.40q %#x", path, flags), &st, errno)
}

func (p *proc) fstat(f fd) {
	var st syscall.Stat_t
	_, errno := p.call(syscall.SYS_FSTAT, f, unsafe.Pointer(&st))
	p.noteStat("fstat", &st, errno)
}

func (p *proc) noteStat(what string, st *syscall.Stat_t, errno syscall.Errno) {
	if errno != 0 {
		p.note("%s = %s", what, errnoName(errno))
		return
	}
	size := st.Size
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		size = 0
	}
	p.note("%s = mode %o nlink %d uid %d size %d rdev %x", what, st.Mode, st.Nlink, st.Uid, size, st.Rdev)
}

// list notes the names in a directory.
func (p *proc) list(path string) []string {
	fd, errno := p.call(syscall.SYS_OPENAT, p.base, path, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if errno != 0 {
		p.note("list %q: open: %s", path, errnoName(errno))
		return nil
	}
	defer p.call(syscall.SYS_CLOSE, int(fd))
	var names []string
	buf := make([]byte, 300)
	for {
		n, errno := p.call(syscall.SYS_GETDENTS64, int(fd), buf, len(buf))
		if errno != 0 || n == 0 {
			slices.Sort(names)
			p.note("list %q = %v %s", path, names, errnoName(errno))
			return names
		}
		for b := buf[:n]; len(b) > 0; b = b[get16(b[16:]):] {
			names = append(names, fmt.Sprintf("%s:%d", cString(b[direntHeader:]), b[18]))
		}
	}
}

func (p *proc) readlink(path string) {
	b := make([]byte, 200)
	n, errno := p.call(syscall.SYS_READLINKAT, p.base, path, b, len(b))
	if errno != 0 {
		n = 0
	}
	p.note("readlink %q = %q %s", path, b[:n], errnoName(errno))
}
