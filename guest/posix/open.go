package posix

import (
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// oTmpfile is the bit of O_TMPFILE that is not O_DIRECTORY.
const oTmpfile = 0x400000

// opener is a node that is opened in a way of its own: generated files, pipes and descriptors through /proc/self/fd.
type opener interface {
	vnode.Node
	open(s *System, flags uint32) (opened, syscall.Errno)
}

// opened is what opening a node gives: an object, or, if it is nil, a descriptor number of package kernel's.
type opened struct {
	object object
	fd     int
}

// sysOpenat is openat(2).
func sysOpenat(s *System, a args) (uintptr, syscall.Errno) {
	path, errno := pathAt(a.p2)
	if errno != 0 {
		return 0, errno
	}
	return count(s.open(a.a1, path, uint32(a.a3), uint32(a.a4)&0o7777, 0))
}

// sysOpen is open(2).
func sysOpen(s *System, a args) (uintptr, syscall.Errno) {
	path, errno := pathAt(a.p1)
	if errno != 0 {
		return 0, errno
	}
	return count(s.open(cwd, path, uint32(a.a2), uint32(a.a3)&0o7777, 0))
}

// cwd is AT_FDCWD as an argument.
const cwd = ^uintptr(0) - 99

// sysCreat is creat(2).
func sysCreat(s *System, a args) (uintptr, syscall.Errno) {
	path, errno := pathAt(a.p1)
	if errno != 0 {
		return 0, errno
	}
	return count(s.open(cwd, path, syscall.O_CREAT|syscall.O_WRONLY|syscall.O_TRUNC, uint32(a.a2)&0o7777, 0))
}

// openHow is struct open_how (openat2(2)).
type openHow struct{ flags, mode, resolve uint64 }

// sysOpenat2 is openat2(2).
func sysOpenat2(s *System, a args) (uintptr, syscall.Errno) {
	const (
		resolveNoXdev, resolveNoMagic, resolveNoSymlinks = 0x01, 0x02, 0x04
		resolveBeneath, resolveInRoot, resolveCached     = 0x08, 0x10, 0x20

		knownFlags = syscall.O_ACCMODE | createFlags | settableFlags | oPath | oTmpfile | oLargeFile |
			syscall.O_DIRECTORY | syscall.O_NOFOLLOW | syscall.O_SYNC
	)
	if a.a4 < 24 {
		return 0, syscall.EINVAL
	}
	if a.p3 == nil {
		return 0, syscall.EFAULT
	}
	if a.a4 > 24 {
		rest, _ := memory(a.p3, a.a4)
		for _, b := range rest[24:] {
			if b != 0 {
				return 0, syscall.E2BIG
			}
		}
	}
	how := *(*openHow)(a.p3)
	path, errno := pathAt(a.p2)
	if errno != 0 {
		return 0, errno
	}
	mode := walkMode(0)
	for _, r := range [...]struct {
		bit  uint64
		mode walkMode
	}{
		{resolveNoXdev, walkNoXdev}, {resolveNoMagic, walkNoMagic},
		{resolveNoSymlinks, walkNoSymlinks | walkNoMagic}, {resolveBeneath, walkBeneath}, {resolveInRoot, walkInRoot},
	} {
		if how.resolve&r.bit != 0 {
			mode |= r.mode
		}
	}
	switch {
	case how.flags&^knownFlags != 0, how.resolve&^0x3f != 0, how.mode&^0o7777 != 0,
		how.mode != 0 && how.flags&(syscall.O_CREAT|oTmpfile) == 0,
		mode&walkBeneath != 0 && mode&walkInRoot != 0:
		return 0, syscall.EINVAL
	case how.resolve&resolveCached != 0:
		return 0, syscall.EAGAIN
	}
	return count(s.open(a.a1, path, uint32(how.flags), uint32(how.mode), mode))
}

// open opens or makes a file and returns its descriptor number. restrict holds openat2's walk modes. Errors as open(2).
func (s *System) open(dirfd uintptr, path string, flags, mode uint32, restrict walkMode) (int, syscall.Errno) {
	if flags&oPath != 0 {
		flags &= oPath | syscall.O_DIRECTORY | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
	}
	switch {
	case flags&oTmpfile != 0 && (flags&syscall.O_DIRECTORY == 0 || flags&syscall.O_CREAT != 0 ||
		flags&syscall.O_ACCMODE == syscall.O_RDONLY),
		flags&syscall.O_CREAT != 0 && flags&syscall.O_DIRECTORY != 0:
		return 0, syscall.EINVAL
	}
	n, at, made, errno := s.openNode(dirfd, path, flags, mode, restrict)
	if errno != 0 {
		return 0, errno
	}
	o, errno := s.openObject(n, flags)
	if errno != 0 {
		return 0, errno
	}
	cloexec := flags&syscall.O_CLOEXEC != 0
	if o.object == nil {
		return o.fd, 0
	}
	if flags&syscall.O_TRUNC != 0 && !made {
		if f, ok := o.object.(*regular); ok {
			if errno := f.SetAttr(vnode.Change{Set: vnode.SetSize}); errno != 0 {
				o.object.close(nil)
				return 0, errno
			}
		}
	}
	status := flags &^ createFlags
	if flags&oPath == 0 {
		status |= oLargeFile
	}
	d := newDescription(o.object, status)
	d.at = at
	return s.install(d, 0, cloexec)
}

// openNode finds or makes the node to open.
func (s *System) openNode(dirfd uintptr, path string, flags, mode uint32, restrict walkMode) (n vnode.Node, at place, made bool, errno syscall.Errno) {
	if flags&oTmpfile != 0 {
		n, at, errno = s.makeTemporary(dirfd, path, mode)
		return n, at, true, errno
	}
	walk := walkFollow
	if flags&syscall.O_NOFOLLOW != 0 || flags&(syscall.O_CREAT|syscall.O_EXCL) == syscall.O_CREAT|syscall.O_EXCL {
		walk = walkNoFollow
	}
	if flags&syscall.O_CREAT != 0 {
		walk |= walkCreate
	}
	for {
		f, errno := s.find(dirfd, path, walk|restrict)
		if errno != 0 {
			return nil, at, false, errno
		}
		at = place{f.dir, f.name}
		if flags&syscall.O_CREAT == 0 {
			n, errno = f.exists()
			return n, at, false, errno
		}
		switch {
		case f.node != nil && flags&syscall.O_EXCL != 0:
			return nil, at, false, syscall.EEXIST
		case f.last != lastName && f.last != lastMagic:
			return nil, at, false, syscall.EISDIR
		case f.node != nil:
			return f.node, at, false, 0
		}
		n, errno = f.dir.Make(f.name, vnode.Make{Mode: syscall.S_IFREG | s.masked(mode)})
		if errno != syscall.EEXIST {
			return n, at, true, errno
		}
		// Somebody else has just made it: look again.
	}
}

// makeTemporary makes a file without a name, for O_TMPFILE.
func (s *System) makeTemporary(dirfd uintptr, path string, mode uint32) (vnode.Node, place, syscall.Errno) {
	f, errno := s.find(dirfd, path, walkFollow)
	if errno != 0 {
		return nil, place{}, errno
	}
	n, errno := f.exists()
	if errno != 0 {
		return nil, place{}, errno
	}
	if _, ok := n.(vnode.Dir); !ok {
		return nil, place{}, syscall.ENOTDIR
	}
	t, ok := n.(vnode.Temporary)
	if !ok {
		return nil, place{}, syscall.EOPNOTSUPP
	}
	n, errno = t.MakeTemporary(vnode.Make{Mode: syscall.S_IFREG | s.masked(mode)})
	return n, place{t, "#"}, errno
}

// openObject makes the object of an open of n.
func (s *System) openObject(n vnode.Node, flags uint32) (opened, syscall.Errno) {
	dir, isDir := n.(vnode.Dir)
	_, isLink := n.(vnode.Symlink)
	switch {
	case flags&syscall.O_DIRECTORY != 0 && flags&oTmpfile == 0 && !isDir:
		return opened{}, syscall.ENOTDIR
	case flags&oPath != 0:
		return hold(&pathOnly{n})
	case isLink:
		return opened{}, syscall.ELOOP
	case isDir && (flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&(syscall.O_CREAT|syscall.O_TRUNC) != 0):
		return opened{}, syscall.EISDIR
	case isDir:
		return opened{object: &directory{dir, &s.tree}}, 0
	}
	switch n := n.(type) {
	case vnode.File:
		return s.openFile(n, flags)
	case opener:
		return n.open(s, flags)
	}
	switch a := n.Attr(); a.Type() {
	case syscall.S_IFCHR:
		if errno := holdNode(n); errno != 0 {
			return opened{}, errno
		}
		return s.openDevice(n, a.Rdev, flags)
	case syscall.S_IFIFO:
		if errno := holdNode(n); errno != 0 {
			return opened{}, errno
		}
		o, errno := s.openFIFO(n, flags)
		if errno != 0 {
			releaseNode(n)
		}
		return opened{object: o}, errno
	}
	return opened{}, syscall.ENXIO
}

// hold keeps the node of an object that releases it when it is closed.
func hold(o object) (opened, syscall.Errno) {
	if errno := holdNode(nodeOf(o)); errno != 0 {
		return opened{}, errno
	}
	return opened{object: o}, 0
}

// open opens a pipe again, through /proc/self/fd.
func (e *pipeEnd) open(s *System, flags uint32) (opened, syscall.Errno) {
	acc := flags & syscall.O_ACCMODE
	if errno := holdNode(e.Node); errno != 0 {
		return opened{}, errno
	}
	s.fifoUser(e.Node, e.pipe)
	return opened{object: e.pipe.open(s, e.Node, acc != syscall.O_WRONLY, acc != syscall.O_RDONLY)}, 0
}
