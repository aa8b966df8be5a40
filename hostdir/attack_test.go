package hostdir_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/hostdir"
)

// secret is what the files outside have. No test may read it through a Dir, nor find it changed.
const secret = "secret: outside"

// outside makes a directory beside an exported one: secret and deep/secret.
func outside(t testing.TB) string {
	t.Helper()
	out := t.TempDir()
	write(t, filepath.Join(out, "secret"), secret)
	if err := os.Mkdir(filepath.Join(out, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(out, "deep/secret"), secret)
	changed := func() (times [4]unix.Timespec) {
		for i, name := range []string{"", "secret", "deep", "deep/secret"} {
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(out, name), &st); err != nil {
				t.Error(err)
			}
			times[i] = st.Ctim
		}
		return times
	}
	before := changed()
	t.Cleanup(func() {
		if after := changed(); after != before {
			t.Errorf("something outside was changed: %v, before %v", after, before)
		}
		for _, name := range []string{"secret", "deep/secret"} {
			if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(b) != secret {
				t.Errorf("%s outside: %q %v", name, b, err)
			}
		}
		if l, err := os.ReadDir(out); err != nil || len(l) != 2 {
			t.Errorf("outside there is %v %v", l, err)
		}
	})
	return out
}

// TestSymlinks: links to everywhere are links, in every method.
func TestSymlinks(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	out := outside(t)
	mk(t, d, hostdir.Root, "x", unix.S_IFREG|0o644)
	up, err := filepath.Rel(path, out)
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"root": "/", "up": "..", "here": ".", "dir": out, "file": out + "/secret", "relative": up + "/secret", "loop": "loop",
		"magic": "/proc/self/root", "cwd": "/proc/self/cwd", "fd": "/proc/self/fd/0", "dangling": out + "/new",
	} {
		n, a, e := d.Make(hostdir.Root, name, unix.S_IFLNK, target)
		want(t, "make", e, ok)
		if a.Mode&unix.S_IFMT != unix.S_IFLNK {
			t.Fatalf("%s is of type %o", name, a.Mode)
		}
		if again, a, e := d.Lookup(hostdir.Root, name); again != n || e != 0 || a.Mode&unix.S_IFMT != unix.S_IFLNK {
			t.Errorf("%s: looked up: %d %o %v", name, again, a.Mode, e)
		}
		buf := make([]byte, 4096)
		if size, e := d.Readlink(n, buf); e != 0 || string(buf[:size]) != target {
			t.Errorf("%s: %q %v", name, buf[:size], e)
		}
		for _, in := range []string{"secret", "deep", "etc", "x"} {
			_, _, e := d.Lookup(n, in)
			want(t, name+": lookup through it", e, syscall.ENOTDIR)
			_, _, e = d.Make(n, in, unix.S_IFREG|0o644, "")
			want(t, name+": make through it", e, syscall.ENOTDIR)
			want(t, name+": remove through it", d.Remove(n, in, false), syscall.ENOTDIR)
			want(t, name+": link through it", d.Link(n, "new", lookup(t, d, hostdir.Root, "x")), syscall.ENOTDIR)
			want(t, name+": rename through it", d.Rename(n, in, hostdir.Root, "new", 0), syscall.ENOTDIR)
			want(t, name+": rename through it", d.Rename(hostdir.Root, "x", n, "new", 0), syscall.ENOTDIR)
		}
		_, _, e = d.Make(n, "", unix.S_IFREG|0o644, "")
		want(t, name+": temporary through it", e, syscall.ENOTDIR)
		want(t, name+": open", d.Open(n, false), syscall.ELOOP)
		want(t, name+": open", d.Open(n, true), syscall.ELOOP)
		_, e = d.Entries(n, 0, buf)
		want(t, name+": entries", e, syscall.ENOTDIR)
		_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetSize})
		want(t, name+": truncate", e, syscall.EINVAL)
		_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetMode, Mode: 0})
		want(t, name+": chmod", e, syscall.EOPNOTSUPP)
		_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetMtime, Mtime: 7})
		want(t, name+": times", e, ok)
		want(t, name+": sync", d.Sync(n, false), syscall.EINVAL)
		_, _, e = d.Make(hostdir.Root, name, unix.S_IFREG|0o644, "")
		want(t, name+": make over it", e, syscall.EEXIST)
		want(t, name+": link of it", d.Link(hostdir.Root, name+"2", n), ok)
		if got, err := os.Readlink(filepath.Join(path, name+"2")); got != target || err != nil {
			t.Errorf("%s: its link is %q %v", name, got, err)
		}
	}
}

