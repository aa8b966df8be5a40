package hostdir_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/hostdir"
)

const ok = syscall.Errno(0)

// descriptors is how many this process has.
func descriptors(t testing.TB) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

// noLeaks sees at the end of the test that it has left no descriptor.
func noLeaks(t testing.TB) {
	t.Helper()
	before := descriptors(t)
	t.Cleanup(func() {
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors at the end, %d at the start", after, before)
		}
	})
}

// export makes a directory and exports it, and sees that no descriptor is left.
func export(t testing.TB, o hostdir.Options) (*hostdir.Dir, string) {
	t.Helper()
	path := t.TempDir()
	noLeaks(t)
	return exportAt(t, path, o), path
}

func exportAt(t testing.TB, path string, o hostdir.Options) *hostdir.Dir {
	t.Helper()
	d, err := hostdir.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func write(t testing.TB, path, s string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, what string, got, want syscall.Errno) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v (%d), want %v", what, got, got, want)
	}
}

func lookup(t testing.TB, d *hostdir.Dir, dir hostdir.Node, name string) hostdir.Node {
	t.Helper()
	n, _, e := d.Lookup(dir, name)
	if e != 0 {
		t.Fatalf("lookup %q: %v", name, e)
	}
	return n
}

func mk(t testing.TB, d *hostdir.Dir, dir hostdir.Node, name string, mode uint32) hostdir.Node {
	t.Helper()
	n, _, e := d.Make(dir, name, mode, "target")
	if e != 0 {
		t.Fatalf("make %q: %v", name, e)
	}
	return n
}

// content reads a whole file, opening it.
func content(t testing.TB, d *hostdir.Dir, n hostdir.Node) string {
	t.Helper()
	if e := d.Open(n, false); e != 0 {
		t.Fatal(e)
	}
	defer d.Done(n)
	b := make([]byte, 1<<16)
	size, e := d.ReadAt(n, [][]byte{b}, 0, false)
	if e != 0 {
		t.Fatal(e)
	}
	return string(b[:size])
}

type entry struct {
	ino, cookie uint64
	kind        uint32
	name        string
}

