package hostfs

import (
	"syscall"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

// dir is a directory. Where it is was true when it was last looked up; renames by this guest are followed.
type dir struct {
	inode
	parent *dir   // inode.mu
	name   string // inode.mu; "" if this guest has removed it
}

var (
	_ vnode.Temporary = (*dir)(nil)
	_ vnode.Syncer    = (*dir)(nil)
)

// Lookup finds a name.
func (d *dir) Lookup(name string) (vnode.Node, syscall.Errno) {
	if n := d.fs.recall(d, name); n != nil {
		return n, 0
	}
	q := hypercall.ShareRequest{Op: uint32(hypercall.ShareLookup), Node: d.handle}
	r := d.fs.call(q, name, "", nil, nil)
	if r.Errno != 0 {
		return nil, syscall.Errno(r.Errno)
	}
	n := d.fs.node(r.Node, &r.Attr, d, name)
	d.fs.remember(d, name, n)
	return n, 0
}

// Make makes a node.
func (d *dir) Make(name string, m vnode.Make) (vnode.Node, syscall.Errno) {
	q := hypercall.ShareRequest{Op: uint32(hypercall.ShareMake), Node: d.handle, Mode: m.Mode}
	r := d.fs.call(q, name, m.Target, nil, nil)
	if r.Errno != 0 {
		return nil, syscall.Errno(r.Errno)
	}
	d.doubt()
	n := d.fs.node(r.Node, &r.Attr, d, name)
	d.fs.remember(d, name, n)
	return n, 0
}

// MakeTemporary makes a file without a name.
func (d *dir) MakeTemporary(m vnode.Make) (vnode.Node, syscall.Errno) {
	q := hypercall.ShareRequest{Op: uint32(hypercall.ShareMake), Node: d.handle, Mode: m.Mode}
	r := d.fs.call(q, "", "", nil, nil)
	if r.Errno != 0 {
		return nil, syscall.Errno(r.Errno)
	}
	return d.fs.node(r.Node, &r.Attr, d, ""), 0
}

// Link adds a name.
func (d *dir) Link(name string, n vnode.Node) syscall.Errno {
	in := d.fs.base(n)
	if in == nil {
		return syscall.EXDEV
	}
	q := hypercall.ShareRequest{Op: uint32(hypercall.ShareLink), Node: d.handle, Other: in.handle}
	r := d.fs.call(q, name, "", nil, nil)
	if r.Errno == 0 {
		d.doubt()
		in.doubt()
		d.fs.remember(d, name, n)
	}
	return syscall.Errno(r.Errno)
}

// Remove takes a name away.
func (d *dir) Remove(name string, isDir bool) syscall.Errno {
	gone := d.known(name, isDir)
	q := hypercall.ShareRequest{Op: uint32(hypercall.ShareRemove), Node: d.handle}
	if isDir {
		q.Flags = 1
	}
	r := d.fs.call(q, name, "", nil, nil)
	if r.Errno != 0 {
		return d.failed(r.Errno, name)
	}
	d.fs.unname(d, name)
	d.doubt()
	if in := d.fs.base(gone); in != nil {
		in.doubt()
	}
	if c, ok := gone.(*dir); ok {
		c.moved(nil, "")
	}
	return 0
}

// Rename gives a node another name.
func (d *dir) Rename(name string, to vnode.Dir, as string, mode vnode.RenameMode) syscall.Errno {
	t, ok := to.(*dir)
	if !ok || t.fs != d.fs {
		return syscall.EXDEV
	}
	from, over := d.known(name, true), t.known(as, true)
	q := hypercall.ShareRequest{Op: uint32(hypercall.ShareRename), Node: d.handle, Other: t.handle, Flags: uint32(mode)}
	r := d.fs.call(q, name, as, nil, nil)
	if r.Errno != 0 {
		t.failed(r.Errno, as)
		return d.failed(r.Errno, name)
	}
	d.fs.unname(d, name)
	d.fs.unname(t, as)
	d.doubt()
	t.doubt()
	for _, n := range [...]vnode.Node{from, over} {
		if in := d.fs.base(n); in != nil {
			in.doubt()
		}
	}
	if c, ok := over.(*dir); ok && over != from {
		if mode == vnode.RenameExchange {
			c.moved(d, name)
		} else {
			c.moved(nil, "")
		}
	}
	if c, ok := from.(*dir); ok {
		c.moved(t, as)
	}
	return 0
}

// known is what a name leads to. The host is asked only if ask is set, or else nil may be the answer: the caller of a rename has
// just looked, as a rule.
func (d *dir) known(name string, ask bool) vnode.Node {
	if n := d.fs.recall(d, name); n != nil || !ask {
		return n
	}
	n, _ := d.Lookup(name)
	return n
}

// failed is the error of a call about a name, which may be that it leads elsewhere than was believed.
func (d *dir) failed(errno uint32, name string) syscall.Errno {
	d.fs.unname(d, name)
	return syscall.Errno(errno)
}

// moved notes where a directory is now; nowhere if parent is nil.
func (d *dir) moved(parent *dir, name string) {
	d.mu.Lock()
	d.parent, d.name = parent, name
	d.mu.Unlock()
}

// Up returns where the directory is.
func (d *dir) Up() (vnode.Dir, string, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.parent == nil {
		return nil, "", syscall.ENOENT
	}
	return d.parent, d.name, 0
}

// Room for entries, in bytes: for each a name of usual length, and what the monitor wants at least.
const (
	entryRoom  = hypercall.ShareEntrySize + 32
	entriesMin = 512
)

// Entries lists names.
func (d *dir) Entries(after uint64, list []vnode.Entry) (n int, errno syscall.Errno) {
	buf := make([]byte, min(max(len(list)*entryRoom, entriesMin), d.fs.caller.Max()))
	q := hypercall.ShareRequest{Op: uint32(hypercall.ShareEntries), Node: d.handle, Other: after}
	r := d.fs.call(q, "", "", nil, buf)
	if r.Errno != 0 {
		return 0, syscall.Errno(r.Errno)
	}
	for b := buf[:max(0, min(int(r.N), len(buf)))]; len(b) >= hypercall.ShareEntrySize && n < len(list); n++ {
		var e hypercall.ShareEntry
		e.Get(b)
		b = b[hypercall.ShareEntrySize:]
		if e.Len == 0 || e.Len > vnode.NameMax || int(e.Len) > len(b) || e.Cookie > vnode.MaxCookie {
			return n, syscall.EIO
		}
		list[n] = vnode.Entry{Ino: e.Ino, Cookie: e.Cookie, Type: e.Type, Name: string(b[:e.Len])}
		b = b[min(int(e.Len+7)&^7, len(b)):]
	}
	return n, 0
}

// Sync makes the names durable.
func (d *dir) Sync() syscall.Errno {
	return syscall.Errno(d.request(hypercall.ShareSync, hypercall.ShareRequest{}).Errno)
}
