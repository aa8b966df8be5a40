package memfs

import (
	"strings"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// Rename moves a name, or exchanges two.
func (d *dir) Rename(name string, to vnode.Dir, as string, mode vnode.RenameMode) syscall.Errno {
	t, ok := to.(*dir)
	if !ok || t.fs != d.fs {
		return syscall.EXDEV
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	i, j := d.findLocked(name), t.findLocked(as)
	if i < 0 {
		return syscall.ENOENT
	}
	n := d.list[i].node
	var old node
	if j >= 0 {
		old = t.list[j].node
	}
	switch {
	case mode == vnode.RenameNoReplace && old != nil:
		return syscall.EEXIST
	case mode == vnode.RenameExchange && old == nil:
		return syscall.ENOENT
	case t.withinLocked(n):
		return syscall.EINVAL
	case old != nil && d.withinLocked(old) && mode == vnode.RenameExchange:
		return syscall.EINVAL
	case old != nil && d.withinLocked(old):
		return syscall.ENOTEMPTY
	case t.removed:
		return syscall.ENOENT
	case n == old:
		return 0
	}
	if mode == vnode.RenameExchange {
		d.setLocked(i, old)
		t.setLocked(j, n)
		return 0
	}
	if old != nil {
		if errno := replaceable(n, old); errno != 0 {
			return errno
		}
		t.cutLocked(j)
		unname(old)
		i = d.findLocked(name) // cutting may have packed the list
	}
	d.cutLocked(i)
	t.addLocked(as, n)
	n.base().link(0)
	return 0
}

// replaceable says whether a rename may put n in the place of old.
func replaceable(n, old node) syscall.Errno {
	_, dirN := n.(*dir)
	c, dirOld := old.(*dir)
	switch {
	case dirN && !dirOld:
		return syscall.ENOTDIR
	case !dirN && dirOld:
		return syscall.EISDIR
	case dirOld && !c.emptyLocked():
		return syscall.ENOTEMPTY
	}
	return 0
}

// withinLocked reports whether d is n or lies below it.
func (d *dir) withinLocked(n node) bool {
	top, ok := n.(*dir)
	if !ok {
		return false
	}
	for ; d != top; d = d.parent {
		if d.parent == d {
			return false
		}
	}
	return true
}

// setLocked puts another node at position i, for an exchange.
func (d *dir) setLocked(i int, n node) {
	if _, ok := d.list[i].node.(*dir); ok {
		d.link(-1)
	}
	d.list[i].node = n
	if c, ok := n.(*dir); ok {
		c.parent, c.name = d, strings.Clone(d.list[i].name)
		d.link(1)
	}
	n.base().link(0)
	d.modified()
}