// list reads a directory with a buffer of a size.
func list(t testing.TB, d *hostdir.Dir, n hostdir.Node, size int) (l []entry) {
	t.Helper()
	buf, cookie := make([]byte, size), uint64(0)
	for {
		for i := range buf {
			buf[i] = 0xAA
		}
		got, e := d.Entries(n, cookie, buf)
		if e != 0 {
			t.Fatal(e)
		}
		if got == 0 {
			return l
		}
		for b := buf[:got]; len(b) > 0; {
			x := entry{ino: binary.LittleEndian.Uint64(b), cookie: binary.LittleEndian.Uint64(b[8:]), kind: binary.LittleEndian.Uint32(b[16:])}
			length := int(binary.LittleEndian.Uint32(b[20:]))
			padded := 24 + (length+7)&^7
			x.name = string(b[24 : 24+length])
			if rest := b[24+length : padded]; strings.Trim(string(rest), "\x00") != "" {
				t.Fatalf("%q behind the name", rest)
			}
			b, cookie = b[padded:], x.cookie
			l = append(l, x)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	path := t.TempDir()
	write(t, filepath.Join(path, "file"), "")
	before := descriptors(t)
	for name, text := range map[string]string{
		"missing": "it does not exist", "file": "it is not a directory", "file/x": "it is not a directory", "a\x00b": "invalid argument",
	} {
		d, err := hostdir.Open(filepath.Join(path, name), hostdir.Options{})
		if d != nil || err == nil || !strings.HasSuffix(err.Error(), ": "+text) || !strings.HasPrefix(err.Error(), "export directory ") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := hostdir.Open(path, hostdir.Options{MaxNodes: -1}); err == nil {
		t.Error("-1 nodes")
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// TestErrors: each method, each error that a test without other users and full disks can have.
func TestErrors(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	long := strings.Repeat("n", 256)
	root := hostdir.Root
	dir, file := mk(t, d, root, "dir", unix.S_IFDIR|0o755), mk(t, d, root, "file", unix.S_IFREG|0o644)
	full := mk(t, d, root, "full", unix.S_IFDIR|0o755)
	mk(t, d, full, "x", unix.S_IFREG|0o644)
	link, fifo := mk(t, d, root, "link", unix.S_IFLNK), mk(t, d, root, "fifo", unix.S_IFIFO|0o644)
	sock := mk(t, d, root, "sock", unix.S_IFSOCK|0o644)
	gone := mk(t, d, root, "gone", unix.S_IFDIR|0o755)
	want(t, "remove", d.Remove(root, "gone", true), ok)
	goneFile := mk(t, d, root, "goneFile", unix.S_IFREG|0o644)
	want(t, "remove", d.Remove(root, "goneFile", false), ok)
	stale := mk(t, d, root, "stale", unix.S_IFREG|0o644)
	d.Forget(stale, 1)
	buf := [][]byte{make([]byte, 16)}

	lookupE := func(n hostdir.Node, name string) syscall.Errno { _, _, e := d.Lookup(n, name); return e }
	makeE := func(n hostdir.Node, name string, mode uint32, target string) syscall.Errno {
		_, _, e := d.Make(n, name, mode, target)
		return e
	}
	attrE := func(n hostdir.Node) syscall.Errno { _, e := d.Attr(n); return e }
	set := func(n hostdir.Node, c hostdir.Change) syscall.Errno { _, e := d.SetAttr(n, c); return e }
	readlink := func(n hostdir.Node, size int) syscall.Errno { _, e := d.Readlink(n, make([]byte, size)); return e }
	entries := func(n hostdir.Node, size int) syscall.Errno {
		_, e := d.Entries(n, 0, make([]byte, size))
		return e
	}
	readE := func(n hostdir.Node, off int64) syscall.Errno { _, e := d.ReadAt(n, buf, off, false); return e }
	writeE := func(n hostdir.Node, off int64, end bool) syscall.Errno {
		_, _, e := d.WriteAt(n, buf, off, end)
		return e
	}
	next := func(n hostdir.Node, off int64) syscall.Errno { _, e := d.Next(n, off, false); return e }

	// Names, in everything that takes one.
	for name, e := range map[string]syscall.Errno{
		"": syscall.EINVAL, ".": syscall.EINVAL, "..": syscall.EINVAL, "a/b": syscall.EINVAL, "/": syscall.EINVAL, "../x": syscall.EINVAL,
		"a\x00b": syscall.EINVAL, "\x00": syscall.EINVAL, long: syscall.ENAMETOOLONG,
	} {
		want(t, "lookup "+name, lookupE(root, name), e)
		want(t, "make "+name, makeE(root, name, unix.S_IFDIR|0o755, ""), e)
		want(t, "link "+name, d.Link(root, name, file), e)
		want(t, "remove "+name, d.Remove(root, name, false), e)
		want(t, "remove "+name, d.Remove(root, name, true), e)
		want(t, "rename "+name, d.Rename(root, name, root, "y", 0), e)
		want(t, "rename as "+name, d.Rename(root, "file", root, name, 0), e)
	}
	for _, x := range []struct {
		what string
		got  syscall.Errno
		want syscall.Errno
	}{
		{"lookup missing", lookupE(root, "missing"), syscall.ENOENT},
		{"lookup longest", lookupE(root, long[1:]), syscall.ENOENT},
		{"lookup in file", lookupE(file, "x"), syscall.ENOTDIR},
		{"lookup in link", lookupE(link, "x"), syscall.ENOTDIR},
		{"lookup in removed", lookupE(gone, "x"), syscall.ENOENT},
		{"lookup in stale", lookupE(stale, "x"), syscall.ESTALE},
		{"lookup in unknown", lookupE(1<<63, "x"), syscall.ESTALE},
		{"lookup in 0", lookupE(0, "x"), syscall.ESTALE},
		{"attr stale", attrE(stale), syscall.ESTALE},

		{"make exists", makeE(root, "file", unix.S_IFREG|0o644, ""), syscall.EEXIST},
		{"make exists dir", makeE(root, "dir", unix.S_IFDIR|0o755, ""), syscall.EEXIST},
		{"make over link", makeE(root, "link", unix.S_IFREG|0o644, ""), syscall.EEXIST},
		{"make fifo exists", makeE(root, "fifo", unix.S_IFIFO|0o644, ""), syscall.EEXIST},
		{"make in file", makeE(file, "x", unix.S_IFREG|0o644, ""), syscall.ENOTDIR},
		{"make in removed", makeE(gone, "x", unix.S_IFREG|0o644, ""), syscall.ENOENT},
		{"make dir in removed", makeE(gone, "x", unix.S_IFDIR|0o755, ""), syscall.ENOENT},
		{"make character device", makeE(root, "x", unix.S_IFCHR|0o644, ""), syscall.EPERM},
		{"make block device", makeE(root, "x", unix.S_IFBLK|0o644, ""), syscall.EPERM},
		{"make nothing", makeE(root, "x", 0o644, ""), syscall.EINVAL},
		{"make unknown", makeE(root, "x", 0o170000, ""), syscall.EINVAL},
		{"symlink empty", makeE(root, "x", unix.S_IFLNK, ""), syscall.ENOENT},
		{"symlink NUL", makeE(root, "x", unix.S_IFLNK, "a\x00"), syscall.EINVAL},
		{"symlink long", makeE(root, "x", unix.S_IFLNK, strings.Repeat("t", 4096)), syscall.ENAMETOOLONG},

		{"set unknown", set(file, hostdir.Change{Set: 1 << 20}), syscall.EINVAL},
		{"set uid", set(file, hostdir.Change{Set: hostdir.SetUID, UID: 1000}), syscall.EPERM},
		{"set gid", set(file, hostdir.Change{Set: hostdir.SetGID, GID: 1000}), syscall.EPERM},
		{"set uid as shown", set(file, hostdir.Change{Set: hostdir.SetUID | hostdir.SetGID}), ok},
		{"set size of dir", set(dir, hostdir.Change{Set: hostdir.SetSize}), syscall.EISDIR},
		{"set size of link", set(link, hostdir.Change{Set: hostdir.SetSize}), syscall.EINVAL},
		{"set size of fifo", set(fifo, hostdir.Change{Set: hostdir.SetSize}), syscall.EINVAL},
		{"set negative size", set(file, hostdir.Change{Set: hostdir.SetSize, Size: -1}), syscall.EINVAL},
		{"set huge size", set(file, hostdir.Change{Set: hostdir.SetSize, Size: 1<<63 - 1}), syscall.EFBIG},
		{"set mode of link", set(link, hostdir.Change{Set: hostdir.SetMode, Mode: 0o600}), syscall.EOPNOTSUPP},

		{"link exists", d.Link(root, "file", file), syscall.EEXIST},
		{"link dir", d.Link(root, "x", dir), syscall.EPERM},
		{"link removed", d.Link(root, "x", goneFile), syscall.ENOENT},
		{"link in file", d.Link(file, "x", file), syscall.ENOTDIR},
		{"link in removed", d.Link(gone, "x", file), syscall.ENOENT},
		{"link stale", d.Link(root, "x", stale), syscall.ESTALE},

		{"remove missing", d.Remove(root, "missing", false), syscall.ENOENT},
		{"remove dir as file", d.Remove(root, "dir", false), syscall.EISDIR},
		{"remove file as dir", d.Remove(root, "file", true), syscall.ENOTDIR},
		{"remove link as dir", d.Remove(root, "link", true), syscall.ENOTDIR},
		{"remove full", d.Remove(root, "full", true), syscall.ENOTEMPTY},
		{"remove in file", d.Remove(file, "x", false), syscall.ENOTDIR},

		{"rename missing", d.Rename(root, "missing", root, "x", 0), syscall.ENOENT},
		{"rename noreplace", d.Rename(root, "file", root, "fifo", unix.RENAME_NOREPLACE), syscall.EEXIST},
		{"rename exchange missing", d.Rename(root, "file", root, "missing", unix.RENAME_EXCHANGE), syscall.ENOENT},
		{"rename flags", d.Rename(root, "file", root, "x", unix.RENAME_WHITEOUT), syscall.EINVAL},
		{"rename both flags", d.Rename(root, "file", root, "x", 3), syscall.EINVAL},
		{"rename dir over file", d.Rename(root, "dir", root, "file", 0), syscall.ENOTDIR},
		{"rename file over dir", d.Rename(root, "file", root, "dir", 0), syscall.EISDIR},
		{"rename dir over full", d.Rename(root, "dir", root, "full", 0), syscall.ENOTEMPTY},
		{"rename below itself", d.Rename(root, "dir", dir, "x", 0), syscall.EINVAL},
		{"rename into file", d.Rename(root, "dir", file, "x", 0), syscall.ENOTDIR},
		{"rename into removed", d.Rename(root, "file", gone, "x", 0), syscall.ENOENT},
		{"rename into stale", d.Rename(root, "file", stale, "x", 0), syscall.ESTALE},

		{"readlink file", readlink(file, 9), syscall.EINVAL},
		{"readlink dir", readlink(dir, 9), syscall.EINVAL},
		{"readlink no room", readlink(link, 0), syscall.EINVAL},
		{"entries of file", entries(file, 4096), syscall.ENOTDIR},
		{"entries of link", entries(link, 4096), syscall.ENOTDIR},
		{"entries no room", entries(root, 24), syscall.EINVAL},

		{"open dir", d.Open(dir, false), syscall.EISDIR},
		{"open link", d.Open(link, false), syscall.ELOOP},
		{"open fifo", d.Open(fifo, false), syscall.ENXIO},
		{"open socket", d.Open(sock, true), syscall.ENXIO},
		{"open stale", d.Open(stale, false), syscall.ESTALE},
		{"read closed", readE(file, 0), syscall.EBADF},
		{"write closed", writeE(file, 0, false), syscall.EBADF},
		{"read dir", readE(dir, 0), syscall.EISDIR},
		{"read fifo", readE(fifo, 0), syscall.EINVAL},
		{"write link", writeE(link, 0, true), syscall.EINVAL},
		{"allocate closed", d.Allocate(file, 0, 0, 1), syscall.EBADF},
		{"next closed", next(file, 0), syscall.EBADF},
		{"sync closed", d.Sync(file, false), ok},
		{"sync dir", d.Sync(dir, false), ok},
		{"sync root data", d.Sync(root, true), ok},
		{"sync fifo", d.Sync(fifo, false), syscall.EINVAL},
		{"lock closed", d.Lock(file, unix.LOCK_EX), syscall.EBADF},
		{"lock fifo", d.Lock(fifo, unix.LOCK_EX), syscall.EBADF},
		{"lock how", d.Lock(dir, 0), syscall.EINVAL},

		{"open", d.Open(file, true), ok},
		{"read negative", readE(file, -1), syscall.EINVAL},
		{"write negative", writeE(file, -1, false), syscall.EINVAL},
		{"write huge", writeE(file, 1<<63-1, false), syscall.EFBIG},
		{"allocate nothing", d.Allocate(file, 0, 0, 0), syscall.EINVAL},
		{"allocate negative", d.Allocate(file, 0, -1, 1), syscall.EINVAL},
		{"allocate huge", d.Allocate(file, 0, 1<<62, 1<<62), syscall.EFBIG},
		{"allocate mode", d.Allocate(file, 1<<30, 0, 1), syscall.EOPNOTSUPP},
		{"next at the end", next(file, 0), syscall.ENXIO},
		{"next negative", next(file, -1), syscall.ENXIO},
	} {
		want(t, x.what, x.got, x.want)
	}
	d.Done(file)
	d.Done(file) // one too many
	want(t, "read done", readE(file, 0), syscall.EBADF)
	if l := list(t, d, root, 4096); len(l) != 7 {
		t.Errorf("%d files are left in %s: %v", len(l), path, l)
	}
}

// TestReadOnly: all that would change something fails, and reading leaves no trace.
func TestReadOnly(t *testing.T) {
	d, path := export(t, hostdir.Options{ReadOnly: true})
	file := filepath.Join(path, "file")
	write(t, file, "content")
	times := []unix.Timespec{{Sec: 1}, {Sec: 2}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, file, times, 0); err != nil {
		t.Fatal(err)
	}
	n := lookup(t, d, hostdir.Root, "file")
	_, _, e := d.Make(hostdir.Root, "x", unix.S_IFREG|0o644, "")
	want(t, "make", e, syscall.EROFS)
	_, _, e = d.Make(hostdir.Root, "", unix.S_IFREG|0o644, "")
	want(t, "make without name", e, syscall.EROFS)
	_, e = d.SetAttr(n, hostdir.Change{})
	want(t, "set", e, syscall.EROFS)
	want(t, "link", d.Link(hostdir.Root, "x", n), syscall.EROFS)
	want(t, "remove", d.Remove(hostdir.Root, "file", false), syscall.EROFS)
	want(t, "rename", d.Rename(hostdir.Root, "file", hostdir.Root, "x", 0), syscall.EROFS)
	want(t, "open for writing", d.Open(n, true), syscall.EROFS)
	if s := content(t, d, n); s != "content" {
		t.Errorf("%q", s)
	}
	want(t, "open", d.Open(n, false), ok)
	_, _, e = d.WriteAt(n, [][]byte{{1}}, 0, false)
	want(t, "write", e, syscall.EROFS)
	_, _, e = d.WriteAt(n, [][]byte{{1}}, 0, true)
	want(t, "append", e, syscall.EROFS)
	want(t, "allocate", d.Allocate(n, 0, 0, 1), syscall.EROFS)
	list(t, d, hostdir.Root, 4096)
	if a, e := d.Attr(n); e != 0 || a.Atime != 1e9 || a.Mtime != 2e9 || a.Size != 7 {
		t.Errorf("%+v %v", a, e)
	}
	if s, e := d.Statfs(); e != 0 || !s.ReadOnly {
		t.Errorf("%+v %v", s, e)
	}
}
