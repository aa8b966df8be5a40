package posix

import (
	"strings"
	"sync"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// procFS is /proc (proc(5)), as far as programs in Go read it. Files are made from tables (procfiles.go) and hold text
// that is generated when they are read from the start. There is one process, 1.
type procFS struct {
	sys  *System
	once sync.Once
	top  *procDir
	ino  uint64
	at   int64 // when it was made: all times in it
}

const magicProc = 0x9fa0 // statfs(2)

// procState is what files of /proc keep.
type procState struct {
	mu       sync.Mutex
	bootID   string
	settings map[string]string // what was written to files that only keep it
}

func newProc(s *System) *procFS {
	p := &procFS{sys: s, at: s.env.now()}
	p.top = p.dir(nil, "")
	return p
}

// Root returns the top directory.
func (p *procFS) Root() vnode.Dir { return p.top }

// Statfs says that there is nothing to store things in.
func (p *procFS) Statfs() vnode.Statfs { return vnode.Statfs{Type: magicProc, BlockSize: pageSize} }

// fill makes the tree. It happens at the first look into it.
func (p *procFS) fill() {
	for _, f := range procFiles() {
		dir, name := p.place(f.path)
		dir.add(name, &procFile{procNode: p.node(syscall.S_IFREG | f.permissions()), path: f.path, info: f})
	}
	for _, l := range procLinks() {
		dir, name := p.place(l.path)
		n := procLink{procNode: p.node(syscall.S_IFLNK | 0o777), target: l.target, sys: p.sys}
		if l.jump != nil {
			dir.add(name, &procJump{n, l.jump})
		} else {
			dir.add(name, &n)
		}
	}
	for _, base := range []string{"1", "1/task/1"} {
		d, name := p.place(base + "/fd")
		d.add(name, &procFDs{procDir: procDir{procNode: p.node(syscall.S_IFDIR | 0o500), fs: p, up: d, name: name}})
	}
}

// place returns the directory of a path, which is made, and the last name.
func (p *procFS) place(path string) (dir *procDir, name string) {
	dir = p.top
	for {
		first, rest, more := strings.Cut(path, "/")
		if !more {
			return dir, first
		}
		n, ok := dir.names[first]
		if !ok {
			n = p.dir(dir, first)
			dir.add(first, n)
		}
		dir, path = n.(*procDir), rest
	}
}

func (p *procFS) dir(up *procDir, name string) *procDir {
	return &procDir{procNode: p.node(syscall.S_IFDIR | 0o555), fs: p, up: up, name: name}
}

func (p *procFS) node(mode uint32) procNode {
	p.ino++
	return procNode{vnode.Attr{
		Dev: deviceProc, Ino: p.ino, Mode: mode, Nlink: 1, Atime: p.at, Mtime: p.at, Ctime: p.at, Btime: p.at,
	}}
}

// procNode is a node that does not change.
type procNode struct{ attr vnode.Attr }

func (n *procNode) Attr() vnode.Attr { return n.attr }

func (n *procNode) SetAttr(c vnode.Change) syscall.Errno {
	if c.Set&^vnode.SetSize == 0 {
		return 0 // O_TRUNC on a setting
	}
	return syscall.EPERM
}

// procDir is a directory.
type procDir struct {
	procNode
	fs    *procFS
	up    *procDir // nil for the top
	name  string
	names map[string]vnode.Node
	order []string
}

var _ vnode.Dir = (*procDir)(nil)

func (d *procDir) add(name string, n vnode.Node) {
	if d.names == nil {
		d.names = make(map[string]vnode.Node)
	}
	d.names[name] = n
	d.order = append(d.order, name)
}

// Lookup finds a name.
func (d *procDir) Lookup(name string) (vnode.Node, syscall.Errno) {
	d.fs.once.Do(d.fs.fill)
	if n, ok := d.names[name]; ok {
		return n, 0
	}
	return nil, syscall.ENOENT
}

// Entries lists the names in the order of the tables; cookies are positions.
func (d *procDir) Entries(after uint64, buf []vnode.Entry) (n int, errno syscall.Errno) {
	d.fs.once.Do(d.fs.fill)
	for i := after; i < uint64(len(d.order)) && n < len(buf); i++ {
		a := d.names[d.order[i]].Attr()
		buf[n] = vnode.Entry{Name: d.order[i], Ino: a.Ino, Type: a.Type(), Cookie: i + 1}
		n++
	}
	return n, 0
}

// Up returns the directory above.
func (d *procDir) Up() (vnode.Dir, string, syscall.Errno) {
	if d.up == nil {
		return d, "", 0
	}
	return d.up, d.name, 0
}

// Make, Link, Remove and Rename are refused as Linux refuses them here.

func (d *procDir) Make(name string, m vnode.Make) (vnode.Node, syscall.Errno) {
	return nil, syscall.ENOENT
}

func (d *procDir) Link(name string, n vnode.Node) syscall.Errno { return syscall.EPERM }

func (d *procDir) Remove(name string, dir bool) syscall.Errno { return syscall.EPERM }

func (d *procDir) Rename(name string, to vnode.Dir, as string, mode vnode.RenameMode) syscall.Errno {
	return syscall.EPERM
}

// procLink is a symbolic link with a fixed or computed target.
type procLink struct {
	procNode
	target func(s *System) string
	sys    *System
}

// Target returns where the link points.
func (l *procLink) Target() string { return l.target(l.sys) }

// procJump is a link that leads to a node.
type procJump struct {
	procLink
	to func(s *System) (vnode.Node, syscall.Errno)
}

var _ magicLink = (*procJump)(nil)

func (l *procJump) jump() (vnode.Node, syscall.Errno) { return l.to(l.sys) }

// procFile is a file with generated contents.
type procFile struct {
	procNode
	path string
	info procInfo
}

var _ opener = (*procFile)(nil)

func (f *procFile) open(s *System, flags uint32) (opened, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY && f.info.store == nil {
		return opened{}, syscall.EACCES
	}
	return opened{object: &generatedFile{Node: f, file: f, sys: s}}, 0
}

// generatedFile is an open procFile. Its text is made anew whenever it is read from the start.
type generatedFile struct {
	vnode.Node
	file *procFile
	sys  *System
	mu   sync.Mutex
	text string
}

var (
	_ positioned = (*generatedFile)(nil)
	_ seeker     = (*generatedFile)(nil)
)

func (o *generatedFile) ready() *readiness { return nil }

func (o *generatedFile) close(d *description) {}

func (o *generatedFile) read(d *description, p []byte) (int, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, errno := o.readAt(p, d.pos)
	d.pos += int64(n)
	return n, errno
}

func (o *generatedFile) readAt(p []byte, off int64) (int, syscall.Errno) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if off == 0 {
		o.text = o.file.info.show(o.sys)
	}
	if off >= int64(len(o.text)) {
		return 0, 0
	}
	return copy(p, o.text[off:]), 0
}

func (o *generatedFile) write(d *description, p []byte) (int, syscall.Errno) { return o.writeAt(p, 0) }

func (o *generatedFile) writeAt(p []byte, off int64) (int, syscall.Errno) {
	if errno := o.file.info.store(o.sys, strings.TrimSpace(string(p))); errno != 0 {
		return 0, errno
	}
	return len(p), 0
}

func (o *generatedFile) seek(d *description, off int64, whence int) (int64, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch whence {
	case seekSet:
	case seekCur:
		off += d.pos
	default:
		return 0, syscall.EINVAL
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	d.pos = off
	return off, 0
}
