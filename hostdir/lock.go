package hostdir

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Lock locks a file that is open, or a directory, against other processes of the host (and other Dirs): flock(2) with
// LOCK_SH, LOCK_EX or LOCK_UN, always with LOCK_NB. The lock is the Node's, whoever asked for it, and ends with LOCK_UN, the
// last Done or Forget. A conversion that fails may lose the lock that was there, as in Linux. Errors: EWOULDBLOCK, EINVAL,
// EBADF for a file that is not open and for other types.
func (d *Dir) Lock(h Node, how int) syscall.Errno {
	how &^= unix.LOCK_NB
	if how != unix.LOCK_SH && how != unix.LOCK_EX && how != unix.LOCK_UN {
		return syscall.EINVAL
	}
	n, e := d.hold(h)
	if e != 0 {
		return e
	}
	defer d.release(n)
	n.locking.Lock()
	defer n.locking.Unlock()
	s, e := d.lockable(n, how)
	if s == nil || e != 0 {
		return e
	}
	defer d.unref(&s)
	if _, e := retry(func() (int, error) { return 0, unix.Flock(s.fd, how|unix.LOCK_NB) }); e != 0 {
		return e
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case how == unix.LOCK_UN:
		d.unrefLocked(&n.lock)
	case n.count == 0, n.kind == syscall.S_IFREG && n.opens == 0:
		return syscall.EBADF // forgotten or done meanwhile; the lock goes with s
	case n.lock == nil:
		s.refs++
		n.lock = s
	}
	return 0
}

// lockable is the description that has or will have the lock, or nil if there is nothing to unlock. The caller gives it back
// and holds n.locking.
func (d *Dir) lockable(n *node, how int) (*description, syscall.Errno) {
	d.mu.Lock()
	s := n.lock
	if s == nil && n.opens > 0 {
		s = n.file
	}
	if s != nil {
		s.refs++
	}
	d.mu.Unlock()
	switch {
	case s != nil:
		return s, 0
	case n.kind != syscall.S_IFDIR:
		return nil, syscall.EBADF
	case how == unix.LOCK_UN:
		return nil, 0
	}
	fd, e := d.reopen(n, unix.O_RDONLY|unix.O_DIRECTORY)
	if e != 0 {
		return nil, e
	}
	return d.adopt(fd, false)
}
