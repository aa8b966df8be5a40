package posix

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"ukvm.dev/hypercall"
)

// newc encodes members of an archive.
func newc(members ...any) []byte {
	var b bytes.Buffer
	add := func(name string, mode int, data string) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			1, mode, 0, 0, 1, 1000, len(data), 0, 0, 0, 0, len(name)+1, 0)
		b.WriteString(name + "\x00")
		b.Write(make([]byte, (4-b.Len()%4)%4))
		b.WriteString(data)
		b.Write(make([]byte, (4-b.Len()%4)%4))
	}
	for i := 0; i < len(members); i += 3 {
		add(members[i].(string), members[i+1].(int), members[i+2].(string))
	}
	add("TRAILER!!!", 0, "")
	return b.Bytes()
}

func archiveGuest(t *testing.T, archive []byte, change func(b *hypercall.Boot)) *proc {
	s, c := newTestSystem(change)
	s.env.archive = func() []byte { return archive }
	return &proc{caller: &guest{s, c}, t: t}
}

func TestArchive(t *testing.T) {
	archive := newc("etc/hosts", 0o100600, "1.2.3.4 own\n", "./srv/app/data", 0o100644, strings.Repeat("x", 70_000),
		"/srv/app", 0o40700, "", "srv/link", 0o120777, "app/data", "srv/fifo", 0o10644, "", "srv/app/data", 0o100640, "second",
		".", 0o40755, "", "etc/ssl/certs/ca.pem", 0o100644, "PEM")
	before := bytes.Clone(archive)
	p := archiveGuest(t, archive, func(b *hypercall.Boot) { copy(b.WorkDir[:], "/srv/app") })
	if got := p.slurp("/etc/hosts"); got != "1.2.3.4 own\n" {
		t.Error(got)
	}
	if got := p.slurp("data"); got != "second" {
		t.Error(got)
	}
	if got := p.slurp("/srv/link"); got != "second" {
		t.Error(got)
	}
	if got := p.slurp("/etc/hostname"); got != "box\n" {
		t.Error(got)
	}
	var st syscall.Stat_t
	p.must(syscall.SYS_STAT, "/srv/app", unsafe.Pointer(&st))
	if st.Mode != syscall.S_IFDIR|0o700 || st.Mtim.Sec != 1000 && st.Nlink != 2 {
		t.Errorf("%+v", st)
	}
	f := fd(p.must(syscall.SYS_OPEN, "/srv/link", rdwr, 0))
	p.write(f, "SEC")
	if got := p.slurp("/srv/app/data"); got != "SECond" || !bytes.Equal(archive, before) {
		t.Error(got, "or the archive has changed")
	}
	p.must(syscall.SYS_UNLINK, "/srv/app/data")
	for _, c := range []struct{ what, archive string }{
		{"damaged", string(archive[:300])}, {"..", string(newc("a/../b", 0o100644, ""))},
	} {
		func() {
			defer func() {
				if e := recover(); e == nil {
					t.Error(c.what, "is accepted")
				}
			}()
			archiveGuest(t, []byte(c.archive), nil).slurp("/etc/hosts")
		}()
	}
}

func TestWorkDirIsMade(t *testing.T) {
	p := archiveGuest(t, nil, func(b *hypercall.Boot) { copy(b.WorkDir[:], "/data/deep") })
	b := make([]byte, 50)
	p.must(syscall.SYS_GETCWD, b, 50)
	if got := cString(b); got != "/data/deep" {
		t.Fatal(got)
	}
	for dir, want := range map[string]string{
		"/":    "[. .. data dev etc proc root run sys tmp usr var]",
		"/dev": "[. .. fd full null random shm stderr stdin stdout tty urandom zero]",
		"/tmp": "[. ..]",
	} {
		if got := fmt.Sprint(p.names(dir)); got != want {
			t.Errorf("%s: %s", dir, got)
		}
	}
}

