// Package guestmem holds a guest's RAM: host memory of exactly the size the guest was given, addressed by guest physical
// addresses ([hypercall.GPA]) through one overflow-safe check, and divided into frames that are handed out and taken
// back. Free frames are always zero and cost the host nothing.
//
// RAM appears at guest physical address 0; what exceeds 3 GiB continues at 4 GiB, because KVM keeps pages of its own
// just below (HoleStart). A RAM is not safe for concurrent use, except that Bytes may be called by anyone.
package guestmem

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
)

// PageSize is the size of a frame in bytes.
const PageSize = hypercall.PageSize

// The hole in guest physical space.
const (
	HoleStart = 3 << 30
	HoleEnd   = 4 << 30
)

// MaxSize is the largest RAM: what the page tables and Go's slices take without trouble.
const MaxSize = 1 << 40

// ErrSize is wrapped by errors of New about the size asked for.
var ErrSize = errors.New("bad memory size")

// RAM is the memory of one guest.
type RAM struct {
	all    []byte // the whole mapping
	mem    []byte // the RAM in it
	frames allocator
	warm   *warm
	files  []fileRange // parts that show a file
}

type fileRange struct {
	start, end uint64 // offsets in mem
	holes      int    // pieces that have been given back
}

func (f *fileRange) overlaps(off, n uint64) bool { return off < f.end && f.start < off+n }

// New reserves size bytes, a multiple of PageSize. Memory is used as it is touched.
func New(size uint64) (*RAM, error) {
	if size == 0 || size%PageSize != 0 || size > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrSize, size)
	}
	// One huge page more than asked for, so that the RAM can begin at a multiple of its size.
	all, err := unix.Mmap(-1, 0, int(size+hugePage), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of guest memory: %w", size, err)
	}
	lead := alignment(all)
	mem := all[lead : lead+size : lead+size]
	advise(mem)
	r := &RAM{all: all, mem: mem}
	r.frames.init(size / PageSize)
	return r, nil
}

// advise tells the host what fresh mappings of guest memory are for.
func advise(mem []byte) {
	// Huge pages would make sparse guests slow and large: 2 MiB are cleared for a few pages. Populate asks for them
	// where they pay.
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	// A child process that the host program starts has no use for it, nor has a core dump.
	_ = unix.Madvise(mem, unix.MADV_DONTFORK)
	_ = unix.Madvise(mem, unix.MADV_DONTDUMP)
}

// Close releases the memory. No slice of Bytes may be used afterwards.
func (r *RAM) Close() error {
	if r.mem == nil {
		return nil
	}
	err := unix.Munmap(r.all)
	r.all, r.mem = nil, nil
	return err
}

// Size is the size of the memory in bytes.
func (r *RAM) Size() uint64 { return uint64(len(r.mem)) }

// Slots are the stretches of host memory and where they appear in guest physical space.
func (r *RAM) Slots() []Slot {
	if len(r.mem) <= HoleStart {
		return []Slot{{0, r.mem}}
	}
	return []Slot{{0, r.mem[:HoleStart]}, {HoleEnd, r.mem[HoleStart:]}}
}

// Slot is a stretch of guest physical space.
type Slot struct {
	GPA hypercall.GPA
	Mem []byte
}

// Bytes returns the n bytes at gpa, or false if they are not all RAM. It is the only way from a guest physical address
// to bytes.
func (r *RAM) Bytes(gpa hypercall.GPA, n uint64) ([]byte, bool) {
	off, ok := r.offset(gpa, n)
	if !ok {
		return nil, false
	}
	return r.mem[off : off+n : off+n], true
}

// offset checks a range and returns where it begins in mem. The comparisons cannot overflow: size - n is computed only
// when n <= size.
func (r *RAM) offset(gpa hypercall.GPA, n uint64) (uint64, bool) {
	size, off := uint64(len(r.mem)), uint64(gpa)
	end := size // of the stretch off lies in
	if off >= HoleEnd {
		off -= HoleEnd - HoleStart
	} else {
		end = min(end, HoleStart)
	}
	return off, n <= end && off <= end-n
}

func gpaOf(off uint64) hypercall.GPA {
	if off >= HoleStart {
		off += HoleEnd - HoleStart
	}
	return hypercall.GPA(off)
}

// Alloc takes a block of PageSize<<order bytes, aligned to its size and zero, or reports that there is none. order is
// at most MaxOrder.
func (r *RAM) Alloc(order int) (hypercall.GPA, bool) {
	frame, ok := r.warm.alloc(order)
	if !ok {
		frame, ok = r.frames.alloc(order)
	}
	return gpaOf(frame * PageSize), ok
}

// Discard gives n bytes at gpa, whole frames in use, back: their content is dropped on the host, which also makes every
// processor forget translations to them, and they can be handed out again.
func (r *RAM) Discard(gpa hypercall.GPA, n uint64) error {
	if err := r.Empty(gpa, n); err != nil {
		return err
	}
	r.Release(gpa, n)
	return nil
}