// TestHardLink: a file with a name inside is inside, whatever other names it has; that is documented.
func TestHardLink(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	other := filepath.Join(t.TempDir(), "other")
	write(t, other, "shared")
	if err := os.Link(other, filepath.Join(path, "name")); err != nil {
		t.Fatal(err)
	}
	n := lookup(t, d, hostdir.Root, "name")
	if s := content(t, d, n); s != "shared" {
		t.Errorf("%q", s)
	}
	want(t, "remove", d.Remove(hostdir.Root, "name", false), ok)
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// TestSpecial: FIFOs, sockets and devices are never opened: a FIFO would block, and a device does things.
func TestSpecial(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	special := map[string]uint32{"fifo": unix.S_IFIFO, "sock": unix.S_IFSOCK}
	if os.Geteuid() == 0 {
		err := unix.Mknod(filepath.Join(path, "zero"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))
		if err == nil {
			special["zero"] = unix.S_IFCHR
		} else {
			t.Logf("mknod of a device: %v", err)
		}
	}
	for name, kind := range special {
		if kind != unix.S_IFCHR {
			mk(t, d, hostdir.Root, name, kind|0o666)
		}
		n, a, e := d.Lookup(hostdir.Root, name)
		if e != 0 || a.Mode&unix.S_IFMT != kind {
			t.Fatalf("%s: %o %v", name, a.Mode, e)
		}
		before := descriptors(t)
		want(t, name+": open", d.Open(n, false), syscall.ENXIO)
		want(t, name+": open", d.Open(n, true), syscall.ENXIO)
		_, e = d.ReadAt(n, [][]byte{make([]byte, 1)}, 0, false)
		want(t, name+": read", e, syscall.EINVAL)
		_, _, e = d.WriteAt(n, [][]byte{{1}}, 0, false)
		want(t, name+": write", e, syscall.EINVAL)
		_, e = d.Entries(n, 0, make([]byte, 4096))
		want(t, name+": entries", e, syscall.ENOTDIR)
		want(t, name+": sync", d.Sync(n, false), syscall.EINVAL)
		want(t, name+": lock", d.Lock(n, unix.LOCK_SH), syscall.EBADF)
		_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetSize})
		want(t, name+": truncate", e, syscall.EINVAL)
		_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetMode, Mode: 0o600})
		want(t, name+": chmod", e, ok)
		want(t, name+": link", d.Link(hostdir.Root, name+"2", n), ok)
		if after := descriptors(t); after != before {
			t.Errorf("%s: %d descriptors, %d before", name, after, before)
		}
	}
}

