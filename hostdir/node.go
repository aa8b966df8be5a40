package hostdir

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// node is what a handle stands for.
type node struct {
	path int    // O_PATH
	id   id     // of the file
	typ  uint32 // type bits of the mode

	count uint64 // uses of the handle; Dir.mu
	users int    // calls that are using it; Dir.mu
	opens int    // Dir.mu

	mu    sync.Mutex // guards opening
	read  int        // descriptors of contents; -1: none
	write int        // for reading, too
}

// close closes the descriptors of a node that nobody uses any more.
func (n *node) close() error {
	return errors.Join(unix.Close(n.path), n.closeContents())
}

func (n *node) closeContents() error {
	var errs []error
	for _, fd := range [...]*int{&n.read, &n.write} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
		}
		*fd = -1
	}
	return errors.Join(errs...)
}

// self is a path that leads to the node's file, whatever it is called, and to a symbolic link itself (proc_pid_fd(5)).
func (n *node) self() string { return "/proc/self/fd/" + strconv.Itoa(n.path) }

// use returns the node of a handle, which stays until release.
func (d *Dir) use(h Node) (*node, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nodes[h]
	if n == nil {
		return nil, syscall.EBADF
	}
	n.users++
	return n, 0
}

func (d *Dir) release(n *node) {
	d.mu.Lock()
	n.users--
	idle := n.users == 0 && n.count == 0
	d.mu.Unlock()
	if idle {
		n.close()
	}
}

// directory is use for a directory in which something has a name.
func (d *Dir) directory(h Node, name string) (*node, syscall.Errno) {
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/\x00"):
		return nil, syscall.EINVAL
	case len(name) > unix.NAME_MAX:
		return nil, syscall.ENAMETOOLONG
	}
	n, errno := d.use(h)
	if errno == 0 && n.typ != unix.S_IFDIR {
		d.release(n)
		return nil, syscall.ENOTDIR
	}
	return n, errno
}

// changing is directory for a call that changes it.
func (d *Dir) changing(h Node, name string) (*node, syscall.Errno) {
	if d.options.ReadOnly {
		return nil, syscall.EROFS
	}
	return d.directory(h, name)
}

// errnoOf is the errno of an error from package unix. That this process has no descriptors left is for the guest as if there
// were no handles.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &errno):
		return syscall.EIO
	case errno == syscall.EMFILE:
		return syscall.ENFILE
	}
	return errno
}

// again repeats a call that a signal has interrupted: Go's runtime sends itself some.
func again(call func() error) (err error) {
	for {
		if err = call(); err != unix.EINTR {
			return err
		}
	}
}
