package memfs

import (
	"slices"
	"strings"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// dir is a directory. FS.mu guards all but the inode's own fields. Entries stand in the order in which they were made,
// with rising cookies, so that a reader can go on from a cookie whatever has changed since: those removed leave a gap
// until the list is packed, which keeps cookies.
type dir struct {
	inode
	parent  *dir   // itself for the root
	name    string // in parent
	list    []entry
	index   map[string]int // position in list, by name; nil while the directory is small
	dead    int            // removed entries in list
	cookies uint64
	removed bool
}

type entry struct {
	name   string
	node   node // nil if removed
	cookie uint64
}

const indexFrom = 16 // entries from which on a directory has an index

var (
	_ vnode.Dir       = (*dir)(nil)
	_ vnode.Temporary = (*dir)(nil)
)

// Attr returns the attributes; the size grows with the entries.
func (d *dir) Attr() vnode.Attr {
	d.fs.mu.Lock()
	size := int64(20 * (len(d.list) - d.dead + 2))
	d.fs.mu.Unlock()
	a := d.inode.Attr()
	a.Size = size
	return a
}

// find returns the position of a name, or -1.
func (d *dir) findLocked(name string) int {
	if d.index != nil {
		if i, ok := d.index[name]; ok {
			return i
		}
		return -1
	}
	for i := range d.list {
		if d.list[i].node != nil && d.list[i].name == name {
			return i
		}
	}
	return -1
}

// addLocked enters a name that is not there. The name is copied: the caller's may be part of a long path.
func (d *dir) addLocked(name string, n node) {
	d.cookies++
	d.list = append(d.list, entry{strings.Clone(name), n, d.cookies})
	i := len(d.list) - 1
	switch {
	case d.index != nil:
		d.index[d.list[i].name] = i
	case len(d.list)-d.dead >= indexFrom:
		d.reindexLocked()
	}
	if c, ok := n.(*dir); ok {
		c.parent, c.name = d, d.list[i].name
		d.link(1) // its ".."
	}
	d.modified()
}

// cutLocked takes the entry at position i away.
func (d *dir) cutLocked(i int) {
	if d.index != nil {
		delete(d.index, d.list[i].name)
	}
	if _, ok := d.list[i].node.(*dir); ok {
		d.link(-1)
	}
	d.list[i] = entry{cookie: d.list[i].cookie}
	if d.dead++; d.dead > 16 && d.dead > len(d.list)/2 {
		d.list = slices.DeleteFunc(d.list, func(e entry) bool { return e.node == nil })
		d.dead = 0
		d.reindexLocked()
	}
	d.modified()
}

func (d *dir) reindexLocked() {
	d.index = nil
	if len(d.list)-d.dead < indexFrom {
		return
	}
	d.index = make(map[string]int, len(d.list))
	for i := range d.list {
		if d.list[i].node != nil {
			d.index[d.list[i].name] = i
		}
	}
}

func (d *dir) emptyLocked() bool { return len(d.list) == d.dead }

// Lookup finds a name.
func (d *dir) Lookup(name string) (vnode.Node, syscall.Errno) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	i := d.findLocked(name)
	if i < 0 {
		return nil, syscall.ENOENT
	}
	return d.list[i].node, 0
}

// Make makes a node.
func (d *dir) Make(name string, m vnode.Make) (vnode.Node, syscall.Errno) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	switch {
	case d.removed:
		return nil, syscall.ENOENT
	case d.findLocked(name) >= 0:
		return nil, syscall.EEXIST
	}
	n, errno := d.fs.make(d.inherit(m))
	if errno != 0 {
		return nil, errno
	}
	n.base().nlink = 1
	if _, ok := n.(*dir); ok {
		n.base().nlink = 2 // its name and its "."
	}
	d.addLocked(name, n)
	return n, 0
}

// MakeTemporary makes a node without a name. It goes when its holders do; the caller holds it at once.
func (d *dir) MakeTemporary(m vnode.Make) (vnode.Node, syscall.Errno) {
	n, errno := d.fs.make(d.inherit(m))
	if errno != 0 {
		return nil, errno
	}
	n.base().linkable = true
	return n, 0
}

// inherit gives what is made in a directory with the set-group-ID bit its group, and directories the bit (inode(7)).
func (d *dir) inherit(m vnode.Make) vnode.Make {
	d.inode.mu.RLock()
	defer d.inode.mu.RUnlock()
	if d.mode&syscall.S_ISGID != 0 {
		m.GID = d.gid
		if m.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			m.Mode |= syscall.S_ISGID
		}
	}
	return m
}

// Link adds a name.
func (d *dir) Link(name string, n vnode.Node) syscall.Errno {
	c, ok := n.(node)
	if !ok || c.base().fs != d.fs {
		return syscall.EXDEV
	}
	if _, ok := c.(*dir); ok {
		return syscall.EPERM
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	switch {
	case d.removed:
		return syscall.ENOENT
	case d.findLocked(name) >= 0:
		return syscall.EEXIST
	}
	in := c.base()
	in.mu.Lock()
	ok = in.nlink > 0 || in.linkable && !in.gone
	if ok {
		in.linkable = false
		in.nlink++
		in.ctime = in.fs.now()
	}
	in.mu.Unlock()
	if !ok {
		return syscall.ENOENT
	}
	d.addLocked(name, c)
	return 0
}

// Remove takes a name away.
func (d *dir) Remove(name string, isDir bool) syscall.Errno {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	i := d.findLocked(name)
	if i < 0 {
		return syscall.ENOENT
	}
	n := d.list[i].node
	c, ok := n.(*dir)
	switch {
	case ok && !isDir:
		return syscall.EISDIR
	case !ok && isDir:
		return syscall.ENOTDIR
	case ok && !c.emptyLocked():
		return syscall.ENOTEMPTY
	}
	d.cutLocked(i)
	unname(n)
	return 0
}

// unname takes a name from a node that is in no directory's list under it any more.
func unname(n node) {
	if c, ok := n.(*dir); ok {
		c.removed = true
		c.link(-2)
	} else {
		n.base().link(-1)
	}
	drop(n)
}

// Entries lists names after a cookie.
func (d *dir) Entries(after uint64, buf []vnode.Entry) (n int, errno syscall.Errno) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	i, _ := slices.BinarySearchFunc(d.list, after+1, func(e entry, c uint64) int {
		if e.cookie < c {
			return -1
		}
		return int(min(e.cookie-c, 1))
	})
	for ; i < len(d.list) && n < len(buf); i++ {
		if e := &d.list[i]; e.node != nil {
			b := e.node.base()
			buf[n] = vnode.Entry{Name: e.name, Ino: b.ino, Type: b.typ, Cookie: e.cookie}
			n++
		}
	}
	return n, 0
}

// Up returns the parent and the name there.
func (d *dir) Up() (vnode.Dir, string, syscall.Errno) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if d.removed {
		return nil, "", syscall.ENOENT
	}
	return d.parent, d.name, 0
}
