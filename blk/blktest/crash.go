package blktest

import (
	"bytes"
	"fmt"
	"math/rand"

	"ukvm.dev/blk"
)

// request is one of a workload, with the recorder's positions before and after it.
type request struct {
	off        int64
	data       []byte // what the range is afterwards
	discard    bool   // of no defined content instead
	flush      bool
	start, end int
}

// Crashes runs a random workload on disk, which stands on store, and then opens what crashes at random moments may
// leave of the store. The error tells of a disk that lost something that was written before an acknowledged flush, or
// that holds what was never written there. The same seed does the same, if the disk does. The disk should be small.
func Crashes(store *Recorder, disk blk.Backend, reopen func(image []byte) (blk.Backend, error), seed int64, requests, crashes int) error {
	rnd := rand.New(rand.NewSource(seed))
	i := disk.Info()
	initial := make([]byte, i.Size)
	if err := disk.ReadAt([][]byte{initial}, 0); err != nil {
		return err
	}
	first := store.Position()
	var done []request
	for range requests {
		r, err := oneRequest(rnd, store, disk)
		if err != nil {
			return err
		}
		done = append(done, r)
	}
	last := store.Position()
	for range crashes {
		at := first + rnd.Intn(last-first+1)
		b, err := reopen(store.Crash(rnd, at))
		if err != nil {
			return fmt.Errorf("seed %d: after a crash at %d: %w", seed, at, err)
		}
		got := make([]byte, i.Size)
		err = b.ReadAt([][]byte{got}, 0)
		b.Close()
		if err == nil {
			err = explain(done, initial, got, i.BlockSize, at)
		}
		if err != nil {
			return fmt.Errorf("seed %d: after a crash at %d: %w", seed, at, err)
		}
	}
	return nil
}

func oneRequest(rnd *rand.Rand, store *Recorder, disk blk.Backend) (request, error) {
	i := disk.Info()
	off := rnd.Int63n(i.Size/i.BlockSize) * i.BlockSize
	n := (1 + rnd.Int63n(min(24, (i.Size-off)/i.BlockSize))) * i.BlockSize
	r := request{off: off, data: make([]byte, n), start: store.Position()}
	var err error
	switch rnd.Intn(10) {
	case 0, 1:
		r.flush, r.data = true, nil
		err = disk.Flush()
	case 2:
		err = disk.WriteZeroes(off, n)
	case 3:
		r.discard = true
		err = disk.Discard(off, n)
	default:
		rnd.Read(r.data)
		err = disk.WriteAt(split(rnd, r.data), off)
	}
	r.end = store.Position()
	return r, err
}

// explain tells whether each block of got has a content that a crash may have left there.
func explain(done []request, initial, got []byte, blockSize int64, at int) error {
	flushed := -1 // the last request that was certainly before an acknowledged flush
	for n, r := range done {
		if r.flush && r.end <= at {
			flushed = n
		}
	}
	for off := int64(0); off < int64(len(got)); off += blockSize {
		have := got[off : off+blockSize]
		want, any := initial[off:off+blockSize], false
		ok := false
		for n, r := range done {
			if r.start > at {
				break
			}
			if n > flushed { // from here on older content may have stayed
				ok = ok || any || bytes.Equal(have, want)
			}
			if !r.flush && off >= r.off && off < r.off+int64(len(r.data)) {
				want, any = r.data[off-r.off:][:blockSize], r.discard
			}
		}
		if !ok && !any && !bytes.Equal(have, want) {
			return fmt.Errorf("the block at %d has no content that it had since the last flush", off)
		}
	}
	return nil
}