// TestFull writes until the file system is full: ENOSPC, at the documented share of memory, and room again after
// removal.
func TestFull(t *testing.T) {
	archive := newc("big", 0o100644, strings.Repeat("x", 4<<20))
	p := archiveGuest(t, archive, func(b *hypercall.Boot) { b.Memory, b.Archive = 16<<20, uint64(len(archive)) })
	var fs syscall.Statfs_t
	p.must(syscall.SYS_STATFS, "/tmp", unsafe.Pointer(&fs))
	if limit := int64(fs.Blocks) * fs.Bsize; limit != (16<<20-int64(len(archive)))/2&^4095 {
		t.Fatal("limit", limit)
	}
	f := fd(p.must(syscall.SYS_OPEN, "/tmp/f", creat|rdwr, 0o600))
	chunk, total := make([]byte, 100_000), 0
	for {
		n, errno := p.call(syscall.SYS_WRITE, f, chunk, len(chunk))
		if errno == syscall.ENOSPC {
			break
		}
		if errno != 0 {
			t.Fatal(errno)
		}
		total += int(n)
	}
	if total < 5<<20 || total > 6<<20 {
		t.Fatal("full after", total)
	}
	for i := 0; ; i++ {
		if _, errno := p.call(syscall.SYS_MKDIR, fmt.Sprint("/tmp/d", i), 0o700); errno == syscall.ENOSPC {
			break
		} else if errno != 0 || i > 10000 {
			t.Fatal(i, errno)
		}
	}
	if _, errno := p.call(syscall.SYS_FALLOCATE, f, 0, 0, 100<<20); errno != syscall.ENOSPC {
		t.Fatal(errno)
	}
	p.must(syscall.SYS_UNLINK, "/tmp/f")
	if _, errno := p.call(syscall.SYS_MKDIR, "/tmp/more", 0o700); errno != syscall.ENOSPC {
		t.Fatal("room although the file is open:", errno)
	}
	p.must(syscall.SYS_CLOSE, f)
	p.must(syscall.SYS_MKDIR, "/tmp/more", 0o700)
	f = fd(p.must(syscall.SYS_OPEN, "/big", rdwr, 0)) // its contents are not charged until they are written
	p.must(syscall.SYS_WRITE, f, chunk, 10)
}

func TestDevices(t *testing.T) {
	compare(t, func(p *proc) {
		b := make([]byte, 20)
		for _, path := range []string{"/dev/null", "/dev/zero", "/dev/full"} {
			f := p.open(path, rdwr, 0)
			p.read(f, 10)
			p.pread(f, 10, 5)
			p.write(f, "abc")
			p.write(f, "")
			p.pwrite(f, "abc", 7)
			p.do(syscall.SYS_LSEEK, f, 100, 0)
			p.fstat(f)
			p.do(syscall.SYS_FTRUNCATE, f, 0)
			p.do(syscall.SYS_FSYNC, f)
			p.do(syscall.SYS_FALLOCATE, f, 0, 0, 10)
			p.do(syscall.SYS_IOCTL, f, tcgets, make([]byte, 64))
			p.do(syscall.SYS_GETDENTS64, f, b, 20)
			p.poll(0, pollfd{fd: int32(f), events: 5})
		}
		f := p.open("/dev/urandom", rdwr, 0)
		n, errno := p.do(syscall.SYS_READ, f, b, 20)
		p.note("%d %v %v", n, errno, bytes.Equal(b, make([]byte, 20)))
		p.write(f, "seed")
		p.open("/dev/null", creat|rdwr|syscall.O_TRUNC, 0o600)
		p.open("/dev/null", creat|excl|rdwr, 0o600)
		p.open("/dev/null", syscall.O_DIRECTORY, 0)
		p.open("/dev/null/x", rdonly, 0)
	})
}

// TestConsole looks at the standard streams through calls that package kernel does not know.
func TestConsole(t *testing.T) {
	s, c := newTestSystem(func(b *hypercall.Boot) {
		b.Console = [3]uint32{hypercall.ConsoleTTY, hypercall.ConsolePipe, hypercall.ConsoleNull}
	})
	g := &guest{s, c}
	p := &proc{caller: g, t: t}
	for n, want := range []uint32{syscall.S_IFCHR | 0o620, syscall.S_IFIFO | 0o600, syscall.S_IFCHR | 0o666} {
		var st syscall.Stat_t
		p.must(syscall.SYS_FSTAT, n, unsafe.Pointer(&st))
		if st.Mode != want {
			t.Errorf("%d: mode %o, want %o", n, st.Mode, want)
		}
	}
	v := iovecs([]byte("one "), nil, []byte("two"))
	if n := p.must(syscall.SYS_WRITEV, 1, unsafe.Pointer(&v[0]), 3); n != 7 || string(c.out[1]) != "one two" {
		t.Error(n, string(c.out[1]))
	}
	c.in = []byte("typed")
	b := make([]byte, 10)
	v = iovecs(nil, b)
	if n := p.must(syscall.SYS_READV, 0, unsafe.Pointer(&v[0]), 2); n != 5 || string(b[:5]) != "typed" {
		t.Error(n, string(b))
	}
	f := p.must(syscall.SYS_OPEN, "/tmp/f", creat|rdwr, 0o600)
	p.write(fd(f), "from a file")
	p.must(syscall.SYS_LSEEK, f, 0, 0)
	if n := p.must(syscall.SYS_SENDFILE, 1, f, nil, 100); n != 11 || string(c.out[1]) != "one twofrom a file" {
		t.Error(n, string(c.out[1]))
	}
	for nr, want := range map[uintptr]syscall.Errno{
		syscall.SYS_LSEEK: syscall.ESPIPE, syscall.SYS_FTRUNCATE: syscall.EINVAL, syscall.SYS_FSYNC: syscall.EINVAL,
		syscall.SYS_FCHDIR: syscall.ENOTDIR, syscall.SYS_LISTEN: syscall.ENOTSOCK, syscall.SYS_FCHMOD: syscall.EPERM,
		syscall.SYS_FLOCK: 0,
	} {
		if _, errno := g.call(nr, 1); errno != want {
			t.Errorf("%s: %v", calls[nr].name, errno)
		}
		if _, errno := g.call(nr, 99); errno != syscall.EBADF {
			t.Errorf("%s of a closed one: %v", calls[nr].name, errno)
		}
	}
	tty := p.must(syscall.SYS_OPEN, "/dev/tty", rdwr, 0)
	c.in = []byte("secret")
	if got := p.read(fd(tty), 10); got != "secret" {
		t.Error(got)
	}
	p.close(fd(tty))
	for n := 3; n < len(c.files); n++ {
		if c.files[n].kind != 0 && n != f {
			t.Error(n, "is left open")
		}
	}
	if _, errno := newGuest(t).call(syscall.SYS_OPEN, "/dev/tty", rdwr, 0); errno != syscall.ENXIO {
		t.Error(errno)
	}
}

