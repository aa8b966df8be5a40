package posix

import (
	"sync"
	"sync/atomic"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// tree is the tree of files: the root, what is mounted in it, and the process's place in it. It is built when a call
// first needs it (System.fs).
type tree struct {
	once   sync.Once
	root   vnode.Dir
	mounts atomic.Pointer[[]mount]
	mask   *uint32 // umask(2)

	mu    sync.Mutex
	cwd   vnode.Dir
	fifos map[vnode.Node]*pipe // open FIFOs
}

// mount is a file system in the tree.
type mount struct {
	at   vnode.Dir // what it covers; nil for the root
	root vnode.Dir
	fs   vnode.FileSystem
	path string // where, as it was mounted
	kind string // as /proc/filesystems calls it
}

// masked takes from a mode what umask(2) says.
func (s *System) masked(mode uint32) uint32 { return mode &^ atomic.LoadUint32(s.fs().mask) }

// fs returns the tree, built.
func (s *System) fs() *tree {
	s.tree.once.Do(s.buildTree)
	return &s.tree
}

// Mount puts a file system over the directory at path in the guest's tree. kind is its type as /proc/mounts shows it.
// Errors: those of looking path up, ENOTDIR, EBUSY if something is mounted there.
func Mount(path, kind string, fs vnode.FileSystem) syscall.Errno {
	return system.fs().mount(path, kind, fs)
}

func (t *tree) mount(path, kind string, fs vnode.FileSystem) syscall.Errno {
	f, errno := t.walk(t.root, path, walkFollow)
	if errno != 0 {
		return errno
	}
	if f.node == nil {
		return syscall.ENOENT
	}
	d, ok := f.node.(vnode.Dir)
	if !ok {
		return syscall.ENOTDIR
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mountOf(d) != nil {
		return syscall.EBUSY
	}
	mounts := append([]mount(nil), *t.mounts.Load()...)
	mounts = append(mounts, mount{at: d, root: fs.Root(), fs: fs, path: path, kind: kind})
	t.mounts.Store(&mounts)
	return 0
}

// covering returns what is mounted over a node, or the node.
func (t *tree) covering(n vnode.Node) vnode.Node {
	for _, m := range *t.mounts.Load() {
		if m.at != nil && vnode.Node(m.at) == n {
			return m.root
		}
	}
	return n
}

// mountOf returns the mount whose root a node is, or nil.
func (t *tree) mountOf(n vnode.Node) *mount {
	mounts := *t.mounts.Load()
	for i := range mounts {
		if vnode.Node(mounts[i].root) == n {
			return &mounts[i]
		}
	}
	return nil
}

// up returns a directory's parent in the whole tree and its name there; the root is its own. Errors: ENOENT if the
// directory has been removed.
func (t *tree) up(d vnode.Dir) (vnode.Dir, string, syscall.Errno) {
	if m := t.mountOf(d); m != nil {
		if m.at == nil {
			return d, "", 0
		}
		d = m.at
	}
	return d.Up()
}

// parent is up for those who take any answer.
func (t *tree) parent(d vnode.Dir) vnode.Dir {
	p, _, errno := t.up(d)
	if errno != 0 {
		return d
	}
	return p
}

// pathOf returns the absolute path of a directory. Errors: ENOENT if it has been removed.
func (t *tree) pathOf(d vnode.Dir) (string, syscall.Errno) {
	path := ""
	for d != t.root {
		p, name, errno := t.up(d)
		if errno != 0 {
			return "", errno
		}
		path = "/" + name + path
		d = p
	}
	if path == "" {
		return "/", 0
	}
	return path, 0
}

// mountFor returns the mount a node lies in, by its device.
func (t *tree) mountFor(n vnode.Node) *mount {
	device := n.Attr().Dev
	mounts := *t.mounts.Load()
	for i := range mounts {
		if mounts[i].root.Attr().Dev == device {
			return &mounts[i]
		}
	}
	return nil
}

// workDir returns the current directory.
func (t *tree) workDir() vnode.Dir {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cwd
}
