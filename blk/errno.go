package blk

import (
	"errors"
	"syscall"
)

// Errno is what a guest is told of a Backend's error: 0 for none, ENOSPC for a full disk, EROFS for a read-only one,
// EINVAL for a range, ENODEV for a disk that is closed, and EIO for all else. It never passes a number of the host's on,
// which would tell a guest about its files.
func Errno(err error) syscall.Errno {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrFull):
		return syscall.ENOSPC
	case errors.Is(err, ErrReadOnly):
		return syscall.EROFS
	case errors.Is(err, ErrRange):
		return syscall.EINVAL
	case errors.Is(err, ErrClosed):
		return syscall.ENODEV
	}
	return syscall.EIO
}
