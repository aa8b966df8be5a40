package hostdir

import (
	"math"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// identity is what makes a file the same file. As each node keeps its inode, the host cannot use the number again.
type identity struct{ dev, ino uint64 }

// node is an inode that is remembered.
type node struct {
	handle Node
	id     identity
	kind   uint32 // S_IF bits, which never change
	path   int    // O_PATH

	// Guarded by Dir.mu.
	count uint64       // of Lookup and Make, less what has been forgotten; 0: not in the maps any more
	users int          // calls under way
	opens int          // of Open, less Done
	file  *description // contents; also without opens if it could not be opened again (Make)
	lock  *description // what flock(2) locked; perhaps the same

	position sync.Mutex // held while the file offset of a description matters
	locking  sync.Mutex // held during Lock
}

// description is an open file description of a node.
type description struct {
	fd    int // -1: still to be made
	write bool
	refs  int // guarded by Dir.mu: of node.file, node.lock and calls under way
}

// hold finds a node and keeps it during a call; release lets it go.
func (d *Dir) hold(h Node) (*node, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[h]
	if n == nil || d.closed {
		return nil, syscall.ESTALE
	}
	n.users++
	d.calls++
	return n, 0
}

// change is hold for what changes something.
func (d *Dir) change(h Node) (*node, syscall.Errno) {
	if d.readOnly {
		return nil, syscall.EROFS
	}
	return d.hold(h)
}

func (d *Dir) release(n *node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n.users--
	if n.count == 0 && n.users == 0 {
		unix.Close(n.path)
	}
	if d.calls--; d.calls == 0 {
		d.idle.Broadcast()
	}
}

// dropLocked forgets a node. The caller holds mu.
func (d *Dir) dropLocked(n *node) {
	n.count = 0
	delete(d.nodes, n.handle)
	delete(d.byID, n.id)
	d.unrefLocked(&n.file)
	d.unrefLocked(&n.lock)
	if n.users == 0 {
		unix.Close(n.path)
	}
}

// unrefLocked takes back a reference to a description. The caller holds mu.
func (d *Dir) unrefLocked(p **description) {
	s := *p
	if s == nil {
		return
	}
	*p = nil
	if s.refs--; s.refs == 0 {
		if s.fd >= 0 {
			unix.Close(s.fd)
		}
		d.extra--
	}
}

// reserve sees that there is room for a node before a file is made for it; cancel gives the room back.
func (d *Dir) reserve() syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.roomLocked() {
		return syscall.ENFILE
	}
	d.reserved++
	return 0
}

func (d *Dir) cancel() {
	d.mu.Lock()
	d.reserved--
	d.mu.Unlock()
}

// roomLocked reports whether there can be another node. The root is not counted. The caller holds mu.
func (d *Dir) roomLocked() bool { return len(d.nodes)-1+d.reserved < d.maxNodes }

// remember makes the descriptor fd, which it takes over, a node, or finds the one that the file has.
func (d *Dir) remember(fd int, reserved bool) (*node, Attr, syscall.Errno) {
	st, e := statx(fd)
	if e != 0 {
		unix.Close(fd)
		return nil, Attr{}, e
	}
	id := identityOf(&st)
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.byID[id]
	switch {
	case n != nil:
		unix.Close(fd)
		if n.count < math.MaxUint64 {
			n.count++
		}
	case !reserved && !d.roomLocked():
		unix.Close(fd)
		return nil, Attr{}, syscall.ENFILE
	default:
		d.last++
		n = &node{handle: d.last, id: id, kind: uint32(st.Mode) & syscall.S_IFMT, path: fd, count: 1}
		d.nodes[n.handle], d.byID[id] = n, n
	}
	return n, d.attr(&st), 0
}

// Nodes is how many Nodes there are, the root included.
func (d *Dir) Nodes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.nodes)
}

// Lookup finds a name in a directory and adds 1 to the count of what it finds; a file that is remembered has the Node that
// it had. Symbolic links are not followed. Errors: those of open(2), EINVAL and ENAMETOOLONG for names, ENFILE.
func (d *Dir) Lookup(dir Node, name string) (Node, Attr, syscall.Errno) {
	if e := checkName(name); e != 0 {
		return 0, Attr{}, e
	}
	parent, e := d.hold(dir)
	if e != 0 {
		return 0, Attr{}, e
	}
	defer d.release(parent)
	fd, e := openat(parent.path, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if e != 0 {
		return 0, Attr{}, e
	}
	n, a, e := d.remember(fd, false)
	if e != 0 {
		return 0, Attr{}, e
	}
	return n.handle, a, 0
}

// Forget takes count, or what is left, back from a Node's. At 0 the Node is gone, with its Opens and its lock.
func (d *Dir) Forget(h Node, count uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[h]
	if n == nil || h == Root || d.closed {
		return
	}
	if n.count -= min(count, n.count); n.count == 0 {
		d.dropLocked(n)
	}
}
