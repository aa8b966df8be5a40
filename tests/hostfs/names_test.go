package hostfs

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hostdir"
)

// TestNames makes and moves names of all kinds, and looks at the host's side.
func TestNames(t *testing.T) {
	r := newRig(t, hostdir.Options{}, time.Minute)
	root := r.Root()
	made, errno := root.Make("d", vnode.Make{Mode: syscall.S_IFDIR | 0o750})
	want(t, "mkdir", errno, 0)
	d := made.(vnode.Dir)
	_, errno = root.Make("d", vnode.Make{Mode: syscall.S_IFDIR | 0o755})
	want(t, "mkdir of what is there", errno, syscall.EEXIST)
	if s, err := os.Stat(r.host("d")); err != nil || s.Mode() != os.ModeDir|0o750 {
		t.Errorf("d is %v, %v", s.Mode(), err)
	}
	f := r.create(t, d, "f")
	want(t, "link", root.Link("g", f), 0)
	if a := f.Attr(); a.Nlink != 2 || a.Type() != syscall.S_IFREG || a.Mode&0o7777 != 0o644 || a.Dev != 33 {
		t.Errorf("f is %+v", a)
	}
	if n := r.lookup(t, "g"); n != vnode.Node(f) {
		t.Error("two names of a file are two nodes")
	}
	link, errno := d.Make("l", vnode.Make{Mode: syscall.S_IFLNK | 0o777, Target: "../../etc/passwd"})
	want(t, "symlink", errno, 0)
	if got := link.(vnode.Symlink).Target(); got != "../../etc/passwd" {
		t.Errorf("the link leads to %q", got)
	}
	_, errno = root.Make("p", vnode.Make{Mode: syscall.S_IFIFO | 0o600})
	want(t, "mkfifo", errno, 0)
	_, errno = root.Make("null", vnode.Make{Mode: syscall.S_IFCHR | 0o666, Rdev: 0x103})
	want(t, "mknod", errno, syscall.EPERM)

	want(t, "unlink of a directory", root.Remove("d", false), syscall.EISDIR)
	want(t, "rmdir of a file", root.Remove("g", true), syscall.ENOTDIR)
	want(t, "rmdir of a full directory", root.Remove("d", true), syscall.ENOTEMPTY)
	want(t, "unlink of nothing", root.Remove("none", false), syscall.ENOENT)
	want(t, "rename over, not replacing", root.Rename("p", root, "g", vnode.RenameNoReplace), syscall.EEXIST)
	want(t, "rename below itself", root.Rename("d", d, "x", 0), syscall.EINVAL)
	want(t, "rename over", root.Rename("p", root, "g", 0), 0)
	if a := f.Attr(); a.Nlink != 1 {
		t.Errorf("after a rename over its second name f has %d", a.Nlink)
	}
	want(t, "exchange", root.Rename("g", d, "f", vnode.RenameExchange), 0)
	if n := r.lookup(t, "g"); n != vnode.Node(f) {
		t.Error("after an exchange g is another file")
	}
	want(t, "unlink", d.Remove("f", false), 0)
	want(t, "unlink", d.Remove("l", false), 0)
	if up, name, errno := d.Up(); up != root || name != "d" || errno != 0 {
		t.Errorf("d is %q in %v, %v", name, up, errno)
	}
	want(t, "rename of a directory", root.Rename("d", root, "e", 0), 0)
	if _, name, errno := d.Up(); name != "e" || errno != 0 {
		t.Errorf("after a rename d is %q, %v", name, errno)
	}
	want(t, "rmdir", root.Remove("e", true), 0)
	if _, _, errno := d.Up(); errno != syscall.ENOENT {
		t.Errorf("a removed directory is somewhere: %v", errno)
	}
	_, errno = d.Make("x", vnode.Make{Mode: syscall.S_IFREG | 0o644})
	want(t, "make in a removed directory", errno, syscall.ENOENT)
	_, errno = root.Lookup(fmt.Sprintf("%0256d", 0))
	want(t, "lookup of a long name", errno, syscall.ENAMETOOLONG)
}

