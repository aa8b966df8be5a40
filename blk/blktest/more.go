package blktest

import (
	"bytes"
	"errors"
	"math/rand"
	"sync"
	"testing"

	"ukvm.dev/blk"
)

// manyPieces is more than the 1024 that Linux takes in one system call (IOV_MAX).
const manyPieces = 1024 + 512

func edges(t *testing.T, b blk.Backend) {
	defer b.Close()
	i := b.Info()
	for _, off := range []int64{0, i.Size} {
		for _, err := range []error{b.ReadAt(nil, off), b.WriteAt([][]byte{{}}, off), b.Discard(off, 0), b.WriteZeroes(off, 0)} {
			if err != nil {
				t.Errorf("nothing at %d: %v", off, err)
			}
		}
	}
	// The very end, in very many pieces.
	n := int64(manyPieces) * 8 / i.BlockSize * i.BlockSize
	data, got := make([]byte, n), make([]byte, n)
	rand.New(rand.NewSource(2)).Read(data)
	pieces := func(b []byte) (v [][]byte) {
		for len(b) > 0 {
			v, b = append(v, b[:8]), b[8:]
		}
		return v
	}
	if err := b.WriteAt(pieces(data), i.Size-n); err != nil {
		t.Fatal(err)
	}
	if err := b.ReadAt(pieces(got), i.Size-n); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d pieces at the end differ, %v", manyPieces, err)
	}
	if err := b.WriteZeroes(0, i.Size); err != nil {
		t.Fatal(err)
	}
	if err := b.ReadAt([][]byte{got}, i.Size-n); err != nil || !bytes.Equal(got, make([]byte, n)) {
		t.Errorf("zeroes over the whole disk did not reach its end, %v", err)
	}
}

// concurrent gives each of several goroutines its own blocks, neighbours of the others' blocks, and checks them.
func concurrent(t *testing.T, b blk.Backend) {
	defer b.Close()
	const workers, steps = 4, 100
	bs := b.Info().BlockSize
	var wg sync.WaitGroup
	for w := range int64(workers) {
		wg.Go(func() {
			rnd := rand.New(rand.NewSource(w))
			data, got := make([]byte, bs), make([]byte, bs)
			for range steps {
				off := (rnd.Int63n(b.Info().Size/bs/workers)*workers + w) * bs
				rnd.Read(data)
				err := b.WriteAt([][]byte{data}, off)
				if rnd.Intn(8) == 0 {
					err = errors.Join(err, b.Flush())
				}
				if err = errors.Join(err, b.ReadAt([][]byte{got}, off)); err != nil || !bytes.Equal(got, data) {
					t.Errorf("block at %d differs, %v", off, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// closing closes the disk under requests: each of them succeeds or fails with ErrClosed, nothing else.
func closing(t *testing.T, b blk.Backend) {
	var wg, begun sync.WaitGroup
	bs := b.Info().BlockSize
	for w := range int64(4) {
		begun.Add(1)
		wg.Go(func() {
			v := [][]byte{make([]byte, bs)}
			for n := 0; ; n++ {
				var err error
				switch (int64(n) + w) % 3 {
				case 0:
					err = b.ReadAt(v, w*bs)
				case 1:
					err = b.WriteAt(v, w*bs)
				case 2:
					err = b.Flush()
				}
				if n == 0 {
					begun.Done()
				}
				if errors.Is(err, blk.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("while the disk is closed: %v", err)
					return
				}
			}
		})
	}
	begun.Wait()
	if err := b.Close(); err != nil {
		t.Errorf("Close under requests: %v", err)
	}
	wg.Wait()
}

func readOnly(t *testing.T, b blk.Backend) {
	r := blk.ReadOnly(b)
	i := r.Info()
	if !i.ReadOnly {
		t.Error("a read-only disk does not say so")
	}
	v := [][]byte{make([]byte, i.BlockSize)}
	changes := func() []error {
		return []error{r.WriteAt(v, 0), r.Discard(0, i.BlockSize), r.WriteZeroes(0, i.BlockSize)}
	}
	for _, err := range changes() {
		if !errors.Is(err, blk.ErrReadOnly) {
			t.Errorf("%v, want ErrReadOnly", err)
		}
	}
	if err := errors.Join(r.ReadAt(v, 0), r.Flush(), r.Close()); err != nil {
		t.Error(err)
	}
	for _, err := range changes() {
		if !errors.Is(err, blk.ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
	}
}

func keeps(t *testing.T, d Disk) {
	b := d.open(t)
	data, got := make([]byte, b.Info().Size), make([]byte, b.Info().Size)
	rand.New(rand.NewSource(3)).Read(data)
	if err := errors.Join(b.WriteAt([][]byte{data}, 0), b.Flush(), b.Close()); err != nil {
		t.Fatal(err)
	}
	b = d.open(t)
	defer b.Close()
	if err := b.ReadAt([][]byte{got}, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("what was flushed differs after reopening, %v", err)
	}
}
