package memfs

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

	"ukvm.dev/guest/posix/vnode"
)

func newFS(limit int64) *FS {
	var clock atomic.Int64
	return New(Config{Device: 1, Limit: limit, Now: func() int64 { return clock.Add(1) }})
}

func mustMake(t testing.TB, d vnode.Dir, name string, mode uint32) vnode.Node {
	t.Helper()
	n, errno := d.Make(name, vnode.Make{Mode: mode})
	if errno != 0 {
		t.Fatal("make", name, errno)
	}
	return n
}

// TestFileModel compares a file with a slice of bytes over random operations, with and without a base.
func TestFileModel(t *testing.T) {
	const limit = 5 * chunkSize / 2
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		fs := newFS(1 << 20)
		base := make([]byte, int(seed%3)*70000)
		for i := range base {
			base[i] = byte(r.Uint32() | 1)
		}
		before := bytes.Clone(base)
		node, errno := AddFile(fs.Root(), "f", vnode.Make{Mode: syscall.S_IFREG}, base)
		if errno != 0 {
			t.Fatal(errno)
		}
		f, model := node.(*file), bytes.Clone(base)
		grow := func(n int) {
			for len(model) < n {
				model = append(model, make([]byte, n-len(model))...)
			}
		}
		for step := range 200 {
			off, n := r.IntN(limit), r.IntN(30000)
			what := ""
			switch r.IntN(7) {
			case 0, 1:
				what = fmt.Sprint("write ", n, " at ", off)
				p := bytes.Repeat([]byte{byte(step + 1)}, n)
				if got, errno := f.WriteAt(p, int64(off)); got != n || errno != 0 {
					t.Fatal(seed, step, what, got, errno)
				}
				if n > 0 {
					grow(off + n)
				}
				copy(model[min(off, len(model)):], p)
			case 2:
				what = fmt.Sprint("truncate ", off)
				f.SetAttr(vnode.Change{Set: vnode.SetSize, Size: int64(off)})
				grow(off)
				model = model[:off]
			case 3:
				what = fmt.Sprint("punch ", n, " at ", off)
				if errno := f.Allocate(punchHole|keepSize, int64(off), int64(n)); errno != 0 {
					t.Fatal(seed, step, what, errno)
				}
				clear(model[min(off, len(model)):min(off+n, len(model))])
			case 4:
				what = fmt.Sprint("zero ", n, " at ", off)
				if errno := f.Allocate(zeroRange, int64(off), int64(n)); errno != 0 {
					t.Fatal(seed, step, what, errno)
				}
				grow(off + n)
				clear(model[off : off+n])
			case 5:
				what = fmt.Sprint("append ", n)
				if len(model) > limit {
					continue
				}
				p := bytes.Repeat([]byte{byte(step + 1)}, n)
				_, end, _ := f.Append(p)
				model = append(model, p...)
				if end != int64(len(model)) {
					t.Fatal(seed, step, what, end)
				}
			case 6:
				what = fmt.Sprint("allocate ", n, " at ", off)
				if errno := f.Allocate(0, int64(off), int64(n)); errno != 0 {
					t.Fatal(seed, step, what, errno)
				}
				grow(off + n)
			}
			got := make([]byte, len(model)+10)
			k, _ := f.ReadAt(got, 0)
			if !bytes.Equal(got[:k], model) {
				t.Fatal("seed", seed, "step", step, what, "contents differ; size", k, "want", len(model))
			}
			at := r.IntN(limit)
			k, _ = f.ReadAt(got[:r.IntN(len(got))], int64(at))
			if !bytes.Equal(got[:k], model[min(at, len(model)):min(at+k, len(model))]) {
				t.Fatal("seed", seed, "step", step, what, "read at", at)
			}
			checkHoles(t, f, model)
		}
		if !bytes.Equal(base, before) {
			t.Fatal("the base was written to")
		}
		sum := int64(0)
		for i := range int64(100) {
			if k, ok := f.chunks.get(i); ok {
				sum += int64(len(k.b))
			}
		}
		if sum != f.charged || fs.used.Load() != sum+2*InodeCost {
			t.Fatal("charged", f.charged, fs.used.Load(), "want", sum)
		}
		fs.Root().Remove("f", false)
		if fs.used.Load() != InodeCost {
			t.Fatal("after removal charged", fs.used.Load())
		}
	}
}

