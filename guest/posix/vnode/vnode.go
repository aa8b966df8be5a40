// Package vnode is the border between the system calls on files (package posix) and the file systems that serve them:
// what an inode can do, in the vocabulary of the calls. Package memfs implements it in memory; a VFS with disks and
// shared directories takes its place or is mounted beside it. It imports nothing but syscall, for error numbers and
// mode bits.
//
// Rules for every implementation:
//
//   - Methods are safe for concurrent use. They may wait for I/O; callers hold no locks that another goroutine's system
//     call could need.
//   - Nodes are comparable (pointers), and the same file is the same Node as long as anyone holds it.
//   - Names are single path components: not empty, not "." or "..", without '/' and NUL, at most NameMax bytes. They
//     are kept only as copies.
//   - A []byte argument belongs to the caller and may lie on its stack, which moves: it is used during the call and on
//     the calling goroutine only, never stored, sent to another goroutine or captured by a closure that escapes.
//   - Errors are Linux's, as the manual page of the system call in question lists them.
package vnode

import "syscall"

// Limits of names and links (limits.h, path_resolution(7)).
const (
	NameMax    = 255
	PathMax    = 4096 // with the terminating NUL
	SymlinkMax = 40   // symbolic links followed in one path
)

// Node is an inode.
type Node interface {
	// Attr returns the attributes.
	Attr() Attr
	// SetAttr changes the attributes that c.Set names, all or none. Errors: EPERM, EROFS, EINVAL, EFBIG, ENOSPC.
	SetAttr(c Change) syscall.Errno
}

// Attr is what stat(2) reports of an inode. Times are nanoseconds since 1970.
type Attr struct {
	Dev, Ino, Rdev             uint64
	Mode                       uint32 // type and permission bits, syscall.S_IF…
	Nlink, UID, GID            uint32
	Size                       int64
	Allocated                  int64 // bytes of storage
	Atime, Mtime, Ctime, Btime int64
}

// Type returns the type bits of the mode.
func (a Attr) Type() uint32 { return a.Mode & syscall.S_IFMT }

// Change is a change of attributes. Every change sets ctime to the present.
type Change struct {
	Set          uint32 // Set bits: which fields count
	Mode         uint32 // permission bits only
	UID, GID     uint32
	Size         int64
	Atime, Mtime int64
}

// Set bits of Change.
const (
	SetMode = 1 << iota
	SetUID
	SetGID
	SetSize // truncate(2); also sets mtime unless SetMtime is there
	SetAtime
	SetMtime
)

// Make says what Dir.Make makes.
type Make struct {
	Mode     uint32 // type and permission bits
	UID, GID uint32
	Rdev     uint64 // of device files
	Target   string // of symbolic links
}

// RenameMode is how Dir.Rename treats an existing target: the flags of renameat2(2).
type RenameMode uint32

// Rename modes.
const (
	RenameReplace   RenameMode = 0
	RenameNoReplace RenameMode = 1
	RenameExchange  RenameMode = 2
)

// Entry is one name of a directory.
type Entry struct {
	Name   string
	Ino    uint64
	Type   uint32 // type bits of the mode
	Cookie uint64 // position after which the next entry is found; stays valid while the directory changes. At most MaxCookie
}

// MaxCookie bounds cookies: positions of directories are cookies plus two (posix/directory.go).
const MaxCookie = 1<<63 - 1 - 2

