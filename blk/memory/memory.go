// Package memory is a disk in the monitor's memory: sparse, bounded, and gone when it is closed.
package memory

import (
	"fmt"
	"sync"

	"ukvm.dev/blk"
)

// chunkSize is what is allocated at once: small enough for scattered writes, large enough that the map stays small.
const chunkSize = 64 << 10

type disk struct {
	info   blk.Info
	cap    int64 // bytes of chunks, at most
	mu     sync.RWMutex
	chunks map[int64][]byte // by offset/chunkSize; what is absent reads as zeroes
	closed bool
}

// New makes an empty disk of size bytes that takes at most limit bytes of memory, in chunks of 64 KiB; a
// write that needs more fails with blk.ErrFull.
func New(size, blockSize, limit int64) (blk.Backend, error) {
	info := blk.Info{Size: size, BlockSize: blockSize, Granularity: chunkSize}
	if err := blk.CheckInfo(info); err != nil {
		return nil, fmt.Errorf("memory disk: %w", err)
	}
	return &disk{info: info, cap: limit, chunks: map[int64][]byte{}}, nil
}

func (d *disk) Info() blk.Info { return d.info }

func (d *disk) check(off, n int64) error {
	if d.closed {
		return blk.ErrClosed
	}
	return d.info.Check(off, n)
}

func (d *disk) ReadAt(vec [][]byte, off int64) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.check(off, blk.Len(vec)); err != nil {
		return err
	}
	for _, b := range vec {
		for len(b) > 0 {
			in := off % chunkSize
			n := min(int64(len(b)), chunkSize-in)
			if c := d.chunks[off/chunkSize]; c != nil {
				copy(b[:n], c[in:])
			} else {
				clear(b[:n])
			}
			b, off = b[n:], off+n
		}
	}
	return nil
}

func (d *disk) WriteAt(vec [][]byte, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(off, blk.Len(vec)); err != nil {
		return err
	}
	for _, b := range vec {
		for len(b) > 0 {
			in := off % chunkSize
			n := min(int64(len(b)), chunkSize-in)
			c := d.chunks[off/chunkSize]
			if c == nil {
				if int64(len(d.chunks)+1)*chunkSize > d.cap {
					return fmt.Errorf("memory disk is at its cap of %d bytes: %w", d.cap, blk.ErrFull)
				}
				c = make([]byte, chunkSize)
				d.chunks[off/chunkSize] = c
			}
			copy(c[in:], b[:n])
			b, off = b[n:], off+n
		}
	}
	return nil
}

// Flush has nothing to do: the disk lives as long as the process.
func (d *disk) Flush() error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.check(0, 0)
}

// Discard zeroes, so that its memory is free again.
func (d *disk) Discard(off, n int64) error { return d.WriteZeroes(off, n) }

func (d *disk) WriteZeroes(off, n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(off, n); err != nil {
		return err
	}
	for n > 0 {
		in := off % chunkSize
		k := min(n, chunkSize-in)
		if k == chunkSize {
			delete(d.chunks, off/chunkSize)
		} else if c := d.chunks[off/chunkSize]; c != nil {
			clear(c[in : in+k])
		}
		off, n = off+k, n-k
	}
	return nil
}

func (d *disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return blk.ErrClosed
	}
	d.closed, d.chunks = true, nil
	return nil
}
