// Package hostdir gives an untrusted guest one directory of the host's, and nothing beside it. It knows of handles, names and
// contents; how requests come is others' business (package devices/share).
//
// # Why there is no way out
//
// A guest names files by handles that this package made, and single names in them. A handle is a descriptor with O_PATH
// of the file itself, not a path, so that it stays with its file whatever is renamed. A name is one component, never "..", and is
// opened with O_NOFOLLOW, so that the host's kernel follows no symbolic link: a link is shown to the guest, which follows it in
// its own tree. There is no moment between a check and a use. os.Root does the same for whole paths, and cannot do what file
// systems need besides: links, temporary files, times, extents, locks.
//
// Contents are reached through /proc/self/fd, whose links lead to the descriptor's file. Only regular files are
// opened, and what has been opened is looked at again: FIFOs, sockets and devices of the host's are names to a guest. It cannot make
// devices, nor set the set-user-ID and set-group-ID bits, which are left out silently, as Linux does for those who may not.
//
// # Owners
//
// Files of the user and group that this process has are shown as root's, those of all others as nobody's (65534). Owners do not
// change: chown to what is shown succeeds. What a guest makes is this process's, with the mode it asks for, whatever the umask.
package hostdir

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Node is a handle of a file. Handles are not used again.
type Node uint64

// Root is the directory itself.
const Root Node = 1

// Options say how a directory is given.
type Options struct {
	// ReadOnly refuses every change, with EROFS. Times of access do not change where this process may have that.
	ReadOnly bool
	// MaxNodes is how many handles there can be; 0 is a third of the descriptors that this process can have, at most 65536.
	MaxNodes int
}

// Dir is a directory that is given. It is safe for concurrent use. Errors are Linux's, as the manual pages have them, and
// besides: EBADF for a handle that there is not, EINVAL for a name that is none, ENFILE if there are too many handles.
type Dir struct {
	options  Options
	uid, gid uint32
	longest  int64 // of a file (RLIMIT_FSIZE): whoever writes more gets a signal

	mu    sync.Mutex
	nodes map[Node]*node
	byID  map[id]Node
	last  Node
}

// id is what a file is known by on the host as long as a descriptor keeps it.
type id struct{ dev, ino uint64 }

// Open opens a directory.
func Open(path string, o Options) (*Dir, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.Faccessat(fd, ".", unix.R_OK|unix.X_OK, 0); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("share %s: %w", path, err)
	}
	d := &Dir{options: o, uid: uint32(os.Geteuid()), gid: uint32(os.Getegid()), longest: math.MaxInt64,
		nodes: map[Node]*node{}, byID: map[id]Node{}}
	if d.options.MaxNodes == 0 {
		var l unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("share %s: %w", path, err)
		}
		d.options.MaxNodes = int(min(l.Cur/3, 65536))
	}
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_FSIZE, &l) == nil && l.Cur <= math.MaxInt64 {
		d.longest = int64(l.Cur)
	}
	if _, _, errno := d.enter(fd, true); errno != 0 {
		return nil, &os.PathError{Op: "stat", Path: path, Err: errno}
	}
	return d, nil
}

// Close closes all descriptors; those that calls still use when they end.
func (d *Dir) Close() error {
	d.mu.Lock()
	var idle []*node
	for h, n := range d.nodes {
		delete(d.nodes, h)
		n.count, n.opens = 0, 0
		if n.users == 0 {
			idle = append(idle, n)
		}
	}
	clear(d.byID)
	d.mu.Unlock()
	var errs []error
	for _, n := range idle {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// Nodes is how many handles there are.
func (d *Dir) Nodes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.nodes)
}

// Lookup finds a name in a directory. The same file has the same handle as long as it is remembered. Errors: ENOENT, ENOTDIR,
// ENAMETOOLONG, EACCES.
func (d *Dir) Lookup(dir Node, name string) (Node, Attr, syscall.Errno) {
	n, errno := d.directory(dir, name)
	if errno != 0 {
		return 0, Attr{}, errno
	}
	defer d.release(n)
	return d.find(n, name)
}

// find is Lookup in a directory that is in use.
func (d *Dir) find(n *node, name string) (Node, Attr, syscall.Errno) {
	fd, err := unix.Openat(n.path, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, Attr{}, errnoOf(err)
	}
	return d.enter(fd, false)
}

// enter makes a handle of a descriptor, which is its own from then on, or finds the one there is.
func (d *Dir) enter(fd int, root bool) (Node, Attr, syscall.Errno) {
	a, who, errno := d.stat(fd)
	if errno != 0 {
		unix.Close(fd)
		return 0, a, errno
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if h, ok := d.byID[who]; ok {
		unix.Close(fd)
		d.nodes[h].count++
		return h, a, 0
	}
	if len(d.nodes) >= d.options.MaxNodes || !root && d.nodes[Root] == nil { // or it is closed
		unix.Close(fd)
		return 0, Attr{}, syscall.ENFILE
	}
	d.last++
	d.nodes[d.last] = &node{path: fd, read: -1, write: -1, id: who, typ: a.Mode & unix.S_IFMT, count: 1}
	d.byID[who] = d.last
	return d.last, a, 0
}

// Forget takes back uses of a handle that Lookup and Make have counted. Root stays.
func (d *Dir) Forget(h Node, count uint64) {
	d.mu.Lock()
	n := d.nodes[h]
	if n == nil || h == Root {
		d.mu.Unlock()
		return
	}
	n.count -= min(count, n.count)
	gone := n.count == 0
	if gone {
		delete(d.nodes, h)
		delete(d.byID, n.id)
		n.opens = 0
	}
	idle := gone && n.users == 0
	d.mu.Unlock()
	if idle {
		n.close()
	}
}
