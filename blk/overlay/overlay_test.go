package overlay_test

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/blk"
	"ukvm.dev/blk/blktest"
	"ukvm.dev/blk/file"
	"ukvm.dev/blk/memory"
	"ukvm.dev/blk/overlay"
)

// image is a memory disk with contents.
func image(t testing.TB, contents []byte, block int64) blk.Backend {
	t.Helper()
	m, err := memory.New(int64(len(contents)), block, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.WriteAt([][]byte{contents}, 0); err != nil {
		t.Fatal(err)
	}
	return m
}

// base is a read-only disk of random bytes, the same for the same seed and size.
func base(t testing.TB, size int, seed int64) blk.Backend {
	t.Helper()
	b := make([]byte, size)
	rand.New(rand.NewSource(seed)).Read(b)
	return blk.ReadOnly(image(t, b, 512))
}

// fresh is a store with an empty overlay of a base.
func fresh(t testing.TB, of blk.Backend) blk.Backend {
	t.Helper()
	s, err := memory.New(overlay.Size(of.Info()), 512, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := overlay.Create(s, of); err != nil {
		t.Fatal(err)
	}
	return s
}

func contents(t testing.TB, b blk.Backend) []byte {
	t.Helper()
	got := make([]byte, b.Info().Size)
	if err := b.ReadAt([][]byte{got}, 0); err != nil {
		t.Fatal(err)
	}
	return got
}

// Sizes of bases: whole clusters, and one with a short one at its end.
var sizes = []int{1 << 20, 1<<20 + 3*512, 256 << 10}

func TestConform(t *testing.T) {
	for _, size := range sizes {
		blktest.Conform(t, blktest.Disk{Open: func() (blk.Backend, error) {
			b := base(t, size, 1)
			return overlay.Open(fresh(t, b), b)
		}})
	}
	// In a file, with sectors of 4096 bytes, opened again and again.
	path := filepath.Join(t.TempDir(), "store")
	size := 1 << 20
	blktest.Conform(t, blktest.Disk{Keeps: true, Open: func() (blk.Backend, error) {
		b := base(t, size, 2)
		_, err := os.Stat(path)
		if err != nil {
			if err := file.Create(path, overlay.Size(b.Info()), false); err != nil {
				return nil, err
			}
		}
		s, e := file.Open(path, file.Options{BlockSize: 4096})
		if e != nil {
			return nil, e
		}
		if err != nil {
			if err := overlay.Create(s, b); err != nil {
				return nil, err
			}
		}
		return overlay.Open(s, b)
	}})
}

// TestCrashes: whatever a crash leaves of the store, the disk has all that was flushed, and nothing that was never there.
func TestCrashes(t *testing.T) {
	seeds := int64(30)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		size := sizes[2] + int(seed%3)*512
		of := base(t, size, seed)
		r, err := blktest.Record(fresh(t, of))
		if err != nil {
			t.Fatal(err)
		}
		d, err := overlay.Open(r, of)
		if err != nil {
			t.Fatal(err)
		}
		reopen := func(left []byte) (blk.Backend, error) {
			return overlay.Open(image(t, left, 512), base(t, size, seed))
		}
		if err := blktest.Crashes(r, d, reopen, seed, 80, 60); err != nil {
			t.Fatal(err)
		}
	}
}

// early writes bits before what they stand for is durable: it forgets the first of two flushes.
type early struct {
	*blktest.Recorder
	n int
}

func (e *early) Flush() error {
	if e.n++; e.n%2 == 1 {
		return nil
	}
	return e.Recorder.Flush()
}

// TestCrashesNoticed: the test above notices an overlay that writes bits too early.
func TestCrashesNoticed(t *testing.T) {
	caught := 0
	for seed := range int64(10) {
		of := base(t, sizes[2], seed)
		r, err := blktest.Record(fresh(t, of))
		if err != nil {
			t.Fatal(err)
		}
		d, err := overlay.Open(&early{Recorder: r}, of)
		if err != nil {
			t.Fatal(err)
		}
		reopen := func(left []byte) (blk.Backend, error) {
			return overlay.Open(image(t, left, 512), base(t, sizes[2], seed))
		}
		if blktest.Crashes(r, d, reopen, seed, 80, 200) != nil {
			caught++
		}
	}
	if caught < 9 {
		t.Errorf("%d of 10 such overlays were noticed", caught)
	}
}

// TestShared: overlays of one base do not see each other's changes, and the base has none.
func TestShared(t *testing.T) {
	of := base(t, 1<<20, 3)
	before := contents(t, of)
	var disks []blk.Backend
	for i := range 3 {
		s := fresh(t, of)
		d, err := overlay.Open(s, base(t, 1<<20, 3))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.WriteAt([][]byte{bytes.Repeat([]byte{byte(i + 1)}, 512)}, 100*512); err != nil {
			t.Fatal(err)
		}
		disks = append(disks, d)
	}
	for i, d := range disks {
		want := append([]byte(nil), before...)
		copy(want[100*512:], bytes.Repeat([]byte{byte(i + 1)}, 512))
		if !bytes.Equal(contents(t, d), want) {
			t.Errorf("overlay %d has other contents", i)
		}
	}
	if !bytes.Equal(contents(t, of), before) {
		t.Error("the base has changed")
	}
}

// TestRefused: what is no overlay of the base gets a sentence, and both are closed.
func TestRefused(t *testing.T) {
	size := 1 << 20
	good := contents(t, fresh(t, base(t, size, 1)))
	change := func(at int, b ...byte) []byte {
		c := append([]byte(nil), good...)
		copy(c[at:], b)
		return c
	}
	for _, c := range []struct {
		name  string
		store []byte
		base  blk.Backend
		says  string
	}{
		{"zeroes", make([]byte, len(good)), base(t, size, 1), "this is no overlay"},
		{"another version", change(8, 2), base(t, size, 1), "version 2"},
		{"a wrong checksum", change(12, 1), base(t, size, 1), "checksum"},
		{"another base", good, base(t, size, 2), "another base"},
		{"a smaller base", good, base(t, size-clusterBytes, 1), "a base of 1048576 bytes"},
		{"a larger base", good, base(t, size+clusterBytes, 1), "the store has"},
		{"a short store", good[:len(good)-512], base(t, size, 1), "the store has"},
		{"bits behind the end", change(4096+2, 1), base(t, size, 1), "cluster 16 of 16"},
		{"a base that can change", good, image(t, contents(t, base(t, size, 1)), 512), "can be written to"},
	} {
		s := image(t, c.store, 512)
		d, err := overlay.Open(s, c.base)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v; want a sentence with %q", c.name, d, err, c.says)
		}
		if !errors.Is(s.Close(), blk.ErrClosed) || !errors.Is(c.base.Close(), blk.ErrClosed) {
			t.Errorf("%s: not all is closed", c.name)
		}
	}
}

