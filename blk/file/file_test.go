package file

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/blk"
	"ukvm.dev/blk/blktest"
)

const testSize = 1<<20 + 4096

// image makes one in a directory of the test's.
func image(t *testing.T, dir string, size int64, preallocate bool) string {
	t.Helper()
	path := filepath.Join(dir, "image")
	if err := Create(path, size, preallocate); err != nil {
		t.Fatal(err)
	}
	return path
}

// shm is a directory on a tmpfs, which has no ZERO_RANGE.
func shm(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "blk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestConform(t *testing.T) {
	for name, c := range map[string]struct {
		o           Options
		preallocate bool
	}{
		"512":          {Options{BlockSize: 512}, false},
		"4096":         {Options{BlockSize: 4096}, false},
		"preallocated": {Options{BlockSize: 512}, true},
		"direct":       {Options{BlockSize: 4096, Direct: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := image(t, t.TempDir(), testSize, c.preallocate)
			blktest.Conform(t, blktest.Disk{Keeps: true, Open: func() (blk.Backend, error) { return Open(path, c.o) }})
		})
	}
	t.Run("tmpfs", func(t *testing.T) {
		path := image(t, shm(t), testSize, false)
		blktest.Conform(t, blktest.Disk{Keeps: true, Open: func() (blk.Backend, error) { return Open(path, Options{BlockSize: 512}) }})
	})
}

