package hostdir_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/hostdir"
)

// secret is what lies beside the directory that is given.
const secret = "outside"

// prison is a directory to give, beside a file that is nobody's business.
func prison(t testing.TB, o hostdir.Options) (path string, d *hostdir.Dir) {
	t.Helper()
	top := t.TempDir()
	path = filepath.Join(top, "given")
	for _, name := range []string{"given", "given/sub", "beside"} {
		if err := os.Mkdir(filepath.Join(top, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"file", "beside/file"} {
		if err := os.WriteFile(filepath.Join(top, name), []byte(secret), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path, open(t, path, o)
}

func open(t testing.TB, path string, o hostdir.Options) *hostdir.Dir {
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

func want(t testing.TB, what string, got, wanted syscall.Errno) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: errno %d (%v), want %d (%v)", what, got, got, wanted, wanted)
	}
}

// TestNames: what is not one name is none, in every call.
func TestNames(t *testing.T) {
	_, d := prison(t, hostdir.Options{})
	h, _, errno := d.Lookup(hostdir.Root, "sub")
	want(t, "lookup", errno, 0)
	for _, name := range []string{"", ".", "..", "/", "../file", "sub/../../file", "/etc", "a\x00b", "sub/"} {
		_, _, errno = d.Lookup(hostdir.Root, name)
		want(t, "lookup of "+name, errno, syscall.EINVAL)
		_, _, errno = d.Make(hostdir.Root, name, unix.S_IFDIR|0o755, "")
		want(t, "mkdir "+name, errno, syscall.EINVAL)
		want(t, "remove "+name, d.Remove(hostdir.Root, name, false), syscall.EINVAL)
		want(t, "rename "+name, d.Rename(hostdir.Root, name, h, "x", 0), syscall.EINVAL)
		want(t, "rename to "+name, d.Rename(hostdir.Root, "sub", h, name, 0), syscall.EINVAL)
		want(t, "link "+name, d.Link(hostdir.Root, name, h), syscall.EINVAL)
	}
	for _, h := range []hostdir.Node{0, 99, 1 << 63} {
		_, _, errno = d.Lookup(h, "x")
		want(t, "a handle that is none", errno, syscall.EBADF)
	}
}

// TestLinks: symbolic links are not followed, wherever they lead.
func TestLinks(t *testing.T) {
	path, d := prison(t, hostdir.Options{})
	for _, target := range []string{"/etc/passwd", "../file", "../beside", "/", "..", "/proc/self/root", "sub"} {
		if err := os.Symlink(target, filepath.Join(path, "link")); err != nil {
			t.Fatal(err)
		}
		h, a, errno := d.Lookup(hostdir.Root, "link")
		if errno != 0 || a.Mode&unix.S_IFMT != unix.S_IFLNK {
			t.Errorf("%s: mode %#o, %v", target, a.Mode, errno)
		}
		buf := make([]byte, 100)
		if n, errno := d.Readlink(h, buf); string(buf[:n]) != target || errno != 0 {
			t.Errorf("the link leads to %q, %v", buf[:n], errno)
		}
		want(t, "open", d.Open(h, false), syscall.EINVAL)
		_, _, errno = d.Lookup(h, "file")
		want(t, "lookup in a link", errno, syscall.ENOTDIR)
		_, _, errno = d.Make(h, "file", unix.S_IFREG|0o644, "")
		want(t, "make in a link", errno, syscall.ENOTDIR)
		_, errno = d.SetAttr(h, hostdir.Change{Set: hostdir.SetSize})
		want(t, "truncate", errno, syscall.EINVAL)
		_, errno = d.SetAttr(h, hostdir.Change{Set: hostdir.SetMode, Mode: 0o777})
		want(t, "chmod", errno, syscall.EOPNOTSUPP)
		_, errno = d.SetAttr(h, hostdir.Change{Set: hostdir.SetMtime, Mtime: 1e9})
		want(t, "utimes", errno, 0)
		want(t, "remove", d.Remove(hostdir.Root, "link", false), 0)
	}
	if s, err := os.Stat(filepath.Join(path, "../file")); err != nil || s.ModTime().Unix() == 1 {
		t.Errorf("a file outside has been touched: %v", err)
	}
}

// TestSwap: while names are looked up, made and written through, somebody puts a link to the outside in the place of a directory again
// and again. Whatever is reached lies inside.
func TestSwap(t *testing.T) {
	path, d := prison(t, hostdir.Options{})
	if err := os.WriteFile(filepath.Join(path, "sub/file"), []byte("inside"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../beside", filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swaps := 0
	swapper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(path, "sub"), unix.AT_FDCWD, filepath.Join(path, "link"), unix.RENAME_EXCHANGE); err != nil {
				t.Error(err)
				return
			}
			swaps++
		}
	})
	read, refused := 0, 0
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		h, a, errno := d.Lookup(hostdir.Root, "sub")
		want(t, "lookup", errno, 0)
		f, _, errno := d.Lookup(h, "file")
		if errno != 0 {
			if a.Mode&unix.S_IFMT != unix.S_IFLNK {
				t.Errorf("the directory's file is not there: %v", errno)
			}
			refused++
			continue
		}
		want(t, "open", d.Open(f, true), 0)
		buf := make([]byte, 100)
		n, errno := d.ReadAt(f, [][]byte{buf}, 0, false)
		if string(buf[:n]) != "inside" || errno != 0 {
			t.Fatalf("read %q, %v", buf[:n], errno)
		}
		_, _, errno = d.WriteAt(f, [][]byte{[]byte("inside")}, 0, false)
		want(t, "write", errno, 0)
		d.Done(f)
		read++
	}
	close(stop)
	swapper.Wait()
	if read == 0 || refused == 0 || swaps < 1000 {
		t.Errorf("%d reads, %d links, %d swaps: nothing was tried", read, refused, swaps)
	}
	if b, err := os.ReadFile(filepath.Join(path, "../beside/file")); string(b) != secret || err != nil {
		t.Errorf("the file outside is %q, %v", b, err)
	}
}

