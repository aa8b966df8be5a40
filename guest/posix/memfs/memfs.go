// Package memfs is a file system in memory: the writable root of a guest. It serves package vnode's interfaces.
//
// # Memory
//
// Contents lie on Go's heap in chunks of 64 KiB, which are made when they are first written: files are sparse. A file
// may have a base, a piece of memory that is only read (a file of the --copy archive); a chunk of it is copied when it
// is first written. Everything made here is charged against a limit: chunks by their size, each inode with InodeCost
// (inode, name and directory entry). What does not fit is ENOSPC. A base is not charged, since it is there anyway.
//
// # Concurrency
//
// Lock order: FS.mu (all directories: entries, parents, link counts), then inode.mu (attributes and contents of one
// inode; two inodes only in the order directory, child). No method waits for anything but these.
//
// # Not supported
//
// Access times change with utimensat(2) only (noatime). There are no extended attributes, quotas or permission checks:
// the guest has one user, root.
package memfs

import (
	"sync"
	"sync/atomic"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// InodeCost is what each inode is charged in bytes.
const InodeCost = 1024

const (
	blockSize = 4096
	magic     = 0x01021994 // TMPFS_MAGIC, statfs(2)
)

// Config is how a file system is made.
type Config struct {
	Device uint64       // stat's st_dev
	Limit  int64        // bytes that may be charged
	Now    func() int64 // ns since 1970
}

// FS is a file system.
type FS struct {
	device uint64
	limit  int64
	now    func() int64
	used   atomic.Int64
	inodes atomic.Int64
	ino    atomic.Uint64

	mu   sync.Mutex
	root *dir
}

var _ vnode.FileSystem = (*FS)(nil)

// New returns a file system with an empty root directory.
func New(c Config) *FS {
	fs := &FS{device: c.Device, limit: c.Limit, now: c.Now}
	fs.root = &dir{}
	fs.root.init(fs, vnode.Make{Mode: syscall.S_IFDIR | 0o755})
	fs.root.nlink = 2
	fs.root.parent = fs.root
	fs.charge(InodeCost)
	fs.inodes.Add(1)
	return fs
}

// Root returns the root directory.
func (fs *FS) Root() vnode.Dir { return fs.root }

// Statfs reports limit and use; inodes are counted as if the rest of the limit went to them.
func (fs *FS) Statfs() vnode.Statfs {
	free := uint64(max(0, fs.limit-fs.used.Load()))
	inodes := uint64(fs.inodes.Load())
	return vnode.Statfs{
		Type: magic, BlockSize: blockSize,
		Blocks: uint64(fs.limit) / blockSize, Free: free / blockSize, Avail: free / blockSize,
		Files: inodes + free/InodeCost, FilesFree: free / InodeCost,
	}
}

// charge takes n bytes from what may be used; it reports whether they were there. Negative n gives back.
func (fs *FS) charge(n int64) bool {
	if fs.used.Add(n) > fs.limit && n > 0 {
		fs.used.Add(-n)
		return false
	}
	return true
}

// make makes a node without names. Its cost is charged.
func (fs *FS) make(m vnode.Make) (n node, errno syscall.Errno) {
	if !fs.charge(InodeCost) {
		return nil, syscall.ENOSPC
	}
	fs.inodes.Add(1)
	switch m.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		n = &file{}
	case syscall.S_IFDIR:
		n = &dir{}
	case syscall.S_IFLNK:
		n = &symlink{target: m.Target}
	default:
		n = &special{}
	}
	n.base().init(fs, m)
	return n, 0
}
