// Package blk defines what a disk of a guest stands on: a Backend, a host-side store of bytes at offsets.
package blk

import (
	"errors"
	"fmt"

	"ukvm.dev/internal/pieces"
)

// Errors of a Backend, matched with errors.Is. A guest is told only the number that Errno gives; the sentence is for the
// host's log.
var (
	ErrFull     = errors.New("no room is left for the disk")
	ErrReadOnly = errors.New("disk is read-only")
	ErrRange    = errors.New("range is outside the disk or not in whole blocks")
	ErrClosed   = errors.New("disk is closed")
	ErrLocked   = errors.New("disk is in use by another writer")
	ErrCorrupt  = errors.New("disk image is corrupt")
)

// Info describes a disk; it does not change while the disk is open.
type Info struct {
	Size        int64 // bytes, a multiple of BlockSize
	BlockSize   int64 // logical block in bytes: 512 or 4096
	ReadOnly    bool  // every changing request fails with ErrReadOnly
	Granularity int64 // bytes that a discard frees at once; 0: it is not known to free anything
}

// Backend is a disk's store. Offsets and lengths are in bytes and in whole blocks; a request outside the disk fails with
// ErrRange and changes nothing. Slices of a vector may be of any length, only their sum counts, and may be a guest's
// memory, which changes meanwhile: a backend reads each byte of it once and decides nothing by it.
//
// Every method may be called from several goroutines at once. Requests under way together have no order, and where they
// overlap each byte is from one of them. Flush is the only barrier.
type Backend interface {
	// Info returns the disk's description, after Close too.
	Info() Info
	// ReadAt fills the whole vector from off, or returns an error; the vector's content is then undefined.
	ReadAt(vec [][]byte, off int64) error
	// WriteAt writes the whole vector at off. After an error any part of it may have been written.
	WriteAt(vec [][]byte, off int64) error
	// Flush returns when every change that was acknowledged before the call is durable. Once it has failed it fails for
	// good, since nobody knows what was lost.
	Flush() error
	// Discard says that the range's content is of no more use; what is read there until it is written is undefined, but
	// never another disk's or file's data.
	Discard(off, n int64) error
	// WriteZeroes makes the range read as zeroes.
	WriteZeroes(off, n int64) error
	// Close waits for calls under way; later calls, a second Close too, fail with ErrClosed. It does not flush.
	Close() error
}

// CheckInfo tells whether a description is one that a Backend may have.
func CheckInfo(i Info) error {
	if i.BlockSize != 512 && i.BlockSize != 4096 {
		return fmt.Errorf("block size is %d bytes, not 512 or 4096", i.BlockSize)
	}
	if i.Size <= 0 || i.Size%i.BlockSize != 0 {
		return fmt.Errorf("size of %d bytes is not a positive multiple of the block size of %d", i.Size, i.BlockSize)
	}
	return nil
}

// Check tells whether n bytes at off are whole blocks of the disk; the error is ErrRange. n may be 0.
func (i Info) Check(off, n int64) error {
	// Subtraction, not off+n, which a hostile request could make overflow.
	if off < 0 || n < 0 || off > i.Size || n > i.Size-off || off%i.BlockSize != 0 || n%i.BlockSize != 0 {
		return fmt.Errorf("%d bytes at %d of a disk of %d: %w", n, off, i.Size, ErrRange)
	}
	return nil
}

// Len is the length of a vector in bytes.
func Len(vec [][]byte) int64 { return int64(pieces.Size(vec)) }