// Empty drops the content of n bytes at gpa, whole frames in use, which stay in use: they cost the host nothing until
// they are touched, and are zero then. Every processor forgets translations to them.
func (r *RAM) Empty(gpa hypercall.GPA, n uint64) error {
	off, ok := r.offset(gpa, n)
	if !ok {
		panic("BUG: discard outside of guest memory")
	}
	if err := r.drop(off, n); err != nil {
		return fmt.Errorf("give back guest memory: %w", err)
	}
	r.warm.lost(off/PageSize, n/PageSize)
	return nil
}

// Release lets n bytes at gpa, whole frames in use that have been emptied and not touched since, be handed out again.
func (r *RAM) Release(gpa hypercall.GPA, n uint64) {
	off, ok := r.offset(gpa, n)
	if !ok {
		panic("BUG: release outside of guest memory")
	}
	for f := off / PageSize; f < (off+n)/PageSize; f++ {
		if r.warm.has(f) {
			r.warm.frames.release(f)
		} else {
			r.frames.release(f)
		}
	}
}

// hugePage is the size of the host's huge pages.
const hugePage = 2 << 20

// Populate has the host provide the memory of n bytes at gpa, a fresh block, now: one call for all pages costs less than
// a fault for each, and KVM maps neighbours of a touched page along with it if they are there. A block as large as a huge page is one.
func (r *RAM) Populate(gpa hypercall.GPA, n uint64) {
	off, ok := r.offset(gpa, n)
	if ok && !r.warm.provided(off/PageSize, n/PageSize) {
		r.populate(r.mem[off : off+n])
	}
}

// maxHoles is in how many pieces a stretch that shows a file may be given back. Each makes the host's mappings of it two
// more, and a process can have 65530 in all: a guest must not use up those of the program that runs it.
const maxHoles = 4

func (r *RAM) drop(off, n uint64) error {
	for i := len(r.files) - 1; i >= 0; i-- {
		f := &r.files[i]
		if !f.overlaps(off, n) {
			continue
		}
		if f.holes++; f.holes > maxHoles {
			if err := r.keepCopy(f.start, f.end); err != nil {
				return err
			}
			r.files = slices.Delete(r.files, i, i+1)
		}
	}
	for i := range r.files {
		if r.files[i].overlaps(off, n) {
			// MADV_DONTNEED would bring the file's content back.
			return r.remap(off, n, -1, 0)
		}
	}
	if n >= hugePage {
		_ = unix.Madvise(r.mem[off:off+n], unix.MADV_NOHUGEPAGE)
	}
	return unix.Madvise(r.mem[off:off+n], unix.MADV_DONTNEED)
}

// keepCopy makes a stretch that shows a file memory of its own, with the same content.
func (r *RAM) keepCopy(start, end uint64) error {
	b := bytes.Clone(r.mem[start:end])
	if err := r.remap(start, end-start, -1, 0); err != nil {
		return err
	}
	for i := 0; i < len(b); i += PageSize {
		if page := b[i : i+PageSize]; !Zero(page) {
			copy(r.mem[start+uint64(i):], page)
		}
	}
	return nil
}

// Zero reports whether a page is what fresh memory is.
func Zero(page []byte) bool {
	var zero [PageSize]byte
	return bytes.Equal(page, zero[:])
}

// Flush makes every processor forget translations to n bytes at gpa, after their page-table entries were changed. KVM
// does that when the protection of the host's mapping changes, and the host's is changed and changed back here.
func (r *RAM) Flush(gpa hypercall.GPA, n uint64) error {
	off, ok := r.offset(gpa, n)
	if !ok {
		panic("BUG: flush outside of guest memory")
	}
	b := r.mem[off : off+n]
	if err := unix.Mprotect(b, unix.PROT_READ); err != nil {
		return fmt.Errorf("flush translations of guest memory: %w", err)
	}
	if err := unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return fmt.Errorf("flush translations of guest memory: %w", err)
	}
	return nil
}

// ShowFile makes n bytes at gpa, a block in use, show a file from an offset on, privately: what the guest writes stays
// its own, and what it does not write is shared with other guests of the same file. All are multiples of PageSize.
func (r *RAM) ShowFile(gpa hypercall.GPA, n uint64, f *os.File, at int64) error {
	off, ok := r.offset(gpa, n)
	if !ok {
		panic("BUG: file outside of guest memory")
	}
	if err := r.remap(off, n, int(f.Fd()), at); err != nil {
		return fmt.Errorf("map %s into guest memory: %w", f.Name(), err)
	}
	r.warm.lost(off/PageSize, n/PageSize)
	r.files = append(r.files, fileRange{start: off, end: off + n})
	return nil
}

// Used is the number of bytes in use.
func (r *RAM) Used() uint64 { return uint64(int64(r.frames.used)+r.warm.used()) * PageSize }