// TestSwap: somebody on the host swaps a directory, and a file, with symbolic links to their like outside, and another
// with a FIFO, as fast as he can, while everything is tried below. Nothing outside is read or written.
func TestSwap(t *testing.T) {
	const swaps, walks = 5000, 2000
	d, path := export(t, hostdir.Options{})
	out := outside(t)
	at := func(name string) string { return filepath.Join(path, name) }
	for _, name := range []string{"deep", "keep"} {
		if err := os.Mkdir(at(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const inside = "inside"
	write(t, at("deep/secret"), inside)
	write(t, at("secret"), inside)
	for name, target := range map[string]string{"deep.link": out + "/deep", "secret.link": out + "/secret"} {
		if err := os.Symlink(target, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(at("secret.fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var walkers sync.WaitGroup
	var seen [2]bool // was it a link, and was it none, when looked up
	var reads, writes atomic.Int64
	walkers.Add(2)
	go func() { // reads
		defer walkers.Done()
		buf := make([]byte, 100)
		for ; ; reads.Add(1) {
			select {
			case <-stop:
				return
			default:
			}
			for _, dir := range []string{"deep", ""} {
				h, count := hostdir.Root, uint64(0)
				if dir != "" {
					n, a, e := d.Lookup(h, dir)
					if e != 0 {
						t.Errorf("lookup of %s: %v", dir, e) // an exchange leaves no moment without
						return
					}
					seen[min(1, a.Mode&unix.S_IFMT^unix.S_IFLNK)] = true
					h, count = n, 1
				}
				n, _, e := d.Lookup(h, "secret")
				if e == 0 {
					if e := d.Open(n, false); e == 0 {
						size, e := d.ReadAt(n, [][]byte{buf}, 0, false)
						if e != 0 || strings.HasPrefix(string(buf[:size]), "secret") {
							t.Errorf("read %q %v", buf[:size], e)
						}
						d.Done(n)
					} else if e != syscall.ELOOP && e != syscall.ENXIO {
						t.Errorf("open: %v", e)
					}
					d.Forget(n, 1)
				} else if e != syscall.ENOTDIR && !(e == syscall.ENOENT && dir != "") { // the other one renames it there
					t.Errorf("lookup: %v", e)
				}
				if count > 0 {
					d.Forget(h, count)
				}
			}
		}
	}()
	go func() { // writes
		defer walkers.Done()
		for ; ; writes.Add(1) {
			select {
			case <-stop:
				return
			default:
			}
			h, _, e := d.Lookup(hostdir.Root, "deep")
			if e != 0 {
				t.Errorf("lookup: %v", e)
				return
			}
			if n, _, e := d.Make(h, "new", unix.S_IFREG|0o640, ""); e == 0 {
				if d.Open(n, true) == 0 {
					d.WriteAt(n, [][]byte{[]byte("new")}, 0, true)
					d.Done(n)
				}
				d.Remove(h, "new", false)
				d.Forget(n, 1)
			}
			if n, _, e := d.Make(h, "newdir", unix.S_IFDIR|0o750, ""); e == 0 {
				d.Remove(h, "newdir", true)
				d.Forget(n, 1)
			}
			if n, _, e := d.Lookup(h, "secret"); e == 0 {
				d.SetAttr(n, hostdir.Change{Set: hostdir.SetMode | hostdir.SetSize, Mode: 0o600, Size: int64(len(inside))})
				d.Link(hostdir.Root, "linked", n)
				d.Remove(hostdir.Root, "linked", false)
				d.Forget(n, 1)
			}
			d.Rename(h, "secret", h, "moved", 0)
			d.Rename(h, "moved", h, "secret", 0)
			d.Forget(h, 1)
		}
	}()
	exchange := func(a, b string) {
		if err := unix.Renameat2(unix.AT_FDCWD, at(a), unix.AT_FDCWD, at(b), unix.RENAME_EXCHANGE); err != nil {
			t.Errorf("exchange %s and %s: %v", a, b, err)
		}
	}
	end := time.Now().Add(20 * time.Second)
	n := 0
	few := func() bool { return n < swaps || reads.Load() < walks || writes.Load() < walks }
	for ; few() && time.Now().Before(end) && !t.Failed(); n++ {
		exchange("deep", "deep.link")
		exchange("secret", "secret.link")
		exchange("secret", "secret.fifo")
	}
	close(stop)
	walkers.Wait()
	if few() || !seen[0] || !seen[1] {
		t.Errorf("%d swaps, %d and %d walks; a link was seen: %v, a directory: %v", n, reads.Load(), writes.Load(), seen[0], seen[1])
	}
	t.Logf("%d swaps, %d and %d walks", n, reads.Load(), writes.Load())
}

// TestMoved: a node is what it was when it was looked up, wherever the host puts it and whatever takes its name.
func TestMoved(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	out := outside(t)
	dir := mk(t, d, hostdir.Root, "deep", unix.S_IFDIR|0o755)
	write(t, filepath.Join(path, "deep/secret"), "inside")
	if err := os.Rename(filepath.Join(path, "deep"), filepath.Join(path, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(out+"/deep", filepath.Join(path, "deep")); err != nil {
		t.Fatal(err)
	}
	if s := content(t, d, lookup(t, d, dir, "secret")); s != "inside" {
		t.Errorf("%q", s)
	}
	mk(t, d, dir, "new", unix.S_IFREG|0o644)
	if _, err := os.Stat(filepath.Join(path, "moved/new")); err != nil {
		t.Error(err)
	}
}

// FuzzName: whatever a name is, every method refuses it or stays inside.
func FuzzName(f *testing.F) {
	for _, s := range []string{"", ".", "..", "../secret", "a/../../secret", "/", "x\x00", "\xff\xfe", "...", "./", strings.Repeat("a", 256), "/proc/self/root"} {
		f.Add(s, "as")
		f.Add("x", s)
	}
	parent := f.TempDir()
	path := filepath.Join(parent, "export")
	if err := os.Mkdir(path, 0o755); err != nil {
		f.Fatal(err)
	}
	write(f, filepath.Join(parent, "secret"), secret)
	d := exportAt(f, path, hostdir.Options{})
	f.Fuzz(func(t *testing.T, name, as string) {
		bad := name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 255
		for _, kind := range []uint32{unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK} {
			n, _, e := d.Make(hostdir.Root, name, kind|0o700, "target")
			switch {
			case name == "" && kind == unix.S_IFREG:
				want(t, "temporary", e, ok)
				d.Forget(n, 1)
				continue
			case bad != (e == syscall.EINVAL || e == syscall.ENAMETOOLONG):
				t.Errorf("make %q: %v", name, e)
			}
			if e != 0 {
				continue
			}
			if again, _, e := d.Lookup(hostdir.Root, name); again != n || e != 0 {
				t.Errorf("lookup %q: %d %v, want %d", name, again, e, n)
			}
			d.Forget(n, 2)
			if d.Rename(hostdir.Root, name, hostdir.Root, as, 0) == 0 {
				want(t, "remove", d.Remove(hostdir.Root, as, kind == unix.S_IFDIR), ok)
			} else {
				want(t, "remove", d.Remove(hostdir.Root, name, kind == unix.S_IFDIR), ok)
			}
		}
		if l, err := os.ReadDir(path); err != nil || len(l) != 0 {
			t.Errorf("%q %q: left: %v %v", name, as, l, err)
		}
		if l, err := os.ReadDir(parent); err != nil || len(l) != 2 {
			t.Errorf("%q %q: beside the export: %v %v", name, as, l, err)
		}
	})
}
