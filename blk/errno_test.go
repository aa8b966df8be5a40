package blk

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
)

func TestErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0}, {ErrFull, syscall.ENOSPC}, {ErrReadOnly, syscall.EROFS}, {ErrRange, syscall.EINVAL}, {ErrClosed, syscall.ENODEV},
		{ErrCorrupt, syscall.EIO}, {errors.New("any"), syscall.EIO}, {syscall.EACCES, syscall.EIO},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("the disk: %w", err)
		}
		if got := Errno(err); got != c.want {
			t.Errorf("%v: %d, want %d", err, got, c.want)
		}
	}
}
