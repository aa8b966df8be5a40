package posix

import (
	"strings"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// walkMode says how a path is resolved (path_resolution(7)).
type walkMode uint32

// Walk modes. The first three exclude each other.
const (
	walkNoFollow walkMode = 0         // a last symbolic link is not followed, but for a trailing slash
	walkFollow   walkMode = 1 << iota // a last symbolic link is followed
	walkParent                        // for calls that make or remove the last name: it is never followed
	walkCreate                        // with O_CREAT: EISDIR for a last name with a slash behind it

	// openat2(2)'s restrictions.
	walkBeneath    // RESOLVE_BENEATH: EXDEV on the way out of the start
	walkInRoot     // RESOLVE_IN_ROOT: the start is the root
	walkNoXdev     // RESOLVE_NO_XDEV
	walkNoMagic    // RESOLVE_NO_MAGICLINKS
	walkNoSymlinks // RESOLVE_NO_SYMLINKS
)

// found is where a path leads.
type found struct {
	dir   vnode.Dir  // directory of the last name
	name  string     // last name, "" if last is not lastName
	node  vnode.Node // nil if nothing has that name
	last  lastKind
	slash bool // the path ended with a slash
}

// lastKind is what kind of thing stands last in a path.
type lastKind uint8

const (
	lastName lastKind = iota
	lastRoot
	lastDot
	lastDotDot
	lastMagic // a link of /proc/self, which leads to a node and not to a name
)

// magicLink is a symbolic link that leads to a node directly (proc(5), /proc/pid/fd).
type magicLink interface {
	vnode.Symlink
	jump() (vnode.Node, syscall.Errno)
}

// walk resolves a path from a directory on. A last name that does not exist is found with a nil node. Errors: ENOENT,
// ENOTDIR, ENAMETOOLONG, ELOOP, EXDEV, EISDIR.
func (t *tree) walk(from vnode.Dir, path string, mode walkMode) (found, syscall.Errno) {
	root := t.root
	if mode&walkInRoot != 0 {
		root = from
	}
	start := from
	if path == "" {
		return found{}, syscall.ENOENT
	}
	links := 0
	dir := from
	f := found{}
	for absolute := path[0] == '/'; ; absolute = false {
		if absolute {
			if mode&walkBeneath != 0 {
				return found{}, syscall.EXDEV
			}
			dir = root
			f = found{dir: dir, node: dir, last: lastRoot}
		}
		name, rest, slash := nextName(path)
		if name == "" {
			f.slash = true
			return f, 0
		}
		final := rest == ""
		path = rest
		switch name {
		case ".":
			f = found{dir: dir, node: dir, last: lastDot}
		case "..":
			up, errno := t.leave(dir, root, start, mode)
			if errno != 0 {
				return found{}, errno
			}
			dir = up
			f = found{dir: dir, node: dir, last: lastDotDot}
		default:
			if final && slash && mode&walkCreate != 0 {
				return found{}, syscall.EISDIR
			}
			n, errno := t.enter(dir, name, mode)
			if errno == syscall.ENOENT && final {
				return found{dir: dir, name: name, slash: slash}, 0
			}
			if errno != 0 {
				return found{}, errno
			}
			f = found{dir: dir, name: name, node: n}
			link, isLink := n.(vnode.Symlink)
			if isLink && (!final || mode&walkFollow != 0 || slash && mode&walkParent == 0) {
				if links++; links > vnode.SymlinkMax || mode&walkNoSymlinks != 0 {
					return found{}, syscall.ELOOP
				}
				if magic, ok := link.(magicLink); ok {
					if n, errno = t.jump(magic, mode); errno != 0 {
						return found{}, errno
					}
					f = found{node: n, last: lastMagic}
				} else {
					path = link.Target()
					if slash {
						path += "/" + rest
					}
					if len(path) >= vnode.PathMax {
						return found{}, syscall.ENAMETOOLONG
					}
					if path[0] == '/' {
						if mode&walkBeneath != 0 {
							return found{}, syscall.EXDEV
						}
						dir = root
						f = found{dir: dir, node: dir, last: lastRoot}
					}
					continue
				}
			}
		}
		if final {
			f.slash = slash
			return f, 0
		}
		d, ok := f.node.(vnode.Dir)
		if !ok {
			return found{}, syscall.ENOTDIR
		}
		dir = d
	}
}

// nextName splits the first name off a path. slash says whether a slash follows it; rest has no slash in front.
func nextName(path string) (name, rest string, slash bool) {
	path = strings.TrimLeft(path, "/")
	i := strings.IndexByte(path, '/')
	if i < 0 {
		return path, "", false
	}
	return path[:i], strings.TrimLeft(path[i:], "/"), true
}

// enter looks a name up and crosses into what is mounted there.
func (t *tree) enter(dir vnode.Dir, name string, mode walkMode) (vnode.Node, syscall.Errno) {
	if len(name) > vnode.NameMax {
		return nil, syscall.ENAMETOOLONG
	}
	n, errno := dir.Lookup(name)
	if errno != 0 {
		return nil, errno
	}
	if _, ok := n.(vnode.Dir); !ok {
		return n, 0
	}
	c := t.covering(n)
	if c != n && mode&walkNoXdev != 0 {
		return nil, syscall.EXDEV
	}
	return c, 0
}

// leave goes to a directory's parent.
func (t *tree) leave(dir, root, start vnode.Dir, mode walkMode) (vnode.Dir, syscall.Errno) {
	switch {
	case mode&walkBeneath != 0 && dir == start:
		return nil, syscall.EXDEV
	case dir == root:
		return dir, 0
	case mode&walkNoXdev != 0 && t.mountOf(dir) != nil:
		return nil, syscall.EXDEV
	}
	up, _, errno := t.up(dir)
	return up, errno
}

func (t *tree) jump(l magicLink, mode walkMode) (vnode.Node, syscall.Errno) {
	switch {
	case mode&walkNoMagic != 0:
		return nil, syscall.ELOOP
	case mode&(walkBeneath|walkInRoot) != 0:
		return nil, syscall.EXDEV
	}
	n, errno := l.jump()
	if errno == 0 && mode&walkNoXdev != 0 {
		return nil, syscall.EXDEV
	}
	return n, errno
}

// Values of the *at calls (fcntl.h).
const (
	atFDCWD           = -100
	atSymlinkNoFollow = 0x100
	atRemoveDir       = 0x200
	atEACCESS         = 0x200
	atSymlinkFollow   = 0x400
	atNoAutomount     = 0x800
	atEmptyPath       = 0x1000
	atStatxSync       = 0x6000
)

// startOf returns the directory a path argument is relative to: for an absolute path the root, unless openat2's modes
// make dirfd the root. Errors: EBADF, ENOTDIR.
func (s *System) startOf(dirfd uintptr, path string, mode walkMode) (vnode.Dir, syscall.Errno) {
	t := s.fs()
	if strings.HasPrefix(path, "/") && mode&(walkInRoot|walkBeneath) == 0 {
		return t.root, 0
	}
	if fdOf(dirfd) == atFDCWD {
		return t.workDir(), 0
	}
	d, errno := s.get(dirfd)
	if errno != 0 {
		return nil, s.refuse(dirfd, syscall.ENOTDIR)
	}
	defer d.release()
	if dir, ok := nodeOf(d.object).(vnode.Dir); ok {
		return dir, 0
	}
	return nil, syscall.ENOTDIR
}

// find resolves a path argument; the last name may be missing.
func (s *System) find(dirfd uintptr, path string, mode walkMode) (found, syscall.Errno) {
	if path == "" {
		return found{}, syscall.ENOENT
	}
	from, errno := s.startOf(dirfd, path, mode)
	if errno != 0 {
		return found{}, errno
	}
	return s.tree.walk(from, path, mode)
}

// existing resolves the path argument of a call on something that exists. flags are those of the *at calls:
// AT_SYMLINK_NOFOLLOW, and AT_EMPTY_PATH, with which an empty path means dirfd itself.
func (s *System) existing(dirfd uintptr, path string, flags uintptr) (vnode.Node, syscall.Errno) {
	if path == "" && flags&atEmptyPath != 0 {
		return s.nodeAt(dirfd)
	}
	mode := walkFollow
	if flags&atSymlinkNoFollow != 0 {
		mode = walkNoFollow
	}
	f, errno := s.find(dirfd, path, mode)
	if errno != 0 {
		return nil, errno
	}
	return f.exists()
}

// exists is the node found. Errors: ENOENT, ENOTDIR if the path asks for a directory and it is none.
func (f found) exists() (vnode.Node, syscall.Errno) {
	if f.node == nil {
		return nil, syscall.ENOENT
	}
	if _, isDir := f.node.(vnode.Dir); f.slash && !isDir {
		return nil, syscall.ENOTDIR
	}
	return f.node, 0
}

// nodeAt returns the node of a descriptor argument, which may be the current directory.
func (s *System) nodeAt(fd uintptr) (vnode.Node, syscall.Errno) {
	if fdOf(fd) == atFDCWD {
		return s.fs().workDir(), 0
	}
	d, errno := s.get(fd)
	if errno != 0 {
		return s.coreNode(fdOf(fd))
	}
	defer d.release()
	return nodeOf(d.object), 0
}

// nodeOf returns the node behind an object: of the file system it is in, or the object.
func nodeOf(o object) vnode.Node {
	switch o := o.(type) {
	case *regular:
		return o.File
	case *directory:
		return o.Dir
	case *pathOnly:
		return o.Node
	case *device:
		return o.Node
	case *generatedFile:
		return o.Node
	}
	return o
}
