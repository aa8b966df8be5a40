package blktest_test

import (
	"bytes"
	"errors"
	"math/rand"
	"testing"

	"ukvm.dev/blk"
	"ukvm.dev/blk/blktest"
	"ukvm.dev/blk/memory"
)

const diskSize = 64 << 10

func record(t *testing.T) *blktest.Recorder {
	t.Helper()
	m, err := memory.New(diskSize, 512, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	r, err := blktest.Record(m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reopen makes a disk of what a crash left.
func reopen(image []byte) (blk.Backend, error) {
	m, err := memory.New(int64(len(image)), 512, 1<<20)
	if err == nil {
		err = m.WriteAt([][]byte{image}, 0)
	}
	return m, err
}

func TestCrashesOfAnHonestDisk(t *testing.T) {
	for seed := range int64(20) {
		r := record(t)
		if err := blktest.Crashes(r, r, reopen, seed, 60, 20); err != nil {
			t.Fatal(err)
		}
	}
}

// liar acknowledges flushes that it does not do, now and then.
type liar struct {
	blk.Backend
	n int
}

func (l *liar) Flush() error {
	l.n++
	if l.n%3 == 0 {
		return nil
	}
	return l.Backend.Flush()
}

// late acknowledges a write before it does it, at the next flush's end.
type late struct {
	blk.Backend
	do func() error
}

func (l *late) WriteAt(vec [][]byte, off int64) error {
	var data []byte
	for _, b := range vec {
		data = append(data, b...)
	}
	err := l.Flush()
	l.do = func() error { return l.Backend.WriteAt([][]byte{data}, off) }
	return err
}

func (l *late) Flush() error {
	err := l.Backend.Flush()
	if l.do != nil {
		err = errors.Join(err, l.do())
		l.do = nil
	}
	return err
}

func TestCrashesCatchesLiars(t *testing.T) {
	for name, wrap := range map[string]func(blk.Backend) blk.Backend{
		"skips flushes":      func(b blk.Backend) blk.Backend { return &liar{Backend: b} },
		"writes after flush": func(b blk.Backend) blk.Backend { return &late{Backend: b} },
	} {
		caught := 0
		for seed := range int64(10) {
			r := record(t)
			if err := blktest.Crashes(r, wrap(r), reopen, seed, 60, 200); err != nil {
				caught++
			}
		}
		if caught < 10 {
			t.Errorf("a disk that %s was caught with %d of 10 seeds", name, caught)
		}
	}
}

// TestCrash checks the recorder itself: what is before a flush is always there, what is after it sometimes.
func TestCrash(t *testing.T) {
	r := record(t)
	one, two := bytes.Repeat([]byte{1}, 512), bytes.Repeat([]byte{2}, 512)
	if err := errors.Join(r.WriteAt([][]byte{one}, 0), r.Flush(), r.WriteAt([][]byte{two, two}, 0)); err != nil {
		t.Fatal(err)
	}
	seen := map[[2]byte]int{}
	rnd := rand.New(rand.NewSource(1))
	for range 1000 {
		image := r.Crash(rnd, r.Position())
		seen[[2]byte{image[0], image[512]}]++
	}
	if len(seen) != 4 || seen[[2]byte{1, 0}] == 0 || seen[[2]byte{2, 0}] == 0 || seen[[2]byte{1, 2}] == 0 || seen[[2]byte{2, 2}] == 0 {
		t.Errorf("the two blocks were %v", seen)
	}
}

func TestRecorderConforms(t *testing.T) {
	blktest.Conform(t, blktest.Disk{Open: func() (blk.Backend, error) {
		m, err := memory.New(1<<20, 512, 1<<20)
		if err != nil {
			return nil, err
		}
		return blktest.Record(m)
	}})
}
