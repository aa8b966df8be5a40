package file

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ukvm.dev/blk"
)

// Create makes a new image that reads as zeroes, durably, and refuses a path that exists. A preallocated one has all its
// space, so that writing it cannot fill the file system; blk.ErrFull if there is not enough. Size is in bytes, a
// multiple of 512.
func Create(path string, size int64, preallocate bool) error {
	if err := create(path, size, preallocate); err != nil {
		if err == unix.ENOSPC || err == unix.EDQUOT {
			err = fmt.Errorf("%w (%v)", blk.ErrFull, err)
		}
		return fmt.Errorf("image %s: create: %w", path, err)
	}
	return nil
}

func create(path string, size int64, preallocate bool) (err error) {
	if err := blk.CheckInfo(blk.Info{Size: size, BlockSize: 512}); err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600) // a guest's data is its owner's
	if err != nil {
		return err
	}
	defer func() {
		unix.Close(fd)
		if err != nil {
			unix.Unlink(path)
		}
	}()
	if err := unix.Ftruncate(fd, size); err != nil {
		return err
	}
	if preallocate {
		if err := retry(func() error { return unix.Fallocate(fd, 0, 0, size) }); err != nil {
			return err
		}
	}
	if err := unix.Fsync(fd); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes the name durable.
func syncDirectory(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsync(fd)
}
