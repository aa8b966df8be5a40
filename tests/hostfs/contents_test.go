package hostfs

import (
	"bytes"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hostdir"
)

// TestRandom does the same at random to a file and to a model in memory, as fsx does.
func TestRandom(t *testing.T) {
	for _, valid := range []time.Duration{0, time.Minute} {
		r := newRig(t, hostdir.Options{}, valid)
		f := r.create(t, r.Root(), "f")
		var model []byte
		z := rand.New(rand.NewPCG(1, uint64(valid)))
		const most = 3 << 20 // more than a request can carry
		for step := range 2000 {
			off, n := z.IntN(most), 1+z.IntN(1<<z.IntN(21))
			switch z.IntN(8) {
			case 0, 1:
				p := random(z, n)
				if got, errno := f.WriteAt(p, int64(off)); got != n || errno != 0 {
					t.Fatalf("step %d: write of %d: %d, %v", step, n, got, errno)
				}
				model = grown(model, off+n)
				copy(model[off:], p)
			case 2:
				if len(model) > most {
					continue
				}
				p := random(z, n)
				got, end, errno := f.Append(p)
				model = append(model, p...)
				if got != n || errno != 0 || end != int64(len(model)) {
					t.Fatalf("step %d: append of %d: %d, end %d, %v", step, n, got, end, errno)
				}
			case 3:
				if errno := f.SetAttr(vnode.Change{Set: vnode.SetSize, Size: int64(off)}); errno != 0 {
					t.Fatalf("step %d: truncate: %v", step, errno)
				}
				model = grown(model, off)[:off]
			default:
				if z.IntN(2) == 0 { // in order
					n = 1 + z.IntN(8192)
					for end := off + 10*n; off < end; off += n {
						check(t, step, f, model, off, n)
					}
				}
				check(t, step, f, model, off, n)
			}
			if a := f.Attr(); a.Size != int64(len(model)) {
				t.Fatalf("step %d: size %d, want %d", step, a.Size, len(model))
			}
		}
		want(t, "fsync", f.Sync(), 0)
		if b, err := os.ReadFile(r.host("f")); !bytes.Equal(b, model) || err != nil {
			t.Errorf("the host has other contents: %d bytes, want %d, %v", len(b), len(model), err)
		}
	}
}

// check compares what is read with the model.
func check(t *testing.T, step int, f vnode.File, model []byte, off, n int) {
	t.Helper()
	wanted := model[min(off, len(model)):min(off+n, len(model))]
	got := make([]byte, n)
	k, errno := f.ReadAt(got, int64(off))
	// Less than there is may come from what was read ahead; nothing is the end.
	if errno != 0 || !bytes.HasPrefix(wanted, got[:k]) || k == 0 && len(wanted) > 0 {
		t.Fatalf("step %d: read of %d at %d: %d bytes, %v; want %d", step, n, off, k, errno, len(wanted))
	}
}

func random(z *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(z.Uint32())
	}
	return p
}

// grown is b with zeroes up to n bytes, if it is shorter. What b shares with others beyond its end is not shown.
func grown(b []byte, n int) []byte {
	if len(b) >= n {
		return b
	}
	return append(b[:len(b):len(b)], make([]byte, n-len(b))...)
}

// TestHoles: a sparse file is one on the host.
func TestHoles(t *testing.T) {
	r := newRig(t, hostdir.Options{}, time.Minute)
	f := r.create(t, r.Root(), "f")
	if _, errno := f.WriteAt(make([]byte, 4096), 1<<20); errno != 0 {
		t.Fatal(errno)
	}
	if a := f.Attr(); a.Allocated > 64<<10 || a.Size != 1<<20+4096 {
		t.Errorf("%+v", a)
	}
	at, errno := f.Next(0, false)
	if errno != 0 || at == 0 || at > 1<<20 {
		t.Errorf("data from %d on, %v", at, errno)
	}
	if at, errno = f.Next(0, true); at != 0 || errno != 0 {
		t.Errorf("a hole at %d, %v", at, errno)
	}
	_, errno = f.Next(2<<20, false)
	want(t, "data behind the end", errno, syscall.ENXIO)
	want(t, "fallocate", f.Allocate(0, 0, 1<<20), 0)
	if a := f.Attr(); a.Allocated < 1<<20 {
		t.Errorf("after fallocate %d bytes are allocated", a.Allocated)
	}
	want(t, "punching a hole", f.Allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 1<<20), 0)
	if a := f.Attr(); a.Allocated > 64<<10 {
		t.Errorf("with a hole %d bytes are allocated", a.Allocated)
	}
}

