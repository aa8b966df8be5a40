package memfs

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"ukvm.dev/guest/posix/vnode"
)

const (
	reg   = syscall.S_IFREG | 0o644
	dirMd = syscall.S_IFDIR | 0o755
)

func names(t *testing.T, d vnode.Dir, batch int) (all []string) {
	t.Helper()
	buf := make([]vnode.Entry, batch)
	after := uint64(0)
	for {
		n, errno := d.Entries(after, buf)
		if errno != 0 {
			t.Fatal(errno)
		}
		if n == 0 {
			return all
		}
		for _, e := range buf[:n] {
			if e.Cookie <= after {
				t.Fatal("cookies do not rise")
			}
			after = e.Cookie
			all = append(all, e.Name)
		}
	}
}

// TestEntriesWhileChanging lists a directory while other names come and go: those that stay are seen exactly once.
func TestEntriesWhileChanging(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		fs := newFS(1 << 24)
		d := fs.root
		stay, gone := map[string]bool{}, map[string]bool{}
		for i := range 200 {
			name := fmt.Sprint("n", i)
			mustMake(t, d, name, reg)
			stay[name] = true
		}
		seen := map[string]int{}
		buf := make([]vnode.Entry, 7)
		for after, more := uint64(0), 0; ; {
			n, _ := d.Entries(after, buf)
			if n == 0 {
				break
			}
			for _, e := range buf[:n] {
				seen[e.Name]++
				after = e.Cookie
			}
			for range r.IntN(20) {
				name := fmt.Sprint("n", r.IntN(200))
				if d.Remove(name, false) == 0 {
					delete(stay, name)
					gone[name] = true
				}
			}
			if more++; more < 20 {
				mustMake(t, d, fmt.Sprint("m", more), reg)
			}
		}
		for name := range stay {
			if seen[name] != 1 {
				t.Fatal("seed", seed, name, "seen", seen[name], "times")
			}
			if _, errno := d.Lookup(name); errno != 0 {
				t.Fatal(name, errno)
			}
		}
		for name := range gone {
			if _, errno := d.Lookup(name); errno != syscall.ENOENT || seen[name] > 1 {
				t.Fatal(name, errno)
			}
		}
	}
}

func TestRename(t *testing.T) {
	type op struct {
		from, to string
		mode     vnode.RenameMode
		want     syscall.Errno
	}
	fs := newFS(1 << 20)
	root := fs.Root()
	a := mustMake(t, root, "a", dirMd).(*dir)
	b := mustMake(t, a, "b", dirMd).(*dir)
	mustMake(t, root, "f", reg)
	mustMake(t, root, "g", reg)
	mustMake(t, root, "e", dirMd)
	f, _ := root.Lookup("f")
	root.Link("f2", f)
	dirs := map[byte]vnode.Dir{'/': root, 'a': a, 'b': b}
	for _, o := range []op{
		{"/x", "/y", 0, syscall.ENOENT},
		{"/f", "/f2", 0, 0},
		{"/f", "/g", vnode.RenameNoReplace, syscall.EEXIST},
		{"/f", "/nothing", vnode.RenameExchange, syscall.ENOENT},
		{"/a", "bx", 0, syscall.EINVAL},
		{"/a", "ax", 0, syscall.EINVAL},
		{"ab", "/a", 0, syscall.ENOTEMPTY},
		{"ab", "/a", vnode.RenameExchange, syscall.EINVAL},
		{"/f", "/e", 0, syscall.EISDIR},
		{"/e", "/f", 0, syscall.ENOTDIR},
		{"/e", "/a", 0, syscall.ENOTEMPTY},
		{"/f", "bf", 0, 0},
		{"/f", "bf", 0, syscall.ENOENT},
		{"/e", "ab", vnode.RenameExchange, 0}, // /a/b is now the empty one, /e holds f
		{"/e", "ax", 0, 0},
		{"ab", "/e", 0, 0},
	} {
		if errno := dirs[o.from[0]].Rename(o.from[1:], dirs[o.to[0]], o.to[1:], o.mode); errno != o.want {
			t.Fatalf("%+v: %v", o, errno)
		}
	}
	if p, name, _ := b.Up(); p != a || name != "x" {
		t.Fatal(p, name)
	}
	if n := a.Attr().Nlink; n != 3 {
		t.Fatal("links of a:", n)
	}
	if n := root.Attr().Nlink; n != 4 {
		t.Fatal("links of the root:", n)
	}
	if got := fmt.Sprint(names(t, root, 1), names(t, a, 3), names(t, b, 1)); got != "[a g f2 e] [x] [f]" {
		t.Fatal(got)
	}
}

func TestRemovedDir(t *testing.T) {
	fs := newFS(1 << 20)
	d := mustMake(t, fs.Root(), "d", dirMd).(*dir)
	if errno := fs.Root().Remove("d", false); errno != syscall.EISDIR {
		t.Fatal(errno)
	}
	if errno := fs.Root().Remove("d", true); errno != 0 {
		t.Fatal(errno)
	}
	if _, errno := d.Make("x", vnode.Make{Mode: reg}); errno != syscall.ENOENT {
		t.Fatal(errno)
	}
	if _, _, errno := d.Up(); errno != syscall.ENOENT || d.Attr().Nlink != 0 || fs.used.Load() != InodeCost {
		t.Fatal(errno, d.Attr(), fs.used.Load())
	}
}

// TestConcurrent runs everything at once, for the race detector; what is left is consistent.
func TestConcurrent(t *testing.T) {
	fs := newFS(1 << 22)
	a := mustMake(t, fs.Root(), "a", dirMd).(*dir)
	b := mustMake(t, fs.Root(), "b", dirMd).(*dir)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			dirs := []*dir{a, b, fs.root}
			p := make([]byte, 5000)
			for range 3000 {
				d, e := dirs[r.IntN(3)], dirs[r.IntN(3)]
				x, y := fmt.Sprint("x", r.IntN(8)), fmt.Sprint("x", r.IntN(8))
				switch r.IntN(8) {
				case 0:
					d.Make(x, vnode.Make{Mode: reg})
				case 1:
					d.Make(x, vnode.Make{Mode: dirMd})
				case 2:
					d.Remove(x, r.IntN(2) == 0)
				case 3:
					d.Rename(x, e, y, vnode.RenameMode(r.IntN(3)))
				case 4:
					if n, errno := d.Lookup(x); errno == 0 {
						e.Link(y, n)
					}
				case 5:
					d.Entries(0, make([]vnode.Entry, 4))
					d.Up()
				default:
					n, errno := d.Lookup(x)
					if errno != 0 {
						continue
					}
					n.Attr()
					if f, ok := n.(*file); ok && f.Hold() == 0 {
						f.WriteAt(p[:r.IntN(5000)], int64(r.IntN(9000)))
						f.ReadAt(p, 0)
						f.SetAttr(vnode.Change{Set: vnode.SetSize, Size: int64(r.IntN(9000))})
						f.Release()
					}
				}
			}
		})
	}
	wg.Wait()
	removeAll(t, fs.root)
	if fs.used.Load() != InodeCost || fs.root.nlink != 2 {
		t.Fatal("left over:", fs.used.Load(), "links", fs.root.nlink)
	}
}

func removeAll(t *testing.T, d *dir) {
	for _, name := range names(t, d, 3) {
		n, _ := d.Lookup(name)
		c, ok := n.(*dir)
		if ok {
			removeAll(t, c)
		}
		if errno := d.Remove(name, ok); errno != 0 {
			t.Fatal(name, errno)
		}
	}
}
