// Package blktest is what every blk.Backend must pass.
package blktest

import (
	"bytes"
	"errors"
	"math"
	"math/rand"
	"testing"

	"ukvm.dev/blk"
)

// Disk is a kind of disk to check.
type Disk struct {
	Open  func() (blk.Backend, error) // a writable disk of 256 KiB to 16 MiB
	Keeps bool                        // each Open is of the same disk, which keeps what was flushed; else of a new one
}

func (d Disk) open(t *testing.T) blk.Backend {
	t.Helper()
	b, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Conform checks everything that blk.Backend promises.
func Conform(t *testing.T, d Disk) {
	t.Run("requests", func(t *testing.T) { requests(t, d.open(t)) })
	t.Run("edges", func(t *testing.T) { edges(t, d.open(t)) })
	t.Run("concurrent", func(t *testing.T) { concurrent(t, d.open(t)) })
	t.Run("close", func(t *testing.T) { closing(t, d.open(t)) })
	t.Run("read-only", func(t *testing.T) { readOnly(t, d.open(t)) })
	if d.Keeps {
		t.Run("keeps", func(t *testing.T) { keeps(t, d) })
	}
}

// requests compares random ones with a model, and what is refused; then it closes the disk.
func requests(t *testing.T, b blk.Backend) {
	i := b.Info()
	if err := blk.CheckInfo(i); err != nil || i.ReadOnly || i.Size < 256<<10 || i.Size > 16<<20 {
		t.Fatalf("not a disk for this test: %+v, %v", i, err)
	}
	bs := i.BlockSize
	for _, r := range [][2]int64{{-bs, bs}, {i.Size, bs}, {i.Size - bs, 2 * bs}, {1, bs}, {0, bs - 1}, {math.MaxInt64 - bs + 1, bs}} {
		v := [][]byte{make([]byte, r[1])}
		for _, err := range []error{b.ReadAt(v, r[0]), b.WriteAt(v, r[0]), b.Discard(r[0], r[1]), b.WriteZeroes(r[0], r[1])} {
			if !errors.Is(err, blk.ErrRange) {
				t.Errorf("%d bytes at %d: %v, want ErrRange", r[1], r[0], err)
			}
		}
	}
	rnd := rand.New(rand.NewSource(1)) // fixed: a failure can be repeated
	model := make([]byte, i.Size)
	if err := b.ReadAt([][]byte{model}, 0); err != nil {
		t.Fatal(err)
	}
	for step := range 2000 {
		off := rnd.Int63n(i.Size/bs) * bs
		n := (1 + rnd.Int63n(min(64, (i.Size-off)/bs))) * bs
		data := make([]byte, n)
		var err error
		switch rnd.Intn(5) {
		case 0, 1:
			rnd.Read(data)
			copy(model[off:], data)
			err = b.WriteAt(split(rnd, data), off)
		case 2:
			clear(model[off : off+n])
			err = b.WriteZeroes(off, n)
		case 3:
			// What a discard leaves is undefined until it is written.
			if err = b.Discard(off, n); err == nil {
				copy(model[off:], data)
				err = b.WriteAt(split(rnd, data), off)
			}
		case 4:
			err = b.Flush()
		}
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		rnd.Read(data) // a read must overwrite it
		if err := b.ReadAt(split(rnd, data), off); err != nil || !bytes.Equal(data, model[off:off+n]) {
			t.Fatalf("step %d: %d bytes at %d differ from the model, %v", step, n, off, err)
		}
	}
	all := make([]byte, i.Size)
	if err := b.ReadAt(split(rnd, all), 0); err != nil || !bytes.Equal(all, model) {
		t.Errorf("the whole disk differs from the model, %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	v := [][]byte{make([]byte, bs)}
	for _, err := range []error{b.ReadAt(v, 0), b.WriteAt(v, 0), b.Flush(), b.Discard(0, bs), b.WriteZeroes(0, bs), b.Close()} {
		if !errors.Is(err, blk.ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
	}
}

// split cuts b into odd pieces, empty ones among them.
func split(rnd *rand.Rand, b []byte) [][]byte {
	var v [][]byte
	for len(b) > 0 {
		n := min(len(b), rnd.Intn(3000))
		v, b = append(v, b[:n]), b[n:]
	}
	return v
}
