package overlay

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"ukvm.dev/blk"
)

// The header is the first block of a store, little-endian:
//
//	 0  magic           "UKVMOVL\n"
//	 8  version         uint32, 1
//	12  cluster size    uint32, bytes
//	16  size            uint64, bytes, of the base
//	24  block size      uint32, bytes, of the disk
//	28  0               uint32
//	32  fingerprint     32 bytes, of the base
//	64  CRC-32C         uint32, of all that is before it
//	68  zeroes
const (
	magic    = "UKVMOVL\n"
	version  = 1
	sumAt    = 64
	headerIs = sumAt + 4

	// blockSize is the size of the header, and of what is written of bits at a time.
	blockSize = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// layout is where things are in a store.
type layout struct {
	size     int64 // of the disk
	block    int64 // its block size
	clusters int64
	bitsLen  int64 // bytes of bits, in whole blocks
	data     int64 // where cluster 0 is
	length   int64 // of the store
}

// Size is how long a store must be for a base, in bytes.
func Size(base blk.Info) int64 { return layoutFor(base.Size, base.BlockSize).length }

func layoutFor(size, block int64) layout {
	l := layout{size: size, block: block, clusters: (size + clusterSize - 1) / clusterSize}
	l.bitsLen = (l.clusters + 8*blockSize - 1) / (8 * blockSize) * blockSize
	l.data = (blockSize + l.bitsLen + clusterSize - 1) / clusterSize * clusterSize
	l.length = l.data + l.clusters*clusterSize
	return l
}

// maxSize bounds a base, so that its bits are few enough to be kept in memory: 16 TiB are 32 MiB of bits.
const maxSize = 16 << 40

// layoutOf is the layout of a store for a base, if that fits.
func layoutOf(store, base blk.Info) (layout, error) {
	block := max(store.BlockSize, base.BlockSize)
	switch {
	case !base.ReadOnly:
		return layout{}, fmt.Errorf("the base can be written to: everybody who shares it must have it read-only: %w", blk.ErrRange)
	case base.Size > maxSize:
		return layout{}, fmt.Errorf("the base has %d bytes, more than %d: %w", base.Size, int64(maxSize), blk.ErrRange)
	case base.Size%block != 0:
		return layout{}, fmt.Errorf("the base's %d bytes are no whole blocks of %d bytes, as the store has them: %w", base.Size, block, blk.ErrRange)
	}
	l := layoutFor(base.Size, block)
	if store.Size < l.length {
		return layout{}, fmt.Errorf("the store has %d bytes; for this base it takes %d: %w", store.Size, l.length, blk.ErrCorrupt)
	}
	return l, nil
}

// header is a header for a base.
func header(base blk.Backend, l layout) ([]byte, error) {
	sum, err := fingerprint(base)
	if err != nil {
		return nil, err
	}
	b := make([]byte, blockSize)
	le := binary.LittleEndian
	copy(b, magic)
	le.PutUint32(b[8:], version)
	le.PutUint32(b[12:], clusterSize)
	le.PutUint64(b[16:], uint64(l.size))
	le.PutUint32(b[24:], uint32(l.block))
	copy(b[32:], sum[:])
	le.PutUint32(b[sumAt:], crc32.Checksum(b[:sumAt], castagnoli))
	return b, nil
}

// readHeader checks that a store is an overlay of a base.
func readHeader(store, base blk.Backend, l layout) error {
	b := make([]byte, blockSize)
	if err := store.ReadAt([][]byte{b}, 0); err != nil {
		return err
	}
	le := binary.LittleEndian
	switch {
	case string(b[:len(magic)]) != magic:
		return fmt.Errorf("this is no overlay: %w", blk.ErrCorrupt)
	case le.Uint32(b[8:]) != version:
		return fmt.Errorf("this is an overlay of version %d; version %d can be read: %w", le.Uint32(b[8:]), version, blk.ErrCorrupt)
	case le.Uint32(b[sumAt:]) != crc32.Checksum(b[:sumAt], castagnoli):
		return fmt.Errorf("the header's checksum is wrong: %w", blk.ErrCorrupt)
	case le.Uint64(b[16:]) != uint64(l.size):
		return fmt.Errorf("this is an overlay of a base of %d bytes, and this one has %d: %w", le.Uint64(b[16:]), l.size, blk.ErrCorrupt)
	}
	want, err := header(base, l)
	if err != nil {
		return err
	}
	if !bytes.Equal(b[:headerIs], want[:headerIs]) {
		return fmt.Errorf("this is an overlay of another base: %w", blk.ErrCorrupt)
	}
	return nil
}

// samples is how many blocks of the base its fingerprint looks at.
const samples = 32

// fingerprint tells bases apart: by their size, and by blocks all over them. It does not see every change, which nobody may make.
func fingerprint(base blk.Backend) (sum [sha256.Size]byte, err error) {
	size := base.Info().Size
	h := sha256.New()
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(size))
	h.Write(n[:])
	b := make([]byte, min(blockSize, size))
	last := size - int64(len(b))
	for i := range int64(samples) {
		// In floating point nothing overflows; blocks need only be spread.
		off := int64(math.Floor(float64(last)*float64(i)/(samples-1))) / blockSize * blockSize
		if err := base.ReadAt([][]byte{b}, min(off, last)); err != nil {
			return sum, err
		}
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// Create makes of a store an overlay of a base that has nothing of its own. It is
// durable when Create returns. Both stay the caller's.
func Create(store, base blk.Backend) error {
	l, err := layoutOf(store.Info(), base.Info())
	if err != nil {
		return fmt.Errorf("create overlay: %w", err)
	}
	b, err := header(base, l)
	if err != nil {
		return fmt.Errorf("create overlay: %w", err)
	}
	if err := store.WriteZeroes(blockSize, l.bitsLen); err != nil {
		return fmt.Errorf("create overlay: %w", err)
	}
	if err := store.WriteAt([][]byte{b}, 0); err != nil {
		return fmt.Errorf("create overlay: %w", err)
	}
	if err := store.Flush(); err != nil {
		return fmt.Errorf("create overlay: %w", err)
	}
	return nil
}
