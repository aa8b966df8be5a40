package hostdir_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/hostdir"
)

// TestAttr compares with lstat(2), after every kind of change.
func TestAttr(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	kinds := map[string]uint32{
		"file": unix.S_IFREG | 0o640, "dir": unix.S_IFDIR | 0o1777, "link": unix.S_IFLNK | 0o777, "fifo": unix.S_IFIFO | 0o606, "sock": unix.S_IFSOCK | 0o666,
	}
	compare := func(what, name string, a hostdir.Attr) {
		t.Helper()
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(path, name), &st); err != nil {
			t.Fatal(err)
		}
		w := hostdir.Attr{
			Ino: st.Ino, Rdev: st.Rdev, Mode: st.Mode, Nlink: uint32(st.Nlink), Size: st.Size, Allocated: st.Blocks * 512,
			Atime: st.Atim.Nano(), Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(), Btime: a.Btime,
		}
		if a != w {
			t.Errorf("%s %s:\n%+v, want\n%+v", what, name, a, w)
		}
	}
	old := unix.Umask(0o077) // a test may
	defer unix.Umask(old)
	for name, mode := range kinds {
		n, a, e := d.Make(hostdir.Root, name, mode, "over/there")
		want(t, "make "+name, e, ok)
		compare("made", name, a)
		if a.Mode != mode {
			t.Errorf("%s: mode %o, want %o", name, a.Mode, mode)
		}
		if a.Btime == 0 || a.Btime > a.Ctime {
			t.Errorf("%s: made at %d, changed at %d", name, a.Btime, a.Ctime)
		}
		again, b, e := d.Lookup(hostdir.Root, name)
		if again != n || b != a || e != 0 {
			t.Errorf("%s: %d %+v %v, want %d", name, again, b, e, n)
		}
		a, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetAtime, Atime: -1})
		want(t, "set atime of "+name, e, ok)
		compare("atime", name, a)
		a, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetMtime, Mtime: 1_000_000_007})
		want(t, "set mtime of "+name, e, ok)
		compare("mtime", name, a)
		if a.Atime != -1 && a.Atime != -1e9 || a.Mtime != 1_000_000_007 { // a file system may count seconds
			t.Errorf("%s: times %d %d", name, a.Atime, a.Mtime)
		}
		if mode&unix.S_IFMT == unix.S_IFLNK {
			continue
		}
		a, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetMode, Mode: 0o7751})
		want(t, "set mode of "+name, e, ok)
		compare("mode", name, a)
		if a.Mode&0o7777 != 0o1751 {
			t.Errorf("%s: mode %o", name, a.Mode)
		}
	}
	n := lookup(t, d, hostdir.Root, "file")
	a, e := d.SetAttr(n, hostdir.Change{Set: hostdir.SetSize | hostdir.SetMtime | hostdir.SetMode, Size: 12345, Mtime: 5e9, Mode: 0o400})
	want(t, "set all", e, ok)
	compare("all", "file", a)
	if a.Size != 12345 || a.Mtime != 5e9 || a.Mode != unix.S_IFREG|0o400 {
		t.Errorf("%+v", a)
	}
}

// TestSetID: the bits are never set, also where the host's directory would pass them on.
func TestSetID(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	if err := unix.Chmod(path, 0o2755); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]uint32{"file": unix.S_IFREG, "dir": unix.S_IFDIR, "fifo": unix.S_IFIFO, "": unix.S_IFREG} {
		if _, a, e := d.Make(hostdir.Root, name, kind|0o6755, ""); e != 0 || a.Mode != kind|0o755 {
			t.Errorf("%q: %o %v", name, a.Mode, e)
		}
	}
}

func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	d, path := export(t, hostdir.Options{})
	for _, x := range []struct{ uid, gid, shownUID, shownGID uint32 }{{0, 0, 0, 0}, {1, 0, 65534, 0}, {0, 7, 0, 65534}, {99, 99, 65534, 65534}} {
		name := fmt.Sprintf("%d-%d", x.uid, x.gid)
		write(t, filepath.Join(path, name), "")
		if err := os.Chown(filepath.Join(path, name), int(x.uid), int(x.gid)); err != nil {
			t.Fatal(err)
		}
		n, a, e := d.Lookup(hostdir.Root, name)
		if e != 0 || a.UID != x.shownUID || a.GID != x.shownGID {
			t.Errorf("%s: %d %d %v", name, a.UID, a.GID, e)
		}
		both := uint32(hostdir.SetUID | hostdir.SetGID)
		_, e = d.SetAttr(n, hostdir.Change{Set: both, UID: x.shownUID, GID: x.shownGID})
		want(t, "as shown", e, ok)
		_, e = d.SetAttr(n, hostdir.Change{Set: both, UID: x.shownUID, GID: 65534 - x.shownGID})
		want(t, "other group", e, syscall.EPERM)
		_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetUID, UID: 65534 - x.shownUID})
		want(t, "other user", e, syscall.EPERM)
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(path, name), &st); err != nil || st.Uid != x.uid || st.Gid != x.gid {
			t.Errorf("%s: it is now of %d:%d", name, st.Uid, st.Gid)
		}
	}
}

