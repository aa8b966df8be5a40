// Package overlay is a disk that shares a base with others: what is written goes to a store of its own, what is not is read from the
// base, which nobody changes. Many guests can have one image so, each for the space of what it has changed.
//
//	store  ┌────────┬─────────────────────┬───────────┬───────────┬──
//	       │ header │ a bit for a cluster │ cluster 0 │ cluster 1 │ …   sparse, where the store is
//	       └────────┴─────────────────────┴───────────┴───────────┴──
//	base                                  │ cluster 0 │ cluster 1 │ …   read-only
//
// Cluster i has a fixed place in the store, so that no damage of the store can make a disk read elsewhere: all that there is
// besides data is one bit each that says whether the cluster has been copied. The store is a blk.Backend: a file, as a rule, with
// its locks and its direct I/O.
//
// # Copying
//
// The first write to a cluster reads it from the base, merges, and writes it whole to the store; then its bit is set in memory. Such writes
// exclude all other requests; reads and writes of what has been copied go on together.
//
// # Crashes
//
// Bits reach the store in Flush only, after the data they stand for: flush the store, write the bits that were set before, flush again.
// A bit is never cleared, so that a block of bits that is written in part is still right. What was acknowledged by a Flush is
// there after a crash; of the rest, each cluster as a whole is the base's or has what was written to it.
package overlay

import (
	"errors"
	"fmt"
	"sync"

	"ukvm.dev/blk"
	"ukvm.dev/internal/pieces"
)

// clusterSize is what is copied at a time, in bytes.
const clusterSize = 64 << 10

// disk is an overlay.
type disk struct {
	store, base blk.Backend
	info        blk.Info
	layout      layout

	gate blk.Gate

	mu    sync.RWMutex // guards bits; for writing while clusters are copied
	bits  []byte
	dirty []bool // by block of bits: set since the last Flush began
}

// Open opens an overlay that Create made. The disk has both from then on, also if there is an error, and closes them. Errors wrap
// blk.ErrCorrupt for a store that is none, or is of another base.
func Open(store, base blk.Backend) (blk.Backend, error) {
	d, err := open(store, base)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("overlay: %w", err), ignoreClosed(store.Close()), ignoreClosed(base.Close()))
	}
	return d, nil
}

func open(store, base blk.Backend) (*disk, error) {
	l, err := layoutOf(store.Info(), base.Info())
	if err != nil {
		return nil, err
	}
	if err := readHeader(store, base, l); err != nil {
		return nil, err
	}
	d := &disk{store: store, base: base, layout: l, bits: make([]byte, l.bitsLen), dirty: make([]bool, l.bitsLen/blockSize)}
	d.info = blk.Info{Size: l.size, BlockSize: l.block, ReadOnly: store.Info().ReadOnly, Granularity: store.Info().Granularity}
	if err := store.ReadAt([][]byte{d.bits}, blockSize); err != nil {
		return nil, err
	}
	for i := l.clusters; i < l.bitsLen*8; i++ {
		if d.copied(i) {
			return nil, fmt.Errorf("cluster %d of %d has been copied: %w", i, l.clusters, blk.ErrCorrupt)
		}
	}
	return d, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, blk.ErrClosed) {
		return nil
	}
	return err
}

func (d *disk) Info() blk.Info { return d.info }

// copied reports whether a cluster is in the store. mu is held.
func (d *disk) copied(cluster int64) bool { return d.bits[cluster/8]&(1<<(cluster%8)) != 0 }

// run is how many of the n bytes at off lie in clusters that are all copied, or all not. mu is held.
func (d *disk) run(off, n int64) (length int64, copied bool) {
	copied = d.copied(off / clusterSize)
	for length < n && d.copied((off+length)/clusterSize) == copied {
		length += clusterSize - (off+length)%clusterSize
	}
	return min(length, n), copied
}

func (d *disk) ReadAt(vec [][]byte, off int64) error {
	n := blk.Len(vec)
	if err := d.gate.Enter(d.info, off, n, false); err != nil {
		return err
	}
	defer d.gate.Leave()
	d.mu.RLock()
	defer d.mu.RUnlock()
	for n > 0 {
		length, copied := d.run(off, n)
		part, rest := pieces.Cut(vec, length)
		var err error
		if copied {
			err = d.store.ReadAt(part, d.layout.data+off)
		} else {
			err = d.base.ReadAt(part, off)
		}
		if err != nil {
			return err
		}
		vec, off, n = rest, off+length, n-length
	}
	return nil
}

