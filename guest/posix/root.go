package posix

import (
	"strings"
	"syscall"

	"ukvm.dev/guest/posix/cpio"
	"ukvm.dev/guest/posix/memfs"
	"ukvm.dev/guest/posix/vnode"
)

// rootLimit is how much memory the root file system may take: half of what the guest has beside the files of --copy,
// which are used where they lie. The other half is the program's; a full file system is ENOSPC and not the end.
func rootLimit(memory, archive uint64) int64 {
	if archive >= memory {
		return 0
	}
	return int64((memory - archive) / 2)
}

// buildTree makes the root file system: the files of --copy, then what is missing of the directories, devices and
// configuration files that programs expect; and puts the host's directories in it.
func (s *System) buildTree() {
	b := s.env.boot()
	root := memfs.New(memfs.Config{Device: deviceRoot, Limit: rootLimit(b.Memory, b.Archive), Now: s.env.now})
	t := &s.tree
	t.root, t.cwd = root.Root(), root.Root()
	if t.mask = s.env.mask; t.mask == nil {
		t.mask = new(uint32)
		*t.mask = 0o022
	}
	t.mounts.Store(&[]mount{{root: t.root, fs: root, path: "/", kind: "tmpfs"}})
	t.unpack(s.env.archive())
	for _, d := range rootDirs {
		t.provide(d.path, vnode.Make{Mode: syscall.S_IFDIR | d.mode})
	}
	for _, d := range rootDevices {
		t.provide(d.path, vnode.Make{Mode: syscall.S_IFCHR | d.mode, Rdev: d.rdev})
	}
	for _, l := range rootLinks {
		t.provide(l.path, vnode.Make{Mode: syscall.S_IFLNK | 0o777, Target: l.target})
	}
	for _, f := range etcFiles {
		n, made := t.provide(f.path, vnode.Make{Mode: syscall.S_IFREG | 0o644})
		switch {
		case !made:
		case f.path == resolvPath:
			s.keepResolv(n)
		default:
			writeAll(n, f.text(s))
		}
	}
	t.mount("/proc", "proc", newProc(s))
	t.mountShares(b)
	if dir := cString(b.WorkDir[:]); dir != "" {
		if d, ok := t.makeDirs(dir).(vnode.Dir); ok {
			t.cwd = d
		}
	}
}

var rootDirs = []struct {
	path string
	mode uint32
}{
	{"/dev", 0o755}, {"/dev/shm", 0o1777}, {"/etc", 0o755}, {"/proc", 0o555}, {"/root", 0o700}, {"/run", 0o755},
	{"/sys", 0o555}, {"/tmp", 0o1777}, {"/usr", 0o755}, {"/usr/bin", 0o755}, {"/var", 0o755},
	{"/var/tmp", 0o1777},
}

var rootDevices = []struct {
	path string
	mode uint32
	rdev uint64
}{
	{"/dev/null", 0o666, rdevNull}, {"/dev/zero", 0o666, rdevZero}, {"/dev/full", 0o666, rdevFull},
	{"/dev/random", 0o666, rdevRandom}, {"/dev/urandom", 0o666, rdevURandom}, {"/dev/tty", 0o666, rdevTTY},
}

var rootLinks = []struct{ path, target string }{
	{"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"},
	{"/dev/stderr", "/proc/self/fd/2"},
}

// unpack enters the members of an archive. It panics if that is not possible: the program could not run as asked.
func (t *tree) unpack(archive []byte) {
	r := cpio.NewReader(archive)
	for {
		h, ok, err := r.Next()
		if err != nil {
			panic("ukvm: the archive of the files to copy is damaged: " + err.Error())
		}
		if !ok {
			return
		}
		if errno := t.add(h); errno != 0 {
			panic("ukvm: copy " + h.Name + " into the guest: " + errno.Error() + ": give it more memory with -m")
		}
	}
}

// add enters a member. Directories on the way are made, what has the name already is replaced.
func (t *tree) add(h cpio.Header) syscall.Errno {
	dir, name, errno := t.split(h.Name)
	if errno != 0 || name == "" {
		return errno
	}
	m := vnode.Make{Mode: h.Mode, UID: h.UID, GID: h.GID, Rdev: h.Rdev}
	typ := h.Mode & syscall.S_IFMT
	old, errno := dir.Lookup(name)
	_, isDir := old.(vnode.Dir)
	if errno == 0 && !(isDir && typ == syscall.S_IFDIR) {
		if errno = dir.Remove(name, isDir); errno != 0 {
			return errno
		}
		old = nil
	}
	n := old
	switch {
	case n != nil:
		n.SetAttr(vnode.Change{Set: vnode.SetMode | vnode.SetUID | vnode.SetGID, Mode: m.Mode & 0o7777, UID: m.UID, GID: m.GID})
	case typ == syscall.S_IFREG:
		n, errno = memfs.AddFile(dir, name, m, h.Data)
	case typ == syscall.S_IFLNK:
		m.Target = string(h.Data)
		n, errno = dir.Make(name, m)
	default:
		n, errno = dir.Make(name, m)
	}
	if errno != 0 {
		return errno
	}
	at := int64(h.Mtime) * 1e9
	return n.SetAttr(vnode.Change{Set: vnode.SetAtime | vnode.SetMtime, Atime: at, Mtime: at})
}

// split returns the directory of a path, which is made if need be, and the last name, "" for the root. Errors: EINVAL
// for a path with "..", ENOTDIR, ENOSPC.
func (t *tree) split(path string) (dir vnode.Dir, last string, errno syscall.Errno) {
	dir = t.root
	for name := range strings.SplitSeq(path, "/") {
		switch name {
		case "", ".":
			continue
		case "..":
			return nil, "", syscall.EINVAL
		}
		if last != "" {
			if dir, errno = t.subdir(dir, last); errno != 0 {
				return nil, "", errno
			}
		}
		last = name
	}
	return dir, last, 0
}

// subdir returns a directory's subdirectory, or what is mounted there; it is made if it is missing.
func (t *tree) subdir(dir vnode.Dir, name string) (vnode.Dir, syscall.Errno) {
	n, errno := dir.Lookup(name)
	if errno == syscall.ENOENT {
		n, errno = dir.Make(name, vnode.Make{Mode: syscall.S_IFDIR | 0o755})
	}
	if errno != 0 {
		return nil, errno
	}
	d, ok := t.covering(n).(vnode.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	return d, 0
}

// provide makes a node unless something has its name. What cannot be made is left out: --copy has put something else
// in its way, or there is hardly any memory.
func (t *tree) provide(path string, m vnode.Make) (n vnode.Node, made bool) {
	dir, name, errno := t.split(path)
	if errno != 0 {
		return nil, false
	}
	n, errno = dir.Make(name, m)
	return n, errno == 0
}

// makeDirs makes a directory and those above it, following symbolic links, and returns it, or nil.
func (t *tree) makeDirs(path string) vnode.Node {
	if f, errno := t.walk(t.root, path, walkFollow); errno == 0 && f.node != nil {
		return f.node
	}
	dir, name, errno := t.split(path)
	if errno != 0 || name == "" {
		return nil
	}
	d, errno := t.subdir(dir, name)
	if errno != 0 {
		return nil
	}
	return d
}

// writeAll makes text the contents of a file.
func writeAll(n vnode.Node, text string) syscall.Errno {
	f, ok := n.(vnode.File)
	if !ok {
		return syscall.EINVAL
	}
	if errno := f.SetAttr(vnode.Change{Set: vnode.SetSize}); errno != 0 {
		return errno
	}
	_, errno := f.WriteAt([]byte(text), 0)
	return errno
}
