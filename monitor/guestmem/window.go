package guestmem

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
)

// Window is a stretch of guest physical space behind the RAM in which files of the host's appear: the pages are those of the
// host's page cache, so what one side writes the other sees, and they are no part of the RAM. It is not safe for concurrent use.
//
// A file may be cut short at any time. Its pages behind the end are then a fault (SIGBUS) for this process, too.
type Window struct {
	base  hypercall.GPA
	all   []byte // address space of the host's, without memory where no file is
	limit uint64 // bytes that may be in use
	used  uint64
	files []*File // by place
}

// File is a part of a file in a Window. It has a descriptor of its own.
type File struct {
	Off, Len uint64 // place in the window, bytes
	Write    bool   // the pages may be written to
	n        uint64 // bytes of the file; 0: nothing is there, but the place is taken
	fd       int
	at       int64 // of the first page in the file
}

// Idle reports whether nothing is there any more.
func (f *File) Idle() bool { return f.n == 0 }

// FileAlign is what places in a window are multiples of.
const FileAlign = hugePage

// Errors of Window.Map beside the host's.
var (
	ErrWindowFull = errors.New("too much of files is mapped")
	ErrFileEnd    = errors.New("page is behind the end of its file")
)

// NewWindow makes a window of size bytes behind a guest's RAM, of which limit may be in use.
func NewWindow(r *RAM, size, limit uint64) (*Window, error) {
	end := uint64(gpaOf(r.Size()))
	const unit = 1 << 30
	w := &Window{base: hypercall.GPA((end + 2*unit) &^ (unit - 1)), limit: min(limit, size)} // never a neighbour of the RAM
	// Every processor with virtualization has 39 bits of physical addresses; one with more RAM than that has more.
	const least = 1 << 39
	if uint64(w.base) < least {
		size = min(size, least-uint64(w.base))
	}
	var err error
	w.all, err = unix.Mmap(-1, 0, int(size), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of addresses for files: %w", size, err)
	}
	return w, nil
}

// Close releases everything. No slice of Bytes may be used afterwards.
func (w *Window) Close() error {
	var errs []error
	for _, f := range w.files {
		errs = append(errs, f.closeFD())
	}
	errs = append(errs, unix.Munmap(w.all))
	w.all, w.files = nil, nil
	return errors.Join(errs...)
}

func (f *File) closeFD() error {
	if f.fd < 0 {
		return nil
	}
	err := unix.Close(f.fd)
	f.fd = -1
	return err
}

// GPA is the guest physical address of a place.
func (w *Window) GPA(off uint64) hypercall.GPA { return w.base + hypercall.GPA(off) }

// Slot is where a file appears.
func (w *Window) Slot(f *File) Slot {
	return Slot{GPA: w.GPA(f.Off), Mem: w.all[f.Off : f.Off+f.Len : f.Off+f.Len]}
}

// Bytes returns the n bytes at gpa, or false if they are not all of one file.
func (w *Window) Bytes(gpa hypercall.GPA, n uint64) ([]byte, bool) {
	if w == nil || gpa < w.base {
		return nil, false
	}
	off := uint64(gpa - w.base)
	f := w.At(off)
	if f == nil || n > f.Off+f.n-off {
		return nil, false
	}
	return w.all[off : off+n : off+n], true
}

// At returns the file that has a place in the window, or nil.
func (w *Window) At(off uint64) *File {
	if w == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(w.files, off, func(f *File, off uint64) int { return cmp.Compare(f.Off, off) })
	if !ok {
		i--
	}
	if i < 0 || off-w.files[i].Off >= w.files[i].n {
		return nil
	}
	return w.files[i]
}

// Map makes n bytes of the file fd from at on appear in the window; both are multiples of PageSize, and the file may be shorter.
// Unless there is an error, the descriptor is the window's. It takes an idle place if one fits well; fresh tells that it did not.
func (w *Window) Map(fd int, at int64, n uint64, write bool) (f *File, fresh bool, err error) {
	f = w.idle(n)
	if fresh = f == nil; fresh {
		if f = w.place(n); f == nil {
			return nil, false, ErrWindowFull
		}
	}
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	if err := w.remap(f.Off, n, prot, unix.MAP_SHARED, fd, at); err != nil {
		if fresh {
			w.Remove(f)
		}
		return nil, false, err
	}
	f.fd, f.at, f.n, f.Write = fd, at, n, write
	return f, fresh, nil
}

// idle returns the smallest idle place with n bytes that is no waste.
func (w *Window) idle(n uint64) (best *File) {
	for _, f := range w.files {
		if f.Idle() && f.Len >= n && f.Len/4 <= n && (best == nil || f.Len < best.Len) {
			best = f
		}
	}
	return best
}

// place makes a place of n bytes.
func (w *Window) place(n uint64) *File {
	if n > w.limit-w.used || len(w.files) >= hypercall.MaxShareMaps {
		return nil
	}
	at, i := uint64(0), 0
	for ; i < len(w.files) && w.files[i].Off-at < n; i++ {
		at = (w.files[i].Off + w.files[i].Len + FileAlign - 1) &^ (FileAlign - 1)
	}
	if at > uint64(len(w.all)) || n > uint64(len(w.all))-at {
		return nil
	}
	f := &File{Off: at, Len: n, fd: -1}
	w.files = slices.Insert(w.files, i, f)
	w.used += n
	return f
}

// Unmap takes a file out of the window; its place stays taken until Remove.
func (w *Window) Unmap(f *File) error {
	f.n = 0
	return errors.Join(w.clear(f.Off, f.Len), f.closeFD())
}

// Abandon undoes Map, but for the descriptor.
func (w *Window) Abandon(f *File) {
	f.fd = -1
	w.Unmap(f)
	w.Remove(f)
}

// Remove makes an idle place free.
func (w *Window) Remove(f *File) {
	w.files = slices.DeleteFunc(w.files, func(g *File) bool { return g == f })
	w.used -= f.Len
}

// Files are the places that are taken, by place.
func (w *Window) Files() []*File {
	if w == nil {
		return nil
	}
	return w.files
}

// Valid returns how many bytes from a place of f on are not behind the file's end, in whole pages.
func (w *Window) Valid(f *File, off uint64) uint64 {
	var st unix.Stat_t
	if unix.Fstat(f.fd, &st) != nil || st.Size <= f.at {
		return 0
	}
	end := min(f.n, (uint64(st.Size-f.at)+PageSize-1)&^(PageSize-1))
	if skip := off - f.Off; skip < end {
		return end - skip
	}
	return 0
}

// Bring has the host read the page at a place of f, if it has to. Errors: ErrFileEnd, also if the page cannot be read.
func (w *Window) Bring(f *File, off uint64, write bool) error {
	if w.Valid(f, off) == 0 {
		return ErrFileEnd
	}
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	err := unix.Madvise(w.all[off:off+PageSize], advice)
	if errors.Is(err, unix.EINVAL) {
		return nil // a kernel before 5.14: the guest's touch brings it
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFileEnd, err)
	}
	return nil
}

// Flush makes every processor forget translations to n bytes at gpa.
func (w *Window) Flush(gpa hypercall.GPA, n uint64) error {
	off := uint64(gpa - w.base)
	// Of a shared mapping the contents stay.
	if err := unix.Madvise(w.all[off:off+n], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("flush translations of a mapped file: %w", err)
	}
	return nil
}
