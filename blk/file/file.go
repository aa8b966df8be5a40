// Package file is a disk in a raw image file or on a block device of the host.
//
// A writable image is locked against every other opener, a read-only one against writers. The locks are flock(2)'s:
// they are on whole files, need no write permission, go away with the process, are respected by udev and systemd on
// block devices, and flock(1) and /proc/locks show who holds one, which they don't for OFD locks. They are advisory:
// QEMU, which takes OFD locks, is not kept away.
package file

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ukvm.dev/blk"
)

// Options say how an image is opened.
type Options struct {
	BlockSize int64 // 512 or 4096
	ReadOnly  bool
	// Direct passes the host's page cache by (O_DIRECT). Open fails where the file system cannot, or not with BlockSize.
	Direct bool
}

type disk struct {
	path  string
	fd    int
	info  blk.Info
	align int // of addresses of memory, for direct I/O; 0 without it

	zeroRange atomic.Bool // FALLOC_FL_ZERO_RANGE has not been refused yet
	punchHole atomic.Bool // FALLOC_FL_PUNCH_HOLE has not been refused yet

	gate blk.Gate
}

// Open opens an image. It reads none of it, so that its time doesn't depend on the image's size.
func Open(path string, o Options) (blk.Backend, error) {
	d, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", path, err)
	}
	return d, nil
}

func open(path string, o Options) (*disk, error) {
	// O_NONBLOCK, so that a FIFO doesn't hang; it means nothing to files and block devices.
	flags := unix.O_CLOEXEC | unix.O_NONBLOCK
	lock := unix.LOCK_EX
	if o.ReadOnly {
		flags |= unix.O_RDONLY
		lock = unix.LOCK_SH
	} else {
		flags |= unix.O_RDWR
	}
	if o.Direct {
		flags |= unix.O_DIRECT
	}
	fd, err := unix.Open(path, flags, 0)
	if o.Direct && err == unix.EINVAL {
		return nil, errors.New("its file system has no direct I/O")
	}
	if err != nil {
		return nil, err
	}
	d := &disk{path: path, fd: fd}
	if err := d.prepare(o, lock); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

// prepare locks the open file and fills in what is known of it.
func (d *disk) prepare(o Options, lock int) error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return err
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFREG && kind != unix.S_IFBLK {
		return errors.New("it is neither a file nor a block device")
	}
	if err := unix.Flock(d.fd, lock|unix.LOCK_NB); err == unix.EWOULDBLOCK {
		return fmt.Errorf("it is in use: another guest or program holds its lock: %w", blk.ErrLocked)
	} else if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	size, err := unix.Seek(d.fd, 0, io.SeekEnd) // st_size is 0 for a device
	if err != nil {
		return err
	}
	d.info = blk.Info{Size: size, BlockSize: o.BlockSize, ReadOnly: o.ReadOnly}
	if err := blk.CheckInfo(d.info); err != nil {
		return err
	}
	if kind == unix.S_IFREG && !o.ReadOnly {
		// A hole beyond the end changes nothing, and tells whether there can be holes.
		if unix.Fallocate(d.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, size, o.BlockSize) == nil {
			d.info.Granularity = max(int64(st.Blksize), o.BlockSize)
		}
	}
	d.zeroRange.Store(true)
	d.punchHole.Store(true)
	if o.Direct {
		return d.prepareDirect()
	}
	return nil
}

func (d *disk) Info() blk.Info { return d.info }

// fail puts an error of the system's in words; a full file system or quota is blk.ErrFull.
func (d *disk) fail(what string, off int64, err error) error {
	if err == unix.ENOSPC || err == unix.EDQUOT {
		return fmt.Errorf("image %s: %s at %d: %w (%v)", d.path, what, off, blk.ErrFull, err)
	}
	return fmt.Errorf("image %s: %s at %d: %w", d.path, what, off, err)
}

func (d *disk) ReadAt(vec [][]byte, off int64) error {
	if err := d.gate.Enter(d.info, off, blk.Len(vec), false); err != nil {
		return err
	}
	defer d.gate.Leave()
	if d.align > 0 && !aligned(vec, d.align, d.info.BlockSize) {
		return d.bounce(vec, off, false)
	}
	return d.transfer(vec, off, false)
}

func (d *disk) WriteAt(vec [][]byte, off int64) error {
	if err := d.gate.Enter(d.info, off, blk.Len(vec), true); err != nil {
		return err
	}
	defer d.gate.Leave()
	if d.align > 0 && !aligned(vec, d.align, d.info.BlockSize) {
		return d.bounce(vec, off, true)
	}
	return d.transfer(vec, off, true)
}

// Flush is fdatasync. After an error Linux takes the pages for clean, so that a second call would succeed and hide the
// loss: the first error stays.
func (d *disk) Flush() error {
	return d.gate.Flush(d.info, func() error {
		if err := retry(func() error { return unix.Fdatasync(d.fd) }); err != nil {
			return d.fail("flush", 0, err)
		}
		return nil
	})
}

// Close closes the descriptor. Errors of earlier writes are Flush's to report.
func (d *disk) Close() error { return d.gate.Close(func() error { return unix.Close(d.fd) }) }

// retry repeats a call that a signal interrupted.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