const clusterBytes = 64 << 10

// FuzzOpen opens what anybody may have written; what opens can be read and written.
func FuzzOpen(f *testing.F) {
	const size = 256 << 10
	good := contents(f, fresh(f, base(f, size, 1)))
	f.Add(good[:4096], good[4096:4104])
	f.Add(good[:100], []byte{0xff})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, header, bits []byte) {
		b := make([]byte, len(good))
		copy(b[4096:], bits)
		copy(b[:4096], header)
		d, err := overlay.Open(image(t, b, 512), base(t, size, 1))
		if err != nil {
			return
		}
		contents(t, d)
		if err := d.WriteAt([][]byte{make([]byte, 1024)}, size-1024); err != nil {
			t.Error(err)
		}
		if err := d.Flush(); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkOpen10GB(b *testing.B) {
	dir := b.TempDir()
	image, store := filepath.Join(dir, "base"), filepath.Join(dir, "store")
	if err := file.Create(image, 10_000_000_000/4096*4096, false); err != nil {
		b.Fatal(err)
	}
	open := func(path string, o file.Options) blk.Backend {
		d, err := file.Open(path, o)
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	of := open(image, file.Options{BlockSize: 4096, ReadOnly: true})
	if err := file.Create(store, overlay.Size(of.Info()), false); err != nil {
		b.Fatal(err)
	}
	s := open(store, file.Options{BlockSize: 4096})
	if err := overlay.Create(s, of); err != nil {
		b.Fatal(err)
	}
	s.Close()
	of.Close()
	for b.Loop() {
		d, err := overlay.Open(open(store, file.Options{BlockSize: 4096}), open(image, file.Options{BlockSize: 4096, ReadOnly: true}))
		if err != nil {
			b.Fatal(err)
		}
		d.Close()
	}
}