// checkHoles walks a file by data and holes: holes must be zero in the model, and both must tile the file.
func checkHoles(t *testing.T, f *file, model []byte) {
	t.Helper()
	at := int64(0)
	for at < int64(len(model)) {
		data, errno := f.Next(at, false)
		if errno == syscall.ENXIO {
			data = int64(len(model))
		}
		if bytes.ContainsFunc(model[at:data], func(r rune) bool { return r != 0 }) {
			t.Fatal("data in a hole", at, data)
		}
		if data == int64(len(model)) {
			break
		}
		at, errno = f.Next(data, true)
		if errno != 0 || at <= data {
			t.Fatal("hole after", data, "at", at, errno)
		}
	}
}

func TestLargeOffsets(t *testing.T) {
	fs := newFS(1 << 20)
	f := mustMake(t, fs.Root(), "f", syscall.S_IFREG).(*file)
	if n, errno := f.WriteAt([]byte("abc"), math.MaxInt64-2); n != 2 || errno != 0 {
		t.Fatal(n, errno)
	}
	if n, errno := f.WriteAt([]byte("abc"), math.MaxInt64); n != 0 || errno != syscall.EFBIG {
		t.Fatal(n, errno)
	}
	if errno := f.Allocate(0, math.MaxInt64-1, 2); errno != syscall.EFBIG {
		t.Fatal(errno)
	}
	if errno := f.Allocate(0, 0, 1<<40); errno != syscall.ENOSPC {
		t.Fatal(errno)
	}
	if at, errno := f.Next(0, false); at != math.MaxInt64>>chunkShift<<chunkShift || errno != 0 {
		t.Fatal(at, errno)
	}
	f.SetAttr(vnode.Change{Set: vnode.SetSize, Size: 5})
	if used := fs.used.Load(); used != 2*InodeCost {
		t.Fatal(used)
	}
}

// TestFull fills the file system in both ways it can be filled.
func TestFull(t *testing.T) {
	fs := newFS(1 << 20)
	f := mustMake(t, fs.Root(), "big", syscall.S_IFREG).(*file)
	p := make([]byte, 100_000)
	total := 0
	for {
		n, errno := f.WriteAt(p, int64(total))
		if errno == syscall.ENOSPC && n == 0 {
			break
		}
		if errno != 0 || n == 0 {
			t.Fatal(n, errno)
		}
		total += n
	}
	if total < 1<<20-2*chunkSize || fs.used.Load() > 1<<20 {
		t.Fatal("full after", total)
	}
	if s := fs.Statfs(); s.Free*4096 >= chunkSize {
		t.Fatalf("%+v", s)
	}
	fs.Root().Remove("big", false)
	count := 0
	for ; ; count++ {
		if _, errno := fs.Root().Make(fmt.Sprint(count), vnode.Make{Mode: syscall.S_IFREG}); errno != 0 {
			if errno != syscall.ENOSPC {
				t.Fatal(errno)
			}
			break
		}
	}
	if count != 1<<20/InodeCost-1 {
		t.Fatal(count)
	}
}

// TestHold keeps a file's contents beyond its last name.
func TestHold(t *testing.T) {
	fs := newFS(1 << 20)
	f := mustMake(t, fs.Root(), "f", syscall.S_IFREG).(*file)
	f.WriteAt([]byte("abc"), 0)
	f.Hold()
	fs.Root().Remove("f", false)
	var b [4]byte
	if n, _ := f.ReadAt(b[:], 0); n != 3 || f.Attr().Nlink != 0 {
		t.Fatal(n, f.Attr())
	}
	if errno := fs.Root().Link("g", f); errno != syscall.ENOENT {
		t.Fatal(errno)
	}
	f.Release()
	if errno := f.Hold(); errno != syscall.ENOENT || fs.used.Load() != InodeCost {
		t.Fatal(errno, fs.used.Load())
	}

	n, _ := fs.root.MakeTemporary(vnode.Make{Mode: syscall.S_IFREG})
	n.(*file).Hold()
	if errno := fs.Root().Link("g", n); errno != 0 {
		t.Fatal(errno)
	}
	n.(*file).Release()
	if _, errno := fs.Root().Lookup("g"); errno != 0 {
		t.Fatal(errno)
	}
}

func BenchmarkReadAt4K(b *testing.B) { benchmark(b, (*file).ReadAt) }

func BenchmarkWriteAt4K(b *testing.B) { benchmark(b, (*file).WriteAt) }

func benchmark(b *testing.B, op func(*file, []byte, int64) (int, syscall.Errno)) {
	f := mustMake(b, newFS(1<<20).Root(), "f", syscall.S_IFREG).(*file)
	p := make([]byte, 4096)
	f.WriteAt(p, 0)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		op(f, p, 0)
	}
}