// TestSpecial: what is no regular file is a name, and is not opened: a FIFO would block, a device do something.
func TestSpecial(t *testing.T) {
	path, d := prison(t, hostdir.Options{})
	if err := unix.Mkfifo(filepath.Join(path, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	names := []string{"fifo", "sub"}
	if unix.Mknod(filepath.Join(path, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) == nil { // root may
		names = append(names, "null")
	}
	for _, name := range names {
		h, _, errno := d.Lookup(hostdir.Root, name)
		want(t, "lookup", errno, 0)
		want(t, "open of "+name, d.Open(h, true), syscall.EINVAL)
		_, errno = d.ReadAt(h, [][]byte{make([]byte, 1)}, 0, false)
		want(t, "read of "+name, errno, syscall.EBADF)
	}
	for _, mode := range []uint32{unix.S_IFCHR, unix.S_IFBLK, 0, unix.S_IFMT} {
		_, _, errno := d.Make(hostdir.Root, "dev", mode|0o666, "")
		want(t, "mknod", errno, syscall.EPERM)
	}
	h, a, errno := d.Make(hostdir.Root, "tool", unix.S_IFREG|0o6755, "")
	if errno != 0 || a.Mode != unix.S_IFREG|0o755 {
		t.Errorf("a set-user-ID file was made with mode %#o, %v", a.Mode, errno)
	}
	if a, errno = d.SetAttr(h, hostdir.Change{Set: hostdir.SetMode, Mode: 0o7777}); errno != 0 || a.Mode != unix.S_IFREG|0o1777 {
		t.Errorf("set-user-ID was set: mode %#o, %v", a.Mode, errno)
	}
	_, errno = d.SetAttr(h, hostdir.Change{Set: hostdir.SetUID, UID: 0})
	want(t, "chown to the owner", errno, 0)
	_, errno = d.SetAttr(h, hostdir.Change{Set: hostdir.SetUID | hostdir.SetGID, UID: 1000, GID: 0})
	want(t, "chown", errno, syscall.EPERM)
}

// TestRights: a handle of a file does not become one of another, and contents need an open for what is done.
func TestRights(t *testing.T) {
	path, d := prison(t, hostdir.Options{})
	if err := os.WriteFile(filepath.Join(path, "f"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	h, _, _ := d.Lookup(hostdir.Root, "f")
	_, errno := d.ReadAt(h, [][]byte{make([]byte, 1)}, 0, false)
	want(t, "read before open", errno, syscall.EBADF)
	want(t, "open", d.Open(h, false), 0)
	_, _, errno = d.WriteAt(h, [][]byte{[]byte("x")}, 0, false)
	want(t, "write", errno, syscall.EBADF)
	want(t, "fallocate", d.Allocate(h, 0, 0, 1), syscall.EBADF)
	_, errno = d.ReadAt(h, [][]byte{make([]byte, 1)}, -1, false)
	want(t, "read before the beginning", errno, syscall.EINVAL)
	_, errno = d.ReadAt(h, make([][]byte, 5000), 0, false)
	want(t, "too many pieces", errno, syscall.EINVAL)
	d.Done(h)
	d.Done(h) // once too often
	_, errno = d.ReadAt(h, [][]byte{make([]byte, 1)}, 0, false)
	want(t, "read after close", errno, syscall.EBADF)
	d.Forget(h, 1<<63)
	d.Forget(h, 1)
	d.Forget(hostdir.Root, 1<<63)
	_, errno = d.Attr(h)
	want(t, "a forgotten handle", errno, syscall.EBADF)
	again, _, errno := d.Lookup(hostdir.Root, "f")
	if errno != 0 || again == h {
		t.Errorf("handle %d was %d before, %v", again, h, errno)
	}
	if b, err := os.ReadFile(filepath.Join(path, "f")); !bytes.Equal(b, []byte("text")) || err != nil {
		t.Errorf("f is %q, %v", b, err)
	}
}

// FuzzName: whatever a name is, what it leads to is in the directory.
func FuzzName(f *testing.F) {
	_, d := prison(f, hostdir.Options{})
	for _, s := range []string{"sub", "..", "a/b", "", "\x00", "../file", "a\xff", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		h, a, errno := d.Make(hostdir.Root, name, unix.S_IFREG|0o644, "")
		if errno != 0 {
			return
		}
		if name == "" { // a file without one
			d.Forget(h, 1)
			return
		}
		found, b, errno := d.Lookup(hostdir.Root, name)
		if found != h || a.Ino != b.Ino || errno != 0 {
			t.Errorf("%q is %d, was made as %d, %v", name, found, h, errno)
		}
		d.Forget(h, 2)
		want(t, "remove", d.Remove(hostdir.Root, name, false), 0)
	})
}