// TestDirect sees that direct I/O with aligned memory is not bounced, and works.
func TestDirect(t *testing.T) {
	path := image(t, t.TempDir(), testSize, false)
	b, err := Open(path, Options{BlockSize: 4096, Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d := b.(*disk)
	v := [][]byte{alignedBuffer(8192, 4096), alignedBuffer(4096, 4096)}
	if !aligned(v, d.align, 4096) {
		t.Fatal("aligned memory is not taken for it")
	}
	if aligned([][]byte{v[0][1:4097]}, d.align, 4096) || aligned([][]byte{v[0][:512]}, d.align, 4096) {
		t.Error("odd memory is taken for aligned")
	}
	if err := errors.Join(d.transfer(v, 4096, true), d.transfer(v, 4096, false)); err != nil {
		t.Error(err)
	}
	flags, err := unix.FcntlInt(uintptr(d.fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_DIRECT == 0 {
		t.Errorf("flags are %#x, %v: without O_DIRECT", flags, err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		o    Options
		want string
	}{
		{filepath.Join(dir, "none"), Options{BlockSize: 512}, "no such file"},
		{dir, Options{BlockSize: 512, ReadOnly: true}, "neither a file nor a block device"},
		{dir, Options{BlockSize: 512}, "is a directory"},
		{fifo, Options{BlockSize: 512}, "neither a file nor a block device"},
		{"/dev/null", Options{BlockSize: 512}, "neither a file nor a block device"},
		{write("empty", 0), Options{BlockSize: 512}, "not a positive multiple"},
		{write("odd", 1000), Options{BlockSize: 512}, "not a positive multiple"},
		{write("short", 512), Options{BlockSize: 4096}, "not a positive multiple"},
		{write("good", 4096), Options{BlockSize: 1024}, "not 512 or 4096"},
	} {
		b, err := Open(c.path, c.o)
		if err == nil {
			b.Close()
			t.Errorf("%s was opened", c.path)
		} else if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%v, want the path and %q", err, c.want)
		}
	}
	if err := Create(filepath.Join(dir, "good"), 4096, false); !errors.Is(err, os.ErrExist) {
		t.Errorf("Create over a file: %v", err)
	}
	if err := Create(filepath.Join(dir, "huge"), 1<<60, true); err == nil {
		t.Error("an image of an exbibyte was preallocated")
	}
	if _, err := os.Stat(filepath.Join(dir, "huge")); err == nil {
		t.Error("an image that could not be made was left behind")
	}
}

func TestLock(t *testing.T) {
	path := image(t, t.TempDir(), testSize, false)
	writer, reader := Options{BlockSize: 512}, Options{BlockSize: 512, ReadOnly: true}
	open := func(o Options) blk.Backend {
		b, err := Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	refused := func(o Options) {
		t.Helper()
		if b, err := Open(path, o); !errors.Is(err, blk.ErrLocked) {
			if err == nil {
				b.Close()
			}
			t.Errorf("%+v: %v, want ErrLocked", o, err)
		}
	}
	w := open(writer)
	refused(writer)
	refused(reader)
	w.Close()
	r1, r2 := open(reader), open(reader)
	refused(writer)
	v := [][]byte{make([]byte, 512)}
	if err := r1.WriteAt(v, 0); !errors.Is(err, blk.ErrReadOnly) {
		t.Errorf("write to a read-only image: %v", err)
	}
	if err := r1.Flush(); err != nil {
		t.Error(err)
	}
	r1.Close()
	refused(writer)
	r2.Close()
	open(writer).Close()
}

// blocks is the space that a file takes, in units of 512 bytes.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks
}

func TestSpace(t *testing.T) {
	for _, preallocate := range []bool{false, true} {
		path := image(t, t.TempDir(), 1<<20, preallocate)
		if full := blocks(t, path) >= 1<<20/512; full != preallocate {
			t.Errorf("preallocated %v: it takes %d blocks", preallocate, blocks(t, path))
		}
		b, err := Open(path, Options{BlockSize: 4096})
		if err != nil {
			t.Fatal(err)
		}
		if b.Info().Granularity == 0 {
			t.Error("discards are said to free nothing")
		}
		if err := errors.Join(b.WriteAt([][]byte{make([]byte, 1<<20)}, 0), b.Flush(), b.Discard(0, 1<<20), b.Flush()); err != nil {
			t.Fatal(err)
		}
		if n := blocks(t, path); n > 64 {
			t.Errorf("after a discard of everything it takes %d blocks", n)
		}
		b.Close()
	}
}

// TestShrunk truncates an image under its disk, as a disk that disappears: an I/O error, and no zeroes in its place.
func TestShrunk(t *testing.T) {
	path := image(t, t.TempDir(), testSize, false)
	b, err := Open(path, Options{BlockSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	err = b.ReadAt([][]byte{make([]byte, 8192)}, 0)
	if blk.Errno(err) != syscall.EIO || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("%v, want EIO and a reason", err)
	}
}

// TestFailures puts a descriptor that fails in an open disk's place: /dev/full for a full one, a read-only one for
// errors, one without fdatasync for flushes.
func TestFailures(t *testing.T) {
	path := image(t, t.TempDir(), testSize, false)
	b, err := Open(path, Options{BlockSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d := b.(*disk)
	replace := func(path string, flags int) {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Dup3(fd, d.fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	v := [][]byte{make([]byte, 512)}
	replace("/dev/full", unix.O_RDWR)
	if err := b.WriteAt(v, 0); blk.Errno(err) != syscall.ENOSPC {
		t.Errorf("full: %v", err)
	}
	flushed := b.Flush() // EINVAL of fdatasync: the disk says EIO
	if blk.Errno(flushed) != syscall.EIO {
		t.Errorf("flush: %v", flushed)
	}
	replace(path, unix.O_RDONLY)
	if err := b.WriteAt(v, 0); blk.Errno(err) != syscall.EIO {
		t.Errorf("a descriptor that cannot write: %v", err)
	}
	if err := b.Flush(); err == nil || err != flushed {
		t.Errorf("a flush after a failed one: %v, want %v", err, flushed)
	}
}

// BenchmarkOpen opens a sparse image of 10 GB.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "image")
	if err := Create(path, 10e9, false); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d, err := Open(path, Options{BlockSize: 512})
		if err != nil {
			b.Fatal(err)
		}
		d.Close()
	}
}
