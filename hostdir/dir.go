package hostdir

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Node is a handle of a file, directory or other inode. It is never used again for another while the Dir lives.
type Node uint64

// Root is the exported directory itself. It cannot be forgotten.
const Root Node = 1

// Options say how a directory is exported. The zero value is for reading and writing.
type Options struct {
	// ReadOnly has everything that would change something fail with EROFS, and leaves times of access alone where the host
	// permits that (O_NOATIME: to a file's owner; never for reading a symbolic link).
	ReadOnly bool
	// MaxNodes bounds the Nodes. 0 is a quarter of RLIMIT_NOFILE, which Go has raised to the hard limit, but at most 65536;
	// as each Node may have a second descriptor, that is half of what the process may have.
	MaxNodes int
}

// maxNodesDefault bounds the default where descriptors are not bounded in effect: a Node costs the kernel about 1 KiB.
const maxNodesDefault = 1 << 16

// Dir is an exported directory.
type Dir struct {
	readOnly bool
	maxNodes int
	maxSize  int64 // RLIMIT_FSIZE, beyond which Linux would send SIGXFSZ, which ends the process
	uid, gid uint32
	proc     int // O_PATH of /proc/self/fd

	mu       sync.Mutex // guards what follows, and the fields of nodes and descriptions that say so
	idle     *sync.Cond // calls became 0
	closed   bool
	calls    int // under way
	last     Node
	nodes    map[Node]*node
	byID     map[identity]*node
	reserved int // nodes about to be made
	extra    int // descriptions
}

// Open exports the directory at path; symbolic links in path itself are followed. Close gives back its descriptors.
func Open(path string, o Options) (*Dir, error) {
	d, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("export directory %s: %w", path, err)
	}
	return d, nil
}

func open(path string, o Options) (_ *Dir, err error) {
	d := &Dir{
		readOnly: o.ReadOnly, maxNodes: o.MaxNodes, maxSize: math.MaxInt64,
		uid: uint32(unix.Geteuid()), gid: uint32(unix.Getegid()), proc: -1,
		last: Root, nodes: map[Node]*node{}, byID: map[identity]*node{},
	}
	d.idle = sync.NewCond(&d.mu)
	if err := d.limits(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if d.proc, err = openProc(); err != nil {
		return nil, err
	}
	fd, e := openat(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY, 0)
	switch e {
	case 0:
	case syscall.ENOENT:
		return nil, errors.New("it does not exist")
	case syscall.ENOTDIR:
		return nil, errors.New("it is not a directory")
	default:
		return nil, e
	}
	root := &node{handle: Root, path: fd, count: 1}
	var st unix.Statx_t
	if st, e = statx(fd); e != 0 {
		unix.Close(fd)
		return nil, e
	}
	root.id, root.kind = identityOf(&st), uint32(st.Mode)&syscall.S_IFMT
	d.nodes[Root], d.byID[root.id] = root, root
	list, e := d.reopen(root, unix.O_RDONLY|unix.O_DIRECTORY)
	if e == 0 {
		unix.Close(list)
		e = errno(unix.Faccessat(d.proc, procName(fd), unix.X_OK, unix.AT_EACCESS))
	}
	if e != 0 {
		return nil, fmt.Errorf("it is not readable: %w", e)
	}
	return d, nil
}

// ReadOnly reports whether nothing can be changed.
func (d *Dir) ReadOnly() bool { return d.readOnly }

// limits takes over those of the process.
func (d *Dir) limits() error {
	var files, size unix.Rlimit
	if err := errors.Join(unix.Getrlimit(unix.RLIMIT_NOFILE, &files), unix.Getrlimit(unix.RLIMIT_FSIZE, &size)); err != nil {
		return fmt.Errorf("read resource limits: %w", err)
	}
	if size.Cur < math.MaxInt64 {
		d.maxSize = int64(size.Cur)
	}
	if d.maxNodes < 0 {
		return fmt.Errorf("%d nodes are too few", d.maxNodes)
	}
	if d.maxNodes == 0 {
		d.maxNodes = int(min(files.Cur/4, maxNodesDefault))
	}
	return nil
}

// openProc opens the directory of this process's descriptors, once, so that nobody can mount something else over it later.
func openProc() (int, error) {
	fd, e := openat(unix.AT_FDCWD, "/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY, 0)
	if e != 0 {
		return -1, fmt.Errorf("open /proc/self/fd: %w", e)
	}
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil || s.Type != unix.PROC_SUPER_MAGIC {
		unix.Close(fd)
		return -1, errors.New("/proc is not the process file system")
	}
	return fd, nil
}

// Close waits for the calls under way and gives back every descriptor. Later calls fail with ESTALE; closing again does
// nothing.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	for d.calls > 0 {
		d.idle.Wait()
	}
	for _, n := range d.nodes {
		d.dropLocked(n)
	}
	if d.proc >= 0 {
		unix.Close(d.proc)
	}
	return nil
}
