package posix

import (
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// sysFtruncate is ftruncate(2).
func sysFtruncate(s *System, a args) (uintptr, syscall.Errno) {
	size := int64(a.a2)
	if size < 0 {
		return 0, syscall.EINVAL
	}
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, syscall.EINVAL)
	}
	defer d.release()
	f, ok := d.object.(*regular)
	switch {
	case d.isPath():
		return 0, syscall.EBADF
	case !ok || !d.writable():
		return 0, syscall.EINVAL
	}
	return result(f.SetAttr(vnode.Change{Set: vnode.SetSize, Size: size}))
}

// sysTruncate is truncate(2).
func sysTruncate(s *System, a args) (uintptr, syscall.Errno) {
	size := int64(a.a2)
	if size < 0 {
		return 0, syscall.EINVAL
	}
	path, errno := pathAt(a.p1)
	if errno != 0 {
		return 0, errno
	}
	n, errno := s.existing(cwd, path, 0)
	if errno != 0 {
		return 0, errno
	}
	switch n.(type) {
	case vnode.File:
		return result(s.change(n, vnode.Change{Set: vnode.SetSize, Size: size}))
	case vnode.Dir:
		return 0, syscall.EISDIR
	}
	return 0, syscall.EINVAL
}

// sysFallocate is fallocate(2).
func sysFallocate(s *System, a args) (uintptr, syscall.Errno) {
	mode, off, n := uint32(a.a2), int64(a.a3), int64(a.a4)
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, syscall.ENODEV)
	}
	defer d.release()
	switch {
	case d.isPath():
		return 0, syscall.EBADF
	case off < 0 || n <= 0:
		return 0, syscall.EINVAL
	case !d.writable():
		return 0, syscall.EBADF
	}
	switch o := d.object.(type) {
	case *regular:
		return result(o.Allocate(mode, off, n))
	case *pipeEnd:
		return 0, syscall.ESPIPE
	}
	return 0, syscall.ENODEV
}

// sysFsync is fsync(2), fdatasync(2) and sync_file_range(2).
func sysFsync(s *System, a args) (uintptr, syscall.Errno) {
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, syscall.EINVAL)
	}
	defer d.release()
	switch o := d.object.(type) {
	case *regular:
		return result(o.Sync())
	case *directory:
		if dir, ok := o.Dir.(vnode.Syncer); ok {
			return result(dir.Sync())
		}
		return 0, 0
	case *pathOnly:
		return 0, syscall.EBADF
	}
	return 0, syscall.EINVAL
}

// sysSyncfs is syncfs(2).
func sysSyncfs(s *System, a args) (uintptr, syscall.Errno) {
	if _, errno := s.nodeOfDescriptor(a.a1); errno != 0 {
		return 0, errno
	}
	return result(s.collectAll(nil))
}

// sysSync is sync(2).
func sysSync(s *System, a args) (uintptr, syscall.Errno) {
	s.collectAll(nil) // which cannot fail, says the manual page
	return 0, 0
}

// sysFadvise64 is posix_fadvise(2) and readahead(2): advice.
func sysFadvise64(s *System, a args) (uintptr, syscall.Errno) {
	d, errno := s.get(a.a1)
	if errno != 0 {
		return 0, s.refuse(a.a1, syscall.ESPIPE)
	}
	defer d.release()
	if _, ok := d.object.(positioned); !ok {
		return 0, syscall.ESPIPE
	}
	return 0, 0
}