// TestFull: a full disk is ENOSPC, and what was written stays.
func TestFull(t *testing.T) {
	r := newRig(t, hostdir.Options{}, time.Minute)
	switch err := unix.Mount("small", r.path, "tmpfs", 0, "size=1m"); {
	case err == unix.EPERM && os.Geteuid() != 0:
		t.Skip("only root can mount a small file system")
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(r.path, unix.MNT_DETACH) })
	d, err := hostdir.Open(r.path, hostdir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	h, _, errno := d.Make(hostdir.Root, "f", syscall.S_IFREG|0o644, "")
	want(t, "make", errno, 0)
	want(t, "open", d.Open(h, true), 0)
	wrote := 0
	for range 300 {
		n, _, errno := d.WriteAt(h, [][]byte{bytes.Repeat([]byte{7}, 5000)}, int64(wrote), false)
		if errno == syscall.ENOSPC && n == 0 {
			break
		}
		want(t, "write", errno, 0)
		wrote += n
	}
	if wrote < 512<<10 || wrote > 1<<20 {
		t.Fatalf("%d bytes fitted", wrote)
	}
	if b, err := os.ReadFile(r.host("f")); len(b) != wrote || bytes.Count(b, []byte{7}) != wrote || err != nil {
		t.Errorf("%d bytes are there, %v, want %d", len(b), err, wrote)
	}
}

// TestFresh: what the host changes is seen at once without a cache, and otherwise when a file is opened.
func TestFresh(t *testing.T) {
	for _, valid := range []time.Duration{0, time.Minute} {
		r := newRig(t, hostdir.Options{}, valid)
		n := r.put(t, "f", []byte("one"))
		if a := n.Attr(); a.Size != 3 {
			t.Errorf("size %d", a.Size)
		}
		if err := os.WriteFile(r.host("f"), []byte("longer"), 0o600); err != nil {
			t.Fatal(err)
		}
		if valid == 0 && n.Attr().Size != 6 {
			t.Errorf("without a cache the size is %d", n.Attr().Size)
		}
		f := r.open(t, n)
		b := make([]byte, 99)
		if k, errno := f.ReadAt(b, 0); string(b[:k]) != "longer" || errno != 0 || n.Attr().Size != 6 {
			t.Errorf("after open: %q, %v, size %d", b[:k], errno, n.Attr().Size)
		}
	}
}

// put makes a file on the host and finds it.
func (r *rig) put(t *testing.T, name string, contents []byte) vnode.Node {
	t.Helper()
	if err := os.WriteFile(r.host(name), contents, 0o600); err != nil {
		t.Fatal(err)
	}
	return r.lookup(t, name)
}

// TestConcurrent: goroutines append, each line whole, sync and list.
func TestConcurrent(t *testing.T) {
	r := newRig(t, hostdir.Options{}, time.Second)
	f := r.create(t, r.Root(), "log")
	const writers, lines = 20, 50
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			line := append(bytes.Repeat([]byte{'a' + byte(w)}, 100+w), '\n')
			for range lines {
				if n, _, errno := f.Append(line); n != len(line) || errno != 0 {
					t.Errorf("append: %d, %v", n, errno)
				}
				if errno := f.Sync(); errno != 0 {
					t.Error(errno)
				}
				if _, errno := r.Root().Lookup("log"); errno != 0 {
					t.Error(errno)
				}
			}
		})
	}
	all.Wait()
	b, err := os.ReadFile(r.host("log"))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range bytes.Lines(b) {
		if w := int(line[0] - 'a'); len(line) != 101+w || bytes.Count(line, line[:1]) != 100+w {
			t.Fatalf("a torn line %q", line)
		}
		count++
	}
	if count != writers*lines {
		t.Errorf("%d lines, want %d", count, writers*lines)
	}
}