// TestEntries compares with os.ReadDir, with buffers of many sizes, and goes on from every cookie.
func TestEntries(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	if l := list(t, d, hostdir.Root, 4096); len(l) != 0 {
		t.Errorf("an empty directory has %v", l)
	}
	for i := range 300 {
		write(t, filepath.Join(path, strings.Repeat("n", 1+i%245)+fmt.Sprint(i)), "")
	}
	mk(t, d, hostdir.Root, strings.Repeat("d", 255), unix.S_IFDIR|0o755)
	mk(t, d, hostdir.Root, "link", unix.S_IFLNK)
	mk(t, d, hostdir.Root, "fifo", unix.S_IFIFO|0o644)
	mk(t, d, hostdir.Root, "sock", unix.S_IFSOCK|0o644)
	infos, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []entry
	for _, size := range []int{280, 1000, 4096, 1 << 20} {
		all = list(t, d, hostdir.Root, size)
		sorted := slices.Clone(all)
		slices.SortFunc(sorted, func(a, b entry) int { return strings.Compare(a.name, b.name) })
		if len(sorted) != len(infos) {
			t.Fatalf("size %d: %d entries, want %d", size, len(sorted), len(infos))
		}
		for i, info := range infos {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(path, info.Name()), &st); err != nil {
				t.Fatal(err)
			}
			if x := sorted[i]; x.name != info.Name() || x.ino != st.Ino || x.kind != st.Mode&unix.S_IFMT {
				t.Errorf("%+v, want %s %d %o", x, info.Name(), st.Ino, st.Mode)
			}
		}
	}
	buf := make([]byte, 1<<20)
	for i, x := range all {
		n, e := d.Entries(hostdir.Root, x.cookie, buf)
		if e != 0 || i+1 < len(all) && !bytes.HasPrefix(buf[24:n], []byte(all[i+1].name)) || i+1 == len(all) && n != 0 {
			t.Fatalf("after %q: %d bytes, %v", x.name, n, e)
		}
	}
	// Cookies that nobody gave: anything but a crash or a name twice over.
	for _, c := range []uint64{1, 1 << 31, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		if n, e := d.Entries(hostdir.Root, c, buf); e != 0 && e != syscall.EINVAL || n > len(buf) {
			t.Errorf("cookie %#x: %d, %v", c, n, e)
		}
	}
}

// TestContents: what is written is there for others, and the other way round.
func TestContents(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	n := mk(t, d, hostdir.Root, "file", unix.S_IFREG|0o600)
	want(t, "open", d.Open(n, true), ok)
	defer d.Done(n)
	size, end, e := d.WriteAt(n, [][]byte{[]byte("one"), nil, []byte("two")}, 3, false)
	if size != 6 || end != 9 || e != 0 {
		t.Errorf("write: %d %d %v", size, end, e)
	}
	size, end, e = d.WriteAt(n, [][]byte{[]byte("end")}, 0, true)
	if size != 3 || end != 12 || e != 0 {
		t.Errorf("append: %d %d %v", size, end, e)
	}
	if b, err := os.ReadFile(filepath.Join(path, "file")); err != nil || string(b) != "\x00\x00\x00onetwoend" {
		t.Errorf("%q %v", b, err)
	}
	write(t, filepath.Join(path, "file"), "from the host")
	a, b := make([]byte, 5), make([]byte, 100)
	if size, e := d.ReadAt(n, [][]byte{a, b}, 0, false); size != 13 || e != 0 || string(a)+string(b[:8]) != "from the host" {
		t.Errorf("read: %d %v %q %q", size, e, a, b)
	}
	if size, e := d.ReadAt(n, [][]byte{a}, 13, false); size != 0 || e != 0 {
		t.Errorf("read at the end: %d %v", size, e)
	}
	size, e = d.ReadAt(n, [][]byte{b}, 0, true) // just written: at hand, if the file system can say so
	if !(e == syscall.EAGAIN && size == 0 || e == 0 && size == 13) {
		t.Errorf("read without waiting: %d %v", size, e)
	}
	if size, e := d.ReadAt(n, nil, 0, false); size != 0 || e != 0 {
		t.Errorf("read nothing: %d %v", size, e)
	}
	if _, e := d.ReadAt(n, make([][]byte, 1025), 0, false); e != syscall.EINVAL && e != 0 {
		t.Errorf("read 1025 pieces: %v", e)
	}
}

