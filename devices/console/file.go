package console

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// file is an output that is a file. Its descriptor may be shared with other processes, so it stays as blocking as it
// is. Pipes and sockets are written to with RWF_NOWAIT (pwritev2(2)); where the kernel has no such thing for them, and
// with terminals, the descriptor has to poll writable first, which promises room for a page.
type file struct {
	conn   syscall.RawConn
	fd     int
	plain  bool // never waits for anybody: a regular file or block device
	nowait bool
}

// pipePage is what fits into a pipe that polls writable (pipe(7)).
const pipePage = 4096

// newFile returns nil for what has no descriptor.
func newFile(f *os.File) *file {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	o := &file{conn: conn}
	var st unix.Stat_t
	if conn.Control(func(fd uintptr) { o.fd = int(fd); err = unix.Fstat(o.fd, &st) }) != nil || err != nil {
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK:
		o.plain = true
	case unix.S_IFIFO, unix.S_IFSOCK:
		o.nowait = true
	}
	return o
}

func (o *file) write(p []byte) (n int, errno syscall.Errno) {
	err := o.conn.Write(func(uintptr) bool {
		for n < len(p) && errno == 0 {
			var k int
			k, errno = o.some(p[n:])
			n += k
		}
		return true
	})
	if err != nil { // the caller has closed it
		errno = syscall.EPIPE
	}
	return n, errno
}

// some makes one system call that writes.
func (o *file) some(p []byte) (n int, errno syscall.Errno) {
	var err error
	switch {
	case o.nowait:
		const here = -1 // no offset
		n, err = unix.Pwritev2(o.fd, [][]byte{p}, here, unix.RWF_NOWAIT)
		if err == unix.EOPNOTSUPP || err == unix.ENOSYS || err == unix.EINVAL {
			o.nowait = false
			return 0, 0
		}
	case !o.plain && !o.ready():
		return 0, syscall.EAGAIN
	case !o.plain:
		n, err = unix.Write(o.fd, p[:min(len(p), pipePage)])
	default:
		n, err = unix.Write(o.fd, p)
	}
	switch {
	case err == unix.EINTR:
		return 0, 0
	case err != nil:
		return 0, errnoOf(err)
	}
	return n, 0
}

// ready reports whether the descriptor polls writable, or in a way that a write explains.
func (o *file) ready() bool {
	fds := []unix.PollFd{{Fd: int32(o.fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return n > 0 || err != nil && err != unix.EINTR
}

func (o *file) descriptor() int       { return o.fd }
func (o *file) drain(<-chan struct{}) {}
func (o *file) close()                {}