// Dir is a directory.
type Dir interface {
	Node
	// Lookup finds a name. Errors: ENOENT.
	Lookup(name string) (Node, syscall.Errno)
	// Make makes a file, directory, symbolic link or special file. Errors: EEXIST, ENOENT (the directory has been
	// removed), ENOSPC, EROFS, EPERM.
	Make(name string, m Make) (Node, syscall.Errno)
	// Link adds a name for n, which is a node of the same file system. Errors: those of Make, EPERM for directories,
	// ENOENT if n has lost its last name, EMLINK.
	Link(name string, n Node) syscall.Errno
	// Remove takes a name away: a directory's if dir is set, else another file's. Errors: ENOENT, ENOTDIR, EISDIR,
	// ENOTEMPTY, EBUSY, EROFS.
	Remove(name string, dir bool) syscall.Errno
	// Rename gives a node another name in the directory to, which is of the same file system. Errors as rename(2).
	Rename(name string, to Dir, as string, mode RenameMode) syscall.Errno
	// Entries stores entries that follow the cookie `after` into buf, which is the kernel's memory, and returns how
	// many. after 0 starts; the result 0 means the end.
	Entries(after uint64, buf []Entry) (int, syscall.Errno)
	// Up returns the directory that holds this one and this one's name there; the root returns itself. Errors: ENOENT
	// if this directory has been removed.
	Up() (parent Dir, name string, errno syscall.Errno)
}

// File is a regular file. Offsets are not negative.
type File interface {
	Node
	// ReadAt reads from an offset; 0 bytes without error is the end.
	ReadAt(p []byte, off int64) (int, syscall.Errno)
	// WriteAt writes at an offset. If not all fits, it returns what did; ENOSPC or EFBIG come with 0 bytes only.
	WriteAt(p []byte, off int64) (int, syscall.Errno)
	// Append writes at the end and returns where the end is now.
	Append(p []byte) (n int, end int64, errno syscall.Errno)
	// Allocate is fallocate(2). Errors: ENOSPC, EFBIG, EOPNOTSUPP for modes it does not know.
	Allocate(mode uint32, off, n int64) syscall.Errno
	// Next returns the first offset from off on that holds data or, if hole is set, lies in a hole: lseek(2) with
	// SEEK_DATA and SEEK_HOLE. Errors: ENXIO.
	Next(off int64, hole bool) (int64, syscall.Errno)
	// Sync makes the contents durable.
	Sync() syscall.Errno
}

// Symlink is a symbolic link.
type Symlink interface {
	Node
	Target() string
}

// Holder is a Node with contents that outlive its last name while it is in use.
type Holder interface {
	Node
	// Hold keeps the contents until Release. Errors: ENOENT if they are gone already.
	Hold() syscall.Errno
	Release()
}

// Opener is a File that is told of opens: one for each open description, before anything else is asked about contents, and a
// Close for each that succeeded.
type Opener interface {
	File
	// Open is for writing, too, if write is set. Errors: EACCES, EROFS, ETXTBSY, ESTALE, and the limits of whoever serves it.
	Open(write bool) syscall.Errno
	Close()
}

// Mapper is a File whose pages can be shown to the program: what is written there is in the file at once, and the other way round.
type Mapper interface {
	File
	// Map has n bytes from off on, both multiples of the page size, appear at addresses that it chooses; the file may be
	// shorter. The program may use them once they are mapped there (mmap(2), MAP_FIXED). They stay after Close. Errors: ENODEV if
	// this file cannot be shown, ENOMEM.
	Map(off, n int64, write bool) (addr uintptr, errno syscall.Errno)
	// Unmap takes back what Map has returned for such use.
	Unmap(addr uintptr, write bool)
}

// Syncer is a Dir whose names fsync(2) makes durable.
type Syncer interface {
	Dir
	Sync() syscall.Errno
}

// Temporary is a Dir that can make a file without a name, for O_TMPFILE.
type Temporary interface {
	Dir
	MakeTemporary(m Make) (Node, syscall.Errno)
}

// FileSystem is what can be mounted.
type FileSystem interface {
	Root() Dir
	Statfs() Statfs
}

// Statfs is what statfs(2) reports of a file system.
type Statfs struct {
	Type                int64 // magic number, statfs(2)
	BlockSize           int64
	Blocks, Free, Avail uint64
	Files, FilesFree    uint64
	ReadOnly            bool
}