func (d *disk) WriteAt(vec [][]byte, off int64) error {
	return d.change(off, blk.Len(vec), func(from, n int64) error {
		part, _ := pieces.Cut(behind(vec, from-off), n)
		return d.store.WriteAt(part, d.layout.data+from)
	}, func(b []byte, from int64) { pieces.Gather(b, behind(vec, from-off)) })
}

// behind is a vector without its first n bytes.
func behind(vec [][]byte, n int64) [][]byte {
	_, rest := pieces.Cut(vec, n)
	return rest
}

func (d *disk) WriteZeroes(off, n int64) error {
	return d.change(off, n, func(from, n int64) error {
		return d.store.WriteZeroes(d.layout.data+from, n)
	}, func(b []byte, _ int64) { clear(b) })
}

// change writes a range. write writes what lies in copied clusters; fill stores what the range has from an offset on.
func (d *disk) change(off, n int64, write func(from, n int64) error, fill func(b []byte, from int64)) error {
	if err := d.gate.Enter(d.info, off, n, true); err != nil {
		return err
	}
	defer d.gate.Leave()
	for n > 0 {
		d.mu.RLock()
		length, copied := d.run(off, n)
		var err error
		if copied {
			err = write(off, length)
		}
		d.mu.RUnlock()
		if !copied {
			length = min(n, clusterSize-off%clusterSize)
			err = d.copyUp(off, length, write, fill)
		}
		if err != nil {
			return err
		}
		off, n = off+length, n-length
	}
	return nil
}

// copyUp writes a part of a cluster, and copies the rest of it from the base unless somebody else has done so meanwhile.
func (d *disk) copyUp(off, n int64, write func(from, n int64) error, fill func(b []byte, from int64)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	cluster := off / clusterSize
	if d.copied(cluster) {
		return write(off, n)
	}
	start := cluster * clusterSize
	b := make([]byte, min(clusterSize, d.layout.size-start))
	if n < int64(len(b)) {
		if err := d.base.ReadAt([][]byte{b}, start); err != nil {
			return err
		}
	}
	fill(b[off-start:][:n], off)
	if err := d.store.WriteAt([][]byte{b}, d.layout.data+start); err != nil {
		return err
	}
	d.bits[cluster/8] |= 1 << (cluster % 8)
	d.dirty[cluster/8/blockSize] = true
	return nil
}

// Discard frees what has been copied; the base's stays.
func (d *disk) Discard(off, n int64) error {
	if err := d.gate.Enter(d.info, off, n, true); err != nil {
		return err
	}
	defer d.gate.Leave()
	d.mu.RLock()
	defer d.mu.RUnlock()
	for n > 0 {
		length, copied := d.run(off, n)
		if copied {
			if err := d.store.Discard(d.layout.data+off, length); err != nil {
				return err
			}
		}
		off, n = off+length, n-length
	}
	return nil
}

func (d *disk) Flush() error { return d.gate.Flush(d.info, d.flush) }

func (d *disk) flush() error {
	blocks := d.takeDirty()
	if err := d.store.Flush(); err != nil {
		return err
	}
	if len(blocks) == 0 {
		return nil
	}
	for i, b := range blocks {
		if err := d.store.WriteAt([][]byte{b}, blockSize+i*blockSize); err != nil {
			return err
		}
	}
	return d.store.Flush()
}

// takeDirty copies the blocks of bits in which some have been set. What they stand for has been written, and is flushed next.
func (d *disk) takeDirty() map[int64][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	blocks := map[int64][]byte{}
	for i, dirty := range d.dirty {
		if dirty {
			blocks[int64(i)] = append([]byte(nil), d.bits[i*blockSize:][:blockSize]...)
			d.dirty[i] = false
		}
	}
	return blocks
}

func (d *disk) Close() error {
	return d.gate.Close(func() error { return errors.Join(d.store.Close(), d.base.Close()) })
}
