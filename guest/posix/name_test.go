package posix

import (
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

func TestNames(t *testing.T) {
	compare(t, func(p *proc) {
		p.do(syscall.SYS_MKDIRAT, p.base, "d", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "d", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "d/", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "e/", 0o7777)
		p.do(syscall.SYS_MKDIRAT, p.base, ".", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "..", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "/", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "no/such", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "", 0o755)
		p.close(p.open("f", creat|rdwr, 0o777))
		p.do(syscall.SYS_MKDIRAT, p.base, "f", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "f/", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "f/x", 0o755)
		p.close(p.open("d/g", creat|rdwr, 0o600))
		for _, path := range []string{"d", "d/", "d/.", "d/..", "f", "f/", ".", "..", "/", "none", "", "d/none", "e/.", "e/..", "./e/"} {
			p.do(syscall.SYS_UNLINKAT, p.base, path, atRemoveDir)
		}
		for _, path := range []string{"d", "d/", "d/.", "f/", ".", "..", "/", "none", "none/", "", "f/x"} {
			p.do(syscall.SYS_UNLINKAT, p.base, path, 0)
		}
		p.do(syscall.SYS_UNLINKAT, p.base, "f", 1)
		p.do(syscall.SYS_SYMLINKAT, "d", p.base, "l")
		p.do(syscall.SYS_SYMLINKAT, "f", p.base, "lf")
		p.do(syscall.SYS_SYMLINKAT, "loop", p.base, "loop")
		p.do(syscall.SYS_SYMLINKAT, "", p.base, "x")
		p.do(syscall.SYS_SYMLINKAT, "x", p.base, "")
		p.do(syscall.SYS_SYMLINKAT, "x", p.base, "l")
		p.do(syscall.SYS_SYMLINKAT, "x", p.base, "y/")
		p.do(syscall.SYS_SYMLINKAT, strings.Repeat("x", 4095), p.base, "long")
		for _, path := range []string{"l", "l/", "lf", "lf/", "loop", "d", "f", "none", "", "l/g", "d/../l"} {
			p.readlink(path)
			p.stat(path, 0)
			p.stat(path, atSymlinkNoFollow)
		}
		for _, path := range []string{"l", "l/", "lf/", "loop/"} {
			p.do(syscall.SYS_UNLINKAT, p.base, path, atRemoveDir)
		}
		p.do(syscall.SYS_MKDIRAT, p.base, "l", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "l/", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "l/sub", 0o700)
		p.do(syscall.SYS_UNLINKAT, p.base, "l/", 0)
		p.stat("d/sub", 0)
		p.list("l")
		p.list("l/")
		p.list("f")
		p.list(".")
		p.stat(strings.Repeat("d/../", 100)+"f", 0)
		p.stat("f", 0x40000)
		p.stat("", atEmptyPath)
		p.do(syscall.SYS_UNLINKAT, p.base, "l", 0)
		p.do(syscall.SYS_UNLINKAT, p.base, "lf", 0)
		p.list(".")
	})
}

func TestLink(t *testing.T) {
	compare(t, func(p *proc) {
		f := p.open("f", creat|rdwr, 0o644)
		p.do(syscall.SYS_MKDIRAT, p.base, "d", 0o755)
		p.do(syscall.SYS_SYMLINKAT, "f", p.base, "l")
		link := func(from, to string, flags int) { p.do(syscall.SYS_LINKAT, p.base, from, p.base, to, flags) }
		link("f", "g", 0)
		link("f", "g", 0)
		link("f", "h/", 0)
		link("f", "d/g", 0)
		link("f", "none/g", 0)
		link("none", "x", 0)
		link("d", "x", 0)
		link("l", "l2", 0)
		link("l", "l3", atSymlinkFollow)
		link("f", "x", 1)
		link("f/", "x", 0)
		link("f", ".", 0)
		link("", "x", 0)
		p.readlink("l2")
		p.stat("l3", atSymlinkNoFollow)
		p.stat("f", 0)
		p.do(syscall.SYS_UNLINKAT, p.base, "f", 0)
		p.stat("g", 0)
		p.fstat(f)
		for _, name := range []string{"g", "d/g", "l3"} {
			p.do(syscall.SYS_UNLINKAT, p.base, name, 0)
		}
		p.fstat(f)
		p.write(f, "still there")
		p.pread(f, 20, 0)
		p.do(syscall.SYS_LINKAT, f, "", p.base, "back", atEmptyPath)
		p.do(syscall.SYS_LINKAT, p.base, "l2", p.base, "back", atSymlinkFollow)
		p.list(".")
	})
}

func TestRename(t *testing.T) {
	compare(t, func(p *proc) {
		for _, d := range []string{"a", "a/b", "a/b/c", "empty", "full", "full/x"} {
			p.do(syscall.SYS_MKDIRAT, p.base, d, 0o755)
		}
		for _, f := range []string{"f", "g", "a/f"} {
			fd := p.open(f, creat|rdwr, 0o644)
			p.write(fd, f)
			p.close(fd)
		}
		p.do(syscall.SYS_SYMLINKAT, "a", p.base, "la")
		p.do(syscall.SYS_LINKAT, p.base, "f", p.base, "f2", 0)
		rename := func(from, to string, flags int) {
			p.do(sysRENAMEAT2, p.base, from, p.base, to, flags)
		}
		for _, c := range []struct {
			from, to string
			flags    int
		}{
			{"none", "x", 0}, {"f", "none/x", 0}, {"f", "f", 0}, {"f", "f2", 0}, {"f", "g", 1}, {"f", "g", 3}, {"f", "g", 8},
			{"f", "none", 2}, {"f", "new/", 0}, {"f/", "new", 0}, {"f", "a", 0}, {"a", "f", 0}, {"a", "full", 0},
			{"a", "a/b/c/d", 0}, {"a/b/c", "a", 0}, {"a/b", "a/b", 0}, {"a/b/c", "a/b", 2}, {"a", "a/b", 2}, {"a", "empty", 0},
			{".", "x", 0}, {"..", "x", 0}, {"f", ".", 0}, {"f", "..", 1}, {"la", "lb", 0},
			{"lb/", "lc", 0}, {"empty/", "a/", 0}, {"a", "moved/", 0}, {"moved/b/", "moved/f", 2}, {"moved/f/c", "c", 0},
			{"c", "f", 2}, {"c", "f", 1}, {"c", "c2", 1}, {"f", "g/", 0}, {"f", "g/", 2}, {"", "x", 0}, {"f", "", 0},
			{"c2", strings.Repeat("n", 256), 0}, {"g", "c2/x", 0}, {"c2", "f/x", 0},
		} {
			rename(c.from, c.to, c.flags)
		}
		for _, d := range []string{".", "moved", "full", "moved/f", "f"} {
			p.list(d)
			p.stat(d, 0)
		}
		p.do(syscall.SYS_RENAMEAT, p.base, "moved", p.base, "m2")
		p.list(".")
	})
}

func TestAttributes(t *testing.T) {
	compare(t, func(p *proc) {
		f := p.open("f", creat|rdwr, 0o666)
		p.do(syscall.SYS_MKDIRAT, p.base, "d", 0o777)
		p.do(syscall.SYS_SYMLINKAT, "f", p.base, "l")
		p.do(syscall.SYS_FCHMODAT, p.base, "l", 0o4711)
		p.stat("f", 0)
		p.do(syscall.SYS_FCHMOD, f, 0o100600)
		p.do(syscall.SYS_FCHMODAT, p.base, "none", 0o600)
		p.do(sysFCHMODAT2, p.base, "l", 0o600, atSymlinkNoFollow)
		p.do(sysFCHMODAT2, p.base, "f", 0o640, atSymlinkNoFollow)
		p.do(sysFCHMODAT2, p.base, "f", 0o640, 1)
		p.do(sysFCHMODAT2, f, "", 0o604, atEmptyPath)
		p.stat("f", 0)
		for _, mode := range []int{0, 1, 2, 4, 7, 8} {
			p.do(syscall.SYS_FACCESSAT, p.base, "f", mode)
			p.do(syscall.SYS_FACCESSAT, p.base, "d", mode)
		}
		p.do(syscall.SYS_FACCESSAT, p.base, "none", 0)
		p.do(sysFACCESSAT2, p.base, "l", 0, 0x800)
		p.do(sysFACCESSAT2, p.base, "l", 1, atSymlinkNoFollow)
		times := func(path any, a, b syscall.Timespec, flags int) {
			ts := [2]syscall.Timespec{a, b}
			p.do(syscall.SYS_UTIMENSAT, p.base, path, unsafe.Pointer(&ts), flags)
			var st syscall.Stat_t
			p.call(syscall.SYS_NEWFSTATAT, p.base, "f", unsafe.Pointer(&st), 0)
			p.note("atime %v mtime %v", st.Atim.Nsec == 9 || st.Atim.Sec == 100, st.Mtim.Sec == 200)
		}
		sec := func(s, n int64) syscall.Timespec { return syscall.Timespec{Sec: s, Nsec: n} }
		times("f", sec(100, 5), sec(200, 6), 0)
		times("f", sec(1, utimeOmit), sec(300, 6), 0)
		times("l", sec(100, 5), sec(1, utimeOmit), 0)
		times("l", sec(100, utimeOmit), sec(1, utimeOmit), 7)
		times("f", sec(100, 1e9), sec(1, 0), 0)
		times("none", sec(100, utimeOmit), sec(1, utimeOmit), 0)
		times("f", sec(100, -1), sec(1, 0), 0)
		times("l", sec(100, 0), sec(200, 0), atSymlinkNoFollow)
		times("f", sec(-5, 0), sec(-7, 5), 0)
		times(nil, sec(5, 0), sec(7, 5), 1)
		ts := [2]syscall.Timespec{sec(100, 0), sec(200, 0)}
		p.do(syscall.SYS_UTIMENSAT, f, nil, unsafe.Pointer(&ts), 0)
		p.do(syscall.SYS_UTIMENSAT, f, nil, nil, 0)
		p.do(syscall.SYS_UTIMENSAT, fd(-100), nil, nil, 0)
		tv := [2]syscall.Timeval{{Sec: 100, Usec: 1}, {Sec: 200, Usec: 1_000_000}}
		p.do(syscall.SYS_FUTIMESAT, p.base, "f", unsafe.Pointer(&tv))
		if syscall.Getuid() == 0 {
			p.do(syscall.SYS_FCHOWN, f, 5, -1)
			p.stat("f", 0)
			p.do(syscall.SYS_FCHOWNAT, p.base, "l", 6, 7, atSymlinkNoFollow)
			p.stat("l", atSymlinkNoFollow)
			p.do(syscall.SYS_FCHOWNAT, p.base, "l", -1, 7, 0)
			p.do(syscall.SYS_FCHOWNAT, p.base, "f", 1, 1, 1)
			p.stat("f", 0)
			p.do(syscall.SYS_MKNODAT, p.base, "null", syscall.S_IFCHR|0o666, 0x103)
			n := p.open("null", rdwr, 0)
			p.write(n, "gone")
			p.read(n, 5)
			p.pread(n, 5, 7)
			p.do(syscall.SYS_LSEEK, n, 7, 0)
			p.fstat(n)
			p.do(syscall.SYS_MKNODAT, p.base, "odd", syscall.S_IFCHR|0o666, 0)
			p.open("odd", rdonly, 0)
			p.do(syscall.SYS_MKNODAT, p.base, "blk", syscall.S_IFBLK|0o666, 0)
			p.open("blk", rdonly, 0)
		}
		p.do(syscall.SYS_MKNODAT, p.base, "reg", 0o600, 0)
		p.do(syscall.SYS_MKNODAT, p.base, "dir", syscall.S_IFDIR|0o600, 0)
		p.do(syscall.SYS_MKNODAT, p.base, "odd", 0o170000, 0)
		p.do(syscall.SYS_MKNODAT, p.base, "sock", syscall.S_IFSOCK|0o600, 0)
		p.open("sock", rdonly, 0)
		p.list(".")
	})
}

func TestOpenat2(t *testing.T) {
	compare(t, func(p *proc) {
		p.do(syscall.SYS_MKDIRAT, p.base, "d", 0o755)
		p.do(syscall.SYS_MKDIRAT, p.base, "d/e", 0o755)
		p.close(p.open("d/f", creat|rdwr, 0o644))
		p.do(syscall.SYS_SYMLINKAT, "f", p.base, "d/in")
		p.do(syscall.SYS_SYMLINKAT, "../d/f", p.base, "d/out")
		p.do(syscall.SYS_SYMLINKAT, "/f", p.base, "d/abs")
		d := p.open("d", rdonly, 0)
		for _, resolve := range []uint64{0, 2, 4, 8, 16, 24, 64} {
			for _, path := range []string{"f", "in", "out", "abs", "..", "../d/f", "e/../f", "e/../../d/f", "/f", "."} {
				how := openHow{flags: rdonly, resolve: resolve}
				p.log = append(p.log, path)
				f := p.make(sysOPENAT2, d, path, unsafe.Pointer(&how), 24)
				p.call(syscall.SYS_CLOSE, f)
			}
		}
		how := openHow{flags: 1 << 40}
		p.make(sysOPENAT2, d, "f", unsafe.Pointer(&how), 24)
		how = openHow{mode: 0o600}
		p.make(sysOPENAT2, d, "f", unsafe.Pointer(&how), 24)
		p.make(sysOPENAT2, d, "f", unsafe.Pointer(&how), 8)
		how = openHow{flags: creat | rdwr, mode: 0o600}
		p.make(sysOPENAT2, d, "new", unsafe.Pointer(&how), 24)
		p.make(sysOPENAT2, d, "new", nil, 24)
	})
}

func TestStatx(t *testing.T) {
	compare(t, func(p *proc) {
		f := p.open("f", creat|rdwr, 0o640)
		p.write(f, "12345")
		x := func(dir any, path any, flags, mask int) {
			var st statx
			_, errno := p.do(sysSTATX, dir, path, flags, mask, unsafe.Pointer(&st))
			if errno == 0 {
				p.note("%o %d %d %v %v", st.mode, st.size, st.nlink, st.mask&0x7ff, st.mtime.sec != 0)
			}
		}
		x(p.base, "f", 0, 0x7ff)
		x(p.base, "none", 0, 0x7ff)
		x(f, "", atEmptyPath, 0x7ff)
		x(f, "", 0, 0x7ff)
		x(f, nil, atEmptyPath, 0xfff)
		x(p.base, "f", 0x6000, 0x7ff)
		x(p.base, "f", 0x80000, 0x7ff)
		x(p.base, "f", 0, 1<<31)
	})
	if n := unsafe.Sizeof(statx{}); n != 256 {
		t.Fatal("struct statx has", n, "bytes")
	}
}

// TestGetdents reads a directory with small buffers, seeking, and changing it meanwhile.
func TestGetdents(t *testing.T) {
	compare(t, func(p *proc) {
		p.do(syscall.SYS_MKDIRAT, p.base, "d", 0o755)
		d := p.open("d", rdonly, 0)
		buf := make([]byte, 100)
		p.do(syscall.SYS_GETDENTS64, d, buf, 10)
		p.do(syscall.SYS_GETDENTS64, d, buf, 100)
		p.do(syscall.SYS_GETDENTS64, d, buf, 100)
		for _, name := range []string{"a", "b", "c"} {
			p.close(p.open("d/"+name, creat|rdwr, 0o600))
		}
		p.do(syscall.SYS_LSEEK, d, 0, 0)
		n, _ := p.call(syscall.SYS_GETDENTS64, d, buf, 48)
		p.note("%d bytes: %q %q", n, cString(buf[19:]), cString(buf[24+19:]))
		rest := 0
		for {
			n, errno := p.call(syscall.SYS_GETDENTS64, d, buf, 24)
			if n == 0 || errno != 0 {
				break
			}
			rest++
		}
		p.note("%d entries", rest)
		p.do(syscall.SYS_GETDENTS64, fd(999), buf, 24)
		f := p.open("d/a", rdonly, 0)
		p.do(syscall.SYS_GETDENTS64, f, buf, 24)
		for _, name := range []string{"a", "b", "c"} {
			p.do(syscall.SYS_UNLINKAT, p.base, "d/"+name, 0)
		}
		p.do(syscall.SYS_UNLINKAT, p.base, "d", atRemoveDir)
		p.do(syscall.SYS_LSEEK, d, 0, 0)
		p.do(syscall.SYS_GETDENTS64, d, buf, 100)
		p.fstat(d)
		p.do(syscall.SYS_OPENAT, d, "x", creat|rdwr, 0o600)
		p.do(syscall.SYS_MKDIRAT, d, "x", 0o600)
		p.do(syscall.SYS_LSEEK, d, 0, 2)
		p.do(syscall.SYS_LSEEK, d, -1, 0)
	})
}

func TestWorkDir(t *testing.T) {
	g := newGuest(t)
	check := func(want string) {
		t.Helper()
		b := make([]byte, 100)
		n, errno := g.call(syscall.SYS_GETCWD, b, len(b))
		if errno != 0 || cString(b) != want || int(n) != len(want)+1 {
			t.Fatalf("getcwd: %q %d %v, want %q", cString(b), n, errno, want)
		}
	}
	must := func(r uintptr, errno syscall.Errno) uintptr {
		t.Helper()
		if errno != 0 {
			t.Fatal(errno)
		}
		return r
	}
	check("/")
	must(g.call(syscall.SYS_MKDIR, "/tmp/a", 0o755))
	must(g.call(syscall.SYS_CHDIR, "tmp/a"))
	must(g.call(syscall.SYS_MKDIR, "b", 0o755))
	must(g.call(syscall.SYS_CHDIR, "../a/b/."))
	check("/tmp/a/b")
	must(g.call(syscall.SYS_RENAME, "/tmp/a", "/tmp/z"))
	check("/tmp/z/b")
	if _, errno := g.call(syscall.SYS_GETCWD, make([]byte, 8), 8); errno != syscall.ERANGE {
		t.Fatal(errno)
	}
	fd := must(g.call(syscall.SYS_OPEN, "/proc/self", rdonly, 0))
	must(g.call(syscall.SYS_FCHDIR, int(fd)))
	check("/proc/1")
	must(g.call(syscall.SYS_CHDIR, "/proc/self/task/1/.."))
	check("/proc/1/task")
	must(g.call(syscall.SYS_CHDIR, ".."))
	must(g.call(syscall.SYS_CHDIR, "../.."))
	check("/")
	must(g.call(syscall.SYS_CHDIR, "/tmp/z/b"))
	must(g.call(syscall.SYS_RMDIR, "/tmp/z/b"))
	if _, errno := g.call(syscall.SYS_GETCWD, make([]byte, 80), 80); errno != syscall.ENOENT {
		t.Fatal(errno)
	}
	if _, errno := g.call(syscall.SYS_CHDIR, "/dev/null"); errno != syscall.ENOTDIR {
		t.Fatal(errno)
	}
	if _, errno := g.call(syscall.SYS_RMDIR, "/proc"); errno != syscall.EBUSY {
		t.Fatal(errno)
	}
	if _, errno := g.call(syscall.SYS_RENAME, "/tmp", "/proc/x"); errno != syscall.EXDEV {
		t.Fatal(errno)
	}
}
