package blktest

import (
	"math/rand"
	"sync"

	"ukvm.dev/blk"
)

// event is one change of a disk, or an acknowledged flush.
type event struct {
	off   int64
	data  []byte // what was written; zeroes for a discard
	loose bool   // of each block it is never certain that it was written: a discard, or a request that failed
	flush bool   // all before it, but what is loose, is durable
}

// Recorder passes requests on to a disk one at a time, and keeps every change and every acknowledged flush in order, so
// that it can say what a crash may leave. It is safe for concurrent use; it keeps all data in memory.
type Recorder struct {
	blk.Backend
	initial []byte
	mu      sync.Mutex
	events  []event
}

// Record starts to record a disk.
func Record(b blk.Backend) (*Recorder, error) {
	r := &Recorder{Backend: b, initial: make([]byte, b.Info().Size)}
	if err := b.ReadAt([][]byte{r.initial}, 0); err != nil {
		return nil, err
	}
	return r, nil
}

// change does a request and records it, unless it was refused before it could change anything.
func (r *Recorder) change(off, n int64, data []byte, discard bool, do func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := do()
	if i := r.Info(); i.Check(off, n) == nil && n > 0 {
		r.events = append(r.events, event{off: off, data: data, loose: discard || err != nil})
	}
	return err
}

// WriteAt records a copy of the data, and writes that copy.
func (r *Recorder) WriteAt(vec [][]byte, off int64) error {
	var data []byte
	for _, b := range vec {
		data = append(data, b...)
	}
	return r.change(off, int64(len(data)), data, false, func() error { return r.Backend.WriteAt([][]byte{data}, off) })
}

// WriteZeroes is recorded as a write.
func (r *Recorder) WriteZeroes(off, n int64) error {
	return r.change(off, n, make([]byte, max(0, min(n, r.Info().Size))), false, func() error { return r.Backend.WriteZeroes(off, n) })
}

// Discard is recorded as zeroes that may or may not be there, however often the disk is flushed.
func (r *Recorder) Discard(off, n int64) error {
	return r.change(off, n, make([]byte, max(0, min(n, r.Info().Size))), true, func() error { return r.Backend.Discard(off, n) })
}

// Flush is recorded if the disk acknowledges it.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.Backend.Flush()
	if err == nil {
		r.events = append(r.events, event{flush: true})
	}
	return err
}

// Position is how many events there are: a moment at which a crash may come.
func (r *Recorder) Position() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// Crash makes a content that a crash at a position may leave: all that was written before the last flush that was
// acknowledged until then, and of what came later any blocks, chosen by rnd. A block is written whole or not at all.
func (r *Recorder) Crash(rnd *rand.Rand, position int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events[:position]
	durable := position
	for durable > 0 && !events[durable-1].flush {
		durable--
	}
	// Some crashes lose nearly all that may be lost, some nearly nothing.
	keep := rnd.Float64()
	image := append([]byte(nil), r.initial...)
	bs := r.Info().BlockSize
	for n, e := range events {
		for i := int64(0); i < int64(len(e.data)); i += bs {
			if n < durable && !e.loose || rnd.Float64() < keep {
				copy(image[e.off+i:], e.data[i:i+bs])
			}
		}
	}
	return image
}