func TestMmap(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	f := p.must(syscall.SYS_OPEN, "/tmp/f", creat|rdwr, 0o600)
	p.write(fd(f), strings.Repeat("0123456789abcdef", 1000))
	mem := func(addr uintptr, n int) []byte { return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), n) }
	for _, c := range []struct {
		prot, flags int
		off         int
		want        syscall.Errno
	}{
		{syscall.PROT_READ, mapPrivate, 0, 0}, {syscall.PROT_READ | syscall.PROT_WRITE, mapPrivate, 4096, 0},
		{syscall.PROT_READ, mapShared, 8192, 0}, {syscall.PROT_READ | syscall.PROT_WRITE, mapShared, 8192, 0},
		{syscall.PROT_READ, mapPrivate, 100, syscall.EINVAL}, {syscall.PROT_READ, 0, 0, syscall.EINVAL},
	} {
		addr, errno := g.call(syscall.SYS_MMAP, 0, 20_000, c.prot, c.flags, f, c.off)
		if errno != c.want {
			t.Errorf("%+v: %v", c, errno)
		}
		if errno != 0 {
			continue
		}
		m := mem(addr, 20_000)
		if string(m[:16]) != "0123456789abcdef" || m[15_999-c.off] != 'f' || m[16_000-c.off] != 0 {
			t.Errorf("%+v: wrong contents", c)
		}
		if c.prot&syscall.PROT_WRITE != 0 {
			m[0] = 'X'
		}
		if c.flags == mapPrivate {
			g.c.Memory(syscall.SYS_MUNMAP, addr, 20_000, 0, 0)
		} else if _, errno := g.call(syscall.SYS_MUNMAP, addr, 20_000); errno != 0 {
			t.Error(errno)
		}
	}
	if got := p.pread(fd(f), 1, 4096) + p.pread(fd(f), 1, 8192); got != "0X" {
		t.Errorf("%q where one mapping was private and the other shared", got)
	}
	w := p.must(syscall.SYS_OPEN, "/tmp/f", wronly, 0)
	d := p.must(syscall.SYS_OPEN, "/tmp", rdonly, 0)
	for n, want := range map[int]syscall.Errno{w: syscall.EACCES, d: syscall.ENODEV, 1: syscall.ENODEV, 99: syscall.EBADF} {
		if _, errno := g.call(syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ, mapPrivate, n, 0); errno != want {
			t.Error(n, errno)
		}
	}
	if _, _, ok := g.s.call(syscall.SYS_MMAP, args{a2: 4096, a3: 3, a4: mapPrivate | mapAnonymous, a5: ^uintptr(0)}); ok {
		t.Error("anonymous memory is package kernel's")
	}
}

func TestHostname(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	p.must(syscall.SYS_SETHOSTNAME, []byte("other"), 5)
	var u syscall.Utsname
	p.must(syscall.SYS_UNAME, unsafe.Pointer(&u))
	text := func(f [65]int8) (s string) {
		for _, c := range f {
			if c != 0 {
				s += string(rune(c))
			}
		}
		return s
	}
	if text(u.Nodename) != "other" || text(u.Sysname) != "Linux" || text(u.Machine) != "x86_64" || text(u.Domainname) != "(none)" {
		t.Errorf("%+v", u)
	}
	if _, errno := g.call(syscall.SYS_SETHOSTNAME, []byte("x"), 65); errno != syscall.EINVAL {
		t.Error(errno)
	}
}
