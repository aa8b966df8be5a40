// Package block is the border between disks and the file systems on them, in the vocabulary of package blk on the host, but with
// Linux's error numbers. In a guest a driver implements it; on the host, where `ukvm disk` uses the same file systems, a blk.Backend
// does.
package block

import "syscall"

// Info describes a disk; it does not change while the disk is open.
type Info struct {
	Size      int64 // bytes, a multiple of BlockSize
	BlockSize int64 // logical block in bytes: 512 or 4096
	ReadOnly  bool  // every changing request fails with EROFS
}

// Device is a disk or a part of one. Offsets and lengths are in bytes and in whole blocks (else EINVAL), and within the disk (else
// ENXIO). Slices of a vector may be of any length; only their sum counts. They are not memory on a goroutine's stack, which moves.
//
// Every method is safe for concurrent use. Requests under way together have no order; Flush is the only barrier. Errors beside
// those of arguments: EROFS, ENOSPC (the host has no room), EIO.
type Device interface {
	// Info returns the disk's description.
	Info() Info
	// ReadAt fills the whole vector from off; after an error its content is undefined.
	ReadAt(vec [][]byte, off int64) syscall.Errno
	// WriteAt writes the whole vector at off; after an error any part of it may have been written.
	WriteAt(vec [][]byte, off int64) syscall.Errno
	// Flush returns when every change that was acknowledged before the call is durable. Once it has failed it fails for good.
	Flush() syscall.Errno
	// Discard says that the range's content is of no more use; what is read there until it is written is undefined.
	Discard(off, n int64) syscall.Errno
	// WriteZeroes makes the range read as zeroes.
	WriteZeroes(off, n int64) syscall.Errno
}
