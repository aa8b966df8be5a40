package memory

import (
	"errors"
	"testing"

	"ukvm.dev/blk"
	"ukvm.dev/blk/blktest"
)

func TestConform(t *testing.T) {
	for _, bs := range []int64{512, 4096} {
		blktest.Conform(t, blktest.Disk{Open: func() (blk.Backend, error) { return New(1<<20+4096, bs, 2<<20) }})
	}
}

func TestCap(t *testing.T) {
	d, err := New(1<<40, 512, chunkSize)
	if err != nil {
		t.Fatal(err)
	}
	v := [][]byte{make([]byte, 512)}
	if err := d.WriteAt(v, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteAt(v, chunkSize); !errors.Is(err, blk.ErrFull) {
		t.Errorf("a second chunk: %v, want ErrFull", err)
	}
	if err := d.Discard(0, chunkSize); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteAt(v, chunkSize); err != nil {
		t.Errorf("after a discard: %v", err)
	}
}

func TestBadSize(t *testing.T) {
	for _, c := range [][2]int64{{1000, 512}, {512, 4096}, {0, 512}, {4096, 1024}, {-512, 512}} {
		if _, err := New(c[0], c[1], 0); err == nil {
			t.Errorf("size %d, block size %d was taken", c[0], c[1])
		}
	}
}