// TestEntries lists a directory of many names, with all cookies, while it changes.
func TestEntries(t *testing.T) {
	r := newRig(t, hostdir.Options{}, time.Minute)
	var wanted []string
	for i := range 1000 {
		name := fmt.Sprintf("%0*d", 1+i*250/1000, i)
		wanted = append(wanted, name)
		if err := os.WriteFile(r.host(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, batch := range []int{1, 3, 32} {
		got := list(t, r.Root(), batch)
		slices.Sort(got)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Errorf("in batches of %d there are %d names, want %d", batch, len(got), len(wanted))
		}
	}
}

func list(t *testing.T, d vnode.Dir, batch int) (names []string) {
	t.Helper()
	buf := make([]vnode.Entry, batch)
	for after := uint64(0); ; {
		n, errno := d.Entries(after, buf)
		if errno != 0 {
			t.Fatal(errno)
		}
		if n == 0 {
			return names
		}
		for _, e := range buf[:n] {
			if e.Name == "." || e.Name == ".." || e.Type != syscall.S_IFREG {
				t.Errorf("entry %+v", e)
			}
			names = append(names, e.Name)
			after = e.Cookie
		}
	}
}

// TestOpenAndGone: a file without names lives as long as it is open, and O_TMPFILE's gets one.
func TestOpenAndGone(t *testing.T) {
	r := newRig(t, hostdir.Options{}, time.Minute)
	f := r.create(t, r.Root(), "f")
	want(t, "unlink", r.Root().Remove("f", false), 0)
	if n, errno := f.WriteAt([]byte("still"), 0); n != 5 || errno != 0 {
		t.Errorf("write: %d, %v", n, errno)
	}
	b := make([]byte, 9)
	if n, errno := f.ReadAt(b, 0); string(b[:n]) != "still" || errno != 0 {
		t.Errorf("read: %q, %v", b[:n], errno)
	}
	n, errno := r.Root().(vnode.Temporary).MakeTemporary(vnode.Make{Mode: syscall.S_IFREG | 0o400})
	want(t, "O_TMPFILE", errno, 0)
	g := r.open(t, n) // although its permissions would not let it be written to
	if _, errno := g.WriteAt([]byte("x"), 0); errno != 0 {
		t.Error(errno)
	}
	want(t, "link of it", r.Root().Link("g", g), 0)
	if b, err := os.ReadFile(r.host("g")); string(b) != "x" || err != nil {
		t.Errorf("the host has %q, %v", b, err)
	}
}

// TestReadOnly: nothing can be changed.
func TestReadOnly(t *testing.T) {
	r := newRig(t, hostdir.Options{ReadOnly: true}, time.Minute)
	if err := os.WriteFile(r.host("f"), []byte("text"), 0o666); err != nil {
		t.Fatal(err)
	}
	root, f := r.Root(), r.lookup(t, "f").(vnode.Opener)
	want(t, "open for writing", f.Open(true), syscall.EROFS)
	want(t, "open", f.Open(false), 0)
	defer f.Close()
	_, errno := f.WriteAt([]byte("x"), 0)
	want(t, "write", errno, syscall.EROFS)
	_, _, errno = f.Append([]byte("x"))
	want(t, "append", errno, syscall.EROFS)
	want(t, "truncate", f.SetAttr(vnode.Change{Set: vnode.SetSize}), syscall.EROFS)
	want(t, "chmod", f.SetAttr(vnode.Change{Set: vnode.SetMode, Mode: 0o600}), syscall.EROFS)
	want(t, "fallocate", f.Allocate(0, 0, 1), syscall.EROFS)
	want(t, "unlink", root.Remove("f", false), syscall.EROFS)
	want(t, "rename", root.Rename("f", root, "g", 0), syscall.EROFS)
	want(t, "link", root.Link("g", f), syscall.EROFS)
	_, errno = root.Make("g", vnode.Make{Mode: syscall.S_IFREG | 0o644})
	want(t, "make", errno, syscall.EROFS)
	if s := r.Statfs(); !s.ReadOnly || s.Blocks == 0 || s.BlockSize == 0 {
		t.Errorf("%+v", s)
	}
	b := make([]byte, 9)
	if n, errno := f.ReadAt(b, 0); string(b[:n]) != "text" || errno != 0 {
		t.Errorf("read: %q, %v", b[:n], errno)
	}
}
