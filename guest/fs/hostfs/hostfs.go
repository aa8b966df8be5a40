// Package hostfs is the file system of a directory that the host shares (`ukvm run -v`): package vnode's interfaces, by requests
// to the monitor (hypercall/share.go).
//
// # What is remembered
//
// Contents are never kept but for what is read ahead of a program that reads in order, and nothing that was written is held
// back: when a write returns, the host's kernel has it, and when fsync returns, its disk. Names and attributes are believed
// for Config.Valid, by default a second, as NFS does; opening a file asks anew (close-to-open consistency, RFC 1813 §4.11).
// What this guest changes it sees at once. With a Valid of 0 every look goes to the host.
//
// Locks of flock(2) and fcntl(2) are between programs' files in one guest; the host does not see them.
//
// # Nodes
//
// A node stands for a handle of the monitor's, and the same file is the same node as long as anyone holds it: nodes are
// found by handle through weak pointers. When Go's collector finds that nobody does, the handle is given back with a later request.
//
// # Concurrency
//
// FS.mu guards tables and is never held during a request; it comes before inode.mu. Requests of several goroutines go on at a time.
package hostfs

import (
	"runtime"
	"sync"
	"syscall"
	"time"
	"weak"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

// Caller makes requests, for several goroutines at a time (package sharedev).
type Caller interface {
	Call(q hypercall.ShareRequest, name, name2 string, in, out []byte) hypercall.ShareReply
	Max() int
}

// Config describes a file system.
type Config struct {
	Device   uint64        // stat's st_dev
	ReadOnly bool          // the monitor refuses changes
	Valid    time.Duration // for how long names and attributes are believed
}

// FS is a file system.
type FS struct {
	caller Caller
	config Config
	root   *dir

	mu        sync.Mutex
	nodes     map[uint64]*entry // by handle
	names     map[name]target
	forgotten []hypercall.ShareForgotten

	cleaned chan struct{} // has one when something has been added to forgotten
}

// entry is what is known of a handle.
type entry struct {
	node  weak.Pointer[inode]
	count uint64 // uses that the monitor counts
}

// name is a name in a directory, target what it was found to be. The node is kept.
type name struct {
	dir  uint64
	name string
}

type target struct {
	node  vnode.Node
	until time.Time
}

// Limits of what is remembered.
const (
	maxNames     = 1024
	maxForgotten = 64
)

// cleanWait is how long a request waits for nodes that nobody holds, if the monitor has no room for more.
const cleanWait = 100 * time.Millisecond

var _ vnode.FileSystem = (*FS)(nil)

// New returns the file system that a caller leads to. Errors: those of asking for the root's attributes.
func New(caller Caller, c Config) (*FS, syscall.Errno) {
	fs := &FS{caller: caller, config: c, nodes: map[uint64]*entry{}, names: map[name]target{}, cleaned: make(chan struct{}, 1)}
	r := fs.call(hypercall.ShareRequest{Op: uint32(hypercall.ShareAttr), Node: hypercall.ShareRoot}, "", "", nil, nil)
	if r.Errno != 0 {
		return nil, syscall.Errno(r.Errno)
	}
	fs.root = &dir{inode: inode{fs: fs, handle: hypercall.ShareRoot}}
	fs.root.learn(&r.Attr)
	fs.root.parent = fs.root
	return fs, 0
}

// Root returns the root directory.
func (fs *FS) Root() vnode.Dir { return fs.root }

// Magic numbers (statfs(2)): what a FUSE file system says, which this is most like.
const magic = 0x65735546

// Statfs asks the host.
func (fs *FS) Statfs() vnode.Statfs {
	var b [hypercall.ShareStatSize]byte
	r := fs.call(hypercall.ShareRequest{Op: uint32(hypercall.ShareStatfs), Node: hypercall.ShareRoot}, "", "", nil, b[:])
	s := vnode.Statfs{Type: magic, BlockSize: 4096, ReadOnly: fs.config.ReadOnly}
	if r.Errno == 0 {
		var h hypercall.ShareStat
		h.Get(b[:])
		s.BlockSize, s.Blocks, s.Free, s.Avail, s.Files, s.FilesFree = h.BlockSize, h.Blocks, h.Free, h.Avail, h.Files, h.FilesFree
		s.ReadOnly = s.ReadOnly || h.ReadOnly != 0
	}
	return s
}

// call makes a request, and gives handles back if there are many. If the monitor has too many open, nodes that nobody
// holds any more may be why.
func (fs *FS) call(q hypercall.ShareRequest, name, name2 string, in, out []byte) hypercall.ShareReply {
	r := fs.caller.Call(q, name, name2, in, out)
	fs.forget(maxForgotten)
	if r.Errno == uint32(syscall.ENFILE) {
		fs.dropNames()
		fs.forget(1)
		select {
		case <-fs.cleaned: // that was before
		default:
		}
		runtime.GC() // finds nodes, and cleans up behind them soon
		select {
		case <-fs.cleaned:
		case <-time.After(cleanWait):
		}
		fs.forget(1)
		r = fs.caller.Call(q, name, name2, in, out)
	}
	return r
}

// forget gives handles back if there are at least so many to give.
func (fs *FS) forget(least int) {
	fs.mu.Lock()
	n := len(fs.forgotten)
	if n < least || n == 0 {
		fs.mu.Unlock()
		return
	}
	list := fs.forgotten
	fs.forgotten = nil
	fs.mu.Unlock()
	const size = hypercall.ShareForgottenSize
	b := make([]byte, size*n)
	for i, f := range list {
		f.Put(b[size*i:])
	}
	for most := fs.caller.Max() / size * size; len(b) > 0; b = b[min(most, len(b)):] {
		fs.caller.Call(hypercall.ShareRequest{Op: uint32(hypercall.ShareForget)}, "", "", b[:min(most, len(b))], nil)
	}
}

// dropNames forgets what names lead to.
func (fs *FS) dropNames() {
	fs.mu.Lock()
	clear(fs.names)
	fs.mu.Unlock()
}

// node returns the node of a handle that the monitor has just counted a use of.
func (fs *FS) node(handle uint64, info *hypercall.ShareInfo, parent *dir, as string) vnode.Node {
	fs.mu.Lock()
	e := fs.nodes[handle]
	if e == nil {
		e = &entry{}
		fs.nodes[handle] = e
	}
	e.count++
	if in := e.node.Value(); in != nil {
		fs.mu.Unlock()
		in.learn(info)
		return in.self
	}
	n, in := fs.make(handle, info.Mode)
	if d, ok := n.(*dir); ok {
		d.parent, d.name = parent, as
	}
	in.learn(info)
	e.node = weak.Make(in)
	fs.mu.Unlock()
	runtime.AddCleanup(in, fs.clean, handle)
	return n
}

// clean is called when nobody holds a node any more.
func (fs *FS) clean(handle uint64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	// There may be a new node for the handle meanwhile, which has what the old one counted.
	if e := fs.nodes[handle]; e != nil && e.node.Value() == nil {
		delete(fs.nodes, handle)
		fs.forgotten = append(fs.forgotten, hypercall.ShareForgotten{Node: handle, Count: e.count})
		select {
		case fs.cleaned <- struct{}{}:
		default:
		}
	}
}

// make makes a node for a handle.
func (fs *FS) make(handle uint64, mode uint32) (vnode.Node, *inode) {
	var (
		n  vnode.Node
		in *inode
	)
	switch mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		d := &dir{}
		n, in = d, &d.inode
	case syscall.S_IFREG:
		f := &file{}
		n, in = f, &f.inode
	case syscall.S_IFLNK:
		l := &symlink{}
		n, in = l, &l.inode
	default:
		x := &special{}
		n, in = x, &x.inode
	}
	in.fs, in.handle, in.self = fs, handle, n
	return n, in
}

// remember notes what a name leads to.
func (fs *FS) remember(d *dir, as string, n vnode.Node) {
	if fs.config.Valid <= 0 {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.names) >= maxNames {
		for k := range fs.names { // any one
			delete(fs.names, k)
			break
		}
	}
	fs.names[name{d.handle, as}] = target{n, time.Now().Add(fs.config.Valid)}
}

// recall returns what a name leads to if that is known.
func (fs *FS) recall(d *dir, as string) vnode.Node {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	t, ok := fs.names[name{d.handle, as}]
	if !ok || time.Now().After(t.until) {
		return nil
	}
	return t.node
}

// unname forgets what a name leads to.
func (fs *FS) unname(d *dir, as string) {
	fs.mu.Lock()
	delete(fs.names, name{d.handle, as})
	fs.mu.Unlock()
}