// TestHoles compares allocation and Next with the file seen from outside.
func TestHoles(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	n := mk(t, d, hostdir.Root, "file", unix.S_IFREG|0o600)
	want(t, "open", d.Open(n, true), ok)
	defer d.Done(n)
	const mib = 1 << 20
	want(t, "allocate", d.Allocate(n, 0, 0, mib), ok)
	want(t, "keep size", d.Allocate(n, unix.FALLOC_FL_KEEP_SIZE, mib, mib), ok)
	if a, _ := d.Attr(n); a.Size != mib || a.Allocated < 2*mib {
		t.Errorf("%+v", a)
	}
	_, _, e := d.WriteAt(n, [][]byte{bytes.Repeat([]byte{1}, 3*mib)}, 0, false)
	want(t, "write", e, ok)
	want(t, "punch", d.Allocate(n, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, mib, mib), ok)
	f, err := os.Open(filepath.Join(path, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, off := range []int64{0, 1, mib, mib + 5, 2 * mib, 3*mib - 1, 3 * mib, 4 * mib} {
		for _, hole := range []bool{false, true} {
			whence := unix.SEEK_DATA
			if hole {
				whence = unix.SEEK_HOLE
			}
			w, err := unix.Seek(int(f.Fd()), off, whence)
			got, e := d.Next(n, off, hole)
			if err == nil && (got != w || e != 0) || err != nil && e != err {
				t.Errorf("next %d %v: %d %v, want %d %v", off, hole, got, e, w, err)
			}
		}
	}
	if got, e := d.Next(n, 0, true); got != mib || e != 0 {
		t.Errorf("the hole is at %d %v", got, e)
	}
}

// TestNames: link, rename, remove and readlink as seen from outside.
func TestNames(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	root := hostdir.Root
	sub := mk(t, d, root, "sub", unix.S_IFDIR|0o755)
	a := mk(t, d, root, "a", unix.S_IFREG|0o600)
	want(t, "link", d.Link(sub, "b", a), ok)
	if again := lookup(t, d, sub, "b"); again != a {
		t.Errorf("the other name is node %d, not %d", again, a)
	}
	if at, _ := d.Attr(a); at.Nlink != 2 {
		t.Errorf("%d names", at.Nlink)
	}
	l := mk(t, d, root, "l", unix.S_IFLNK)
	want(t, "link a link", d.Link(sub, "l2", l), ok)
	if s, err := os.Readlink(filepath.Join(path, "sub/l2")); s != "target" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	buf := make([]byte, 100)
	if n, e := d.Readlink(l, buf); string(buf[:n]) != "target" || e != 0 {
		t.Errorf("%q %v", buf[:n], e)
	}
	if n, e := d.Readlink(l, buf[:3]); n != 3 || e != 0 {
		t.Errorf("%d %v", n, e)
	}
	want(t, "rename", d.Rename(root, "a", sub, "c", unix.RENAME_NOREPLACE), ok)
	want(t, "exchange", d.Rename(sub, "c", root, "l", unix.RENAME_EXCHANGE), ok)
	if s, err := os.Readlink(filepath.Join(path, "sub/c")); s != "target" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	if n := lookup(t, d, root, "l"); n != a {
		t.Errorf("node %d, want %d", n, a)
	}
	want(t, "remove", d.Remove(sub, "c", false), ok)
	want(t, "remove", d.Remove(sub, "b", false), ok)
	want(t, "remove", d.Remove(sub, "l2", false), ok)
	want(t, "remove", d.Remove(root, "sub", true), ok)
	if l, err := os.ReadDir(path); len(l) != 1 || err != nil {
		t.Errorf("%v %v", l, err)
	}
}

func TestStatfs(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	var w unix.Statfs_t
	if err := unix.Statfs(path, &w); err != nil {
		t.Fatal(err)
	}
	s, e := d.Statfs()
	if e != 0 || s.Type != w.Type || s.BlockSize != w.Bsize || s.Blocks != w.Blocks || s.Files != w.Files || s.ReadOnly {
		t.Errorf("%+v %v, want %+v", s, e, w)
	}
}
