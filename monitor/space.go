package monitor

import (
	"errors"
	"fmt"
	"io"
	"os"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
	"ukvm.dev/monitor/loader"
	"ukvm.dev/monitor/paging"
)

// space is a guest's address space: its RAM, its page tables, and what they show. Only the vCPU's thread uses it.
type space struct {
	ram    *guestmem.RAM
	tables *paging.Tables
	image  *loader.Image
	file   *os.File // what the image is read from

	imageSize uint64 // bytes of the image in the file
	control   *hypercall.Control
	clock     *hypercall.Clock
	regions   *hypercall.Regions
	runs      []paging.Run // scratch
	blocks    blockState
	window    *guestmem.Window // in which files appear (files.go); nil: none ever did
	filePages uint64           // pages of files that were made present

	streams [4]stream // recent commits, to see which go on
	next    int       // the one to be replaced
	most    uint64    // the largest chunk
}

// stream is a place where the guest touches memory for the first time: the end of its last commit there, and how much
// that was.
type stream struct {
	end   hypercall.GVA
	chunk uint64
}

// errBadAddress means that the guest named memory it has not mapped, or not for that use.
var errBadAddress = errors.New("address is not mapped")

// Commit sizes. A touched page brings the chunk around it. Where touches run on upwards, as allocation does, chunks
// grow, since each commit costs an exit, up to a share of the memory.
const (
	minChunk   = 64 << 10
	maxChunk   = 2 << 20
	chunkShare = 128
)

// newSpace makes an address space with the shared range in it.
func newSpace(size uint64) (*space, error) {
	ram, err := guestmem.New(size)
	if err != nil {
		return nil, err
	}
	ram.Warm()
	s := &space{ram: ram, most: minChunk}
	for s.most < maxChunk && s.most < size/chunkShare {
		s.most *= 2
	}
	s.blocks.use = s.most == maxChunk
	if err := s.mapShared(); err != nil {
		ram.Close()
		return nil, err
	}
	return s, nil
}

func (s *space) mapShared() error {
	var err error
	if s.tables, err = paging.New(s.ram); err != nil {
		return err
	}
	const (
		rw = hypercall.ProtRead | hypercall.ProtWrite
		ro = hypercall.ProtRead
	)
	control, err := s.reserve(hypercall.ControlVA, uint64(hypercall.ClockVA-hypercall.ControlVA), rw)
	if err != nil {
		return err
	}
	clock, err := s.reserve(hypercall.ClockVA, uint64(hypercall.BootVA-hypercall.ClockVA), ro)
	if err != nil {
		return err
	}
	regions, err := s.reserve(hypercall.RegionsVA, uint64(hypercall.RingsVA-hypercall.RegionsVA), rw)
	if err != nil {
		return err
	}
	s.control, s.clock, s.regions = controlOf(control), clockOf(clock), regionsOf(regions)
	return nil
}

// reserve maps n bytes at va to one block of RAM that stays there for good, and returns it.
func (s *space) reserve(va hypercall.GVA, n uint64, prot uint32) ([]byte, error) {
	order := 0
	for guestmem.PageSize<<order < n {
		order++
	}
	gpa, ok := s.ram.Alloc(order)
	if !ok {
		return nil, paging.ErrNoMemory
	}
	if rest := guestmem.PageSize<<order - n; rest > 0 {
		if err := s.ram.Discard(gpa+hypercall.GPA(n), rest); err != nil {
			return nil, err
		}
	}
	if err := s.tables.Map(va, gpa, n, prot); err != nil {
		return nil, err
	}
	b, _ := s.ram.Bytes(gpa, n)
	return b, nil
}

// regionAfter is the index of the first region that ends after va, in a table that is sorted.
func (s *space) regionAfter(va hypercall.GVA) int {
	lo, hi := 0, int(min(s.regions.Count, hypercall.MaxRegions))
	for lo < hi {
		mid := (lo + hi) / 2
		if s.regions.Table[mid].End > va {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// region returns the guest's region around va, as its table has it. The table is the guest's: whatever it says, the
// result is a page-aligned range within the user's part of the address space, with a protection that can be mapped.
func (s *space) region(va hypercall.GVA) (r hypercall.Region, ok bool) {
	lo := s.regionAfter(va)
	if lo == hypercall.MaxRegions {
		return r, false
	}
	r = s.regions.Table[lo] // a copy, checked and used
	const page = hypercall.PageSize - 1
	ok = lo < int(min(s.regions.Count, hypercall.MaxRegions)) && r.Start <= va && va < r.End &&
		r.Start&page == 0 && r.End&page == 0 && r.Start >= hypercall.ImageBase && r.End <= hypercall.UserEnd &&
		validProt(r.Prot)
	if r.Prot != hypercall.ProtNone {
		r.Prot |= hypercall.ProtRead
	}
	return r, ok
}

// validProt reports whether a protection can be mapped: known bits, and not both writable and executable.
func validProt(prot uint32) bool {
	const all = hypercall.ProtRead | hypercall.ProtWrite | hypercall.ProtExec
	return prot&^all == 0 && prot&(hypercall.ProtWrite|hypercall.ProtExec) != hypercall.ProtWrite|hypercall.ProtExec
}

// fault makes the page at va present if the guest has mapped it for the access (a Prot bit). Errors are errBadAddress,
// paging.ErrNoMemory and those of reading the image.
func (s *space) fault(va hypercall.GVA, access uint32) error {
	if _, prot, ok := s.tables.Lookup(va); ok {
		if prot&access == 0 {
			return errBadAddress
		}
		return nil // another translation was stale
	}
	if _, held := s.tables.Held(va); held {
		return errBadAddress // made inaccessible by a memory operation, whatever the table says
	}
	r, ok := s.region(va)
	if !ok || r.Prot&access == 0 {
		return errBadAddress
	}
	if from, to := inFiles(va, va+1); from < to {
		return s.faultFile(va, access, r)
	}
	page := va &^ (hypercall.PageSize - 1)
	st := s.stream(page)
	start := page &^ hypercall.GVA(st.chunk-1)
	end := min(start+hypercall.GVA(st.chunk), r.End)
	start = max(start, r.Start)
	if b, ok := s.boundIn(r, page); ok {
		start, end = b.VA, b.VA+paging.LargeSize
	} else if !s.room(uint64(end-start) + tablesRoom) {
		// Not enough for the chunk; for the page itself, perhaps.
		start, end = page, page+hypercall.PageSize
	}
	st.end = end
	if err := s.commit(start, end, r.Prot); err != nil {
		return err
	}
	if r.End-r.Start <= smallRegion {
		return s.commitSmall(va)
	}
	return nil
}

// Small regions come together: Go's runtime maps its indexes page by page, each into a reservation of its own, and then
// touches all of them. A fault in one region of at most smallRegion bytes brings those among smallSpan regions on either
// side.
const (
	smallRegion = 4 * hypercall.PageSize
	smallSpan   = 8
)

// commitSmall commits small regions near the one at va as far as there is memory for them.
func (s *space) commitSmall(va hypercall.GVA) error {
	n := min(s.regions.Count, hypercall.MaxRegions)
	at := s.regionAfter(va)
	for i := max(at-smallSpan, 0); i < min(at+smallSpan, int(n)); i++ {
		r, ok := s.region(s.regions.Table[i].Start)
		if !ok || r.Prot == hypercall.ProtNone || r.End-r.Start > smallRegion {
			continue
		}
		if !s.room(smallRegion + tablesRoom) {
			return nil
		}
		if err := s.commit(r.Start, r.End, r.Prot); err != nil {
			return err
		}
	}
	return nil
}

// tablesRoom is more than the tables take, in bytes, that a chunk needs.
const tablesRoom = 8 * hypercall.PageSize

// stream finds the stream that a touched page continues, with the next chunk's size, or begins one.
func (s *space) stream(page hypercall.GVA) *stream {
	for i := range s.streams {
		if st := &s.streams[i]; page-st.end < hypercall.GVA(st.chunk) {
			st.chunk = min(2*st.chunk, s.most)
			return st
		}
	}
	st := &s.streams[s.next]
	s.next = (s.next + 1) % len(s.streams)
	st.chunk = minChunk
	return st
}

// commit makes the absent pages of [start, end) present, but for those of files.
func (s *space) commit(start, end hypercall.GVA, prot uint32) error {
	defer func() { s.control.Resident = s.used() }()
	return aroundFiles(start, end, func(from, to hypercall.GVA) error {
		return s.commitRAM(from, to, prot)
	}, func(from, to hypercall.GVA) error { return nil })
}

// commitRAM is commit where no files are.
func (s *space) commitRAM(start, end hypercall.GVA, prot uint32) error {
	for va := start; va < end; {
		n, held := s.tables.Held(va)
		if held {
			va += hypercall.GVA(n)
			continue
		}
		stop := min(va+hypercall.GVA(n), end)
		for stop < end {
			n, held := s.tables.Held(stop)
			if held {
				break
			}
			stop = min(stop+hypercall.GVA(n), end)
		}
		if err := s.commitAbsent(va, stop, prot); err != nil {
			return err
		}
		va = stop
	}
	return nil
}

// commitAbsent maps fresh frames at [va, end), where nothing is present, in blocks as large as go.
func (s *space) commitAbsent(va, end hypercall.GVA, prot uint32) error {
	for va < end {
		if b, ok := s.tables.Large(va, va+1); ok && s.rebind(b, va, end, prot) {
			va += paging.LargeSize
			continue
		}
		order := 0
		for order < guestmem.MaxOrder && va%(hypercall.PageSize<<(order+1)) == 0 && va+hypercall.PageSize<<(order+1) <= end {
			order++
		}
		gpa, ok := s.ram.Alloc(order)
		for !ok && order > 0 {
			order--
			gpa, ok = s.ram.Alloc(order)
		}
		if !ok {
			if s.reclaim() {
				continue
			}
			return paging.ErrNoMemory
		}
		n := uint64(hypercall.PageSize) << order
		s.ram.Populate(gpa, n)
		err := s.fill(va, gpa, n)
		switch {
		case err != nil:
		case order == guestmem.MaxOrder && s.fits(va, end, prot):
			err = s.tables.MapLarge(va, gpa, prot)
		default:
			err = s.tables.Map(va, gpa, n, prot)
		}
		if err != nil {
			// The block goes back. It lies in one table, which is what was missing, so none of it is mapped.
			return errors.Join(err, s.ram.Discard(gpa, n))
		}
		va += hypercall.GVA(n)
	}
	return nil
}

// fill reads what the image has for [va, va+n) into the fresh frames at gpa.
func (s *space) fill(va hypercall.GVA, gpa hypercall.GPA, n uint64) error {
	if s.image == nil || va >= s.image.End() || va+hypercall.GVA(n) <= s.image.Start() {
		return nil
	}
	b, _ := s.ram.Bytes(gpa, n)
	for i := range s.image.Segments {
		seg := &s.image.Segments[i]
		from, to := max(va, seg.Start), min(va+hypercall.GVA(n), seg.Start+hypercall.GVA(seg.FileSize))
		if from >= to {
			continue
		}
		_, err := s.file.ReadAt(b[from-va:to-va], seg.Offset+int64(from-seg.Start))
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read image: %w", err)
		}
	}
	return nil
}

// slices appends to dst the host memory behind [va, va+n), which must be mapped for the access, committing what has not
// been touched yet. Adjacent frames make one slice.
func (s *space) slices(dst [][]byte, va hypercall.GVA, n uint64, access uint32) ([][]byte, error) {
	if n > uint64(hypercall.UserEnd) || va > hypercall.UserEnd-hypercall.GVA(n) {
		return dst, errBadAddress
	}
	s.blocks.pinned = true
	defer func() { s.blocks.pinned = false }()
	var run paging.Run
	flush := func() {
		if run.Len > 0 {
			b, ok := s.ram.Bytes(run.GPA, run.Len)
			if !ok {
				b, _ = s.window.Bytes(run.GPA, run.Len)
			}
			dst = append(dst, b)
		}
	}
	for n > 0 {
		next, prot, ok := s.tables.Stretch(va, n)
		if !ok {
			if err := s.fault(va, access); err != nil {
				return dst, err
			}
			continue
		}
		if prot&access == 0 {
			return dst, errBadAddress
		}
		if run.Len > 0 && run.GPA+hypercall.GPA(run.Len) == next.GPA && next.GPA != guestmem.HoleEnd {
			run.Len += next.Len
		} else {
			flush()
			run = next
		}
		va += hypercall.GVA(next.Len)
		n -= next.Len
	}
	flush()
	return dst, nil
}

// read copies guest memory into b.
func (s *space) read(b []byte, va hypercall.GVA) error {
	var pieces [4][]byte
	from, err := s.slices(pieces[:0], va, uint64(len(b)), hypercall.ProtRead)
	if err != nil {
		return err
	}
	for _, p := range from {
		b = b[copy(b, p):]
	}
	return nil
}

// write copies b into guest memory.
func (s *space) write(va hypercall.GVA, b []byte) error {
	var pieces [4][]byte
	to, err := s.slices(pieces[:0], va, uint64(len(b)), hypercall.ProtWrite)
	if err != nil {
		return err
	}
	for _, p := range to {
		b = b[copy(p, b):]
	}
	return nil
}

// drop gives the pages of a range back.
func (s *space) drop(start, end hypercall.GVA) error {
	defer func() { s.control.Resident = s.used() }()
	return aroundFiles(start, end, func(from, to hypercall.GVA) error {
		return s.byBlocks(from, to, s.dropBlock, s.dropPages)
	}, s.dropFiles)
}

// dropPages is drop where no blocks are.
func (s *space) dropPages(start, end hypercall.GVA) error {
	s.runs = s.tables.Unmap(start, end, s.runs[:0])
	for _, r := range s.runs {
		if err := s.ram.Discard(r.GPA, r.Len); err != nil {
			return err
		}
	}
	return nil
}

// protect changes the protection of the pages of a range that are present. It can run out of memory for tables.
func (s *space) protect(start, end hypercall.GVA, prot uint32) error {
	defer func() { s.control.Resident = s.used() }()
	s.room(tablesRoom)
	return aroundFiles(start, end, func(from, to hypercall.GVA) error {
		return s.byBlocks(from, to, func(b paging.Block, from, to hypercall.GVA) error {
			return s.protectBlock(b, from, to, prot)
		}, func(from, to hypercall.GVA) error {
			return s.protectPages(from, to, prot)
		})
	}, func(from, to hypercall.GVA) error {
		return s.protectFiles(from, to, prot)
	})
}

// protectPages is protect where no blocks are.
func (s *space) protectPages(start, end hypercall.GVA, prot uint32) error {
	s.runs = s.tables.Protect(start, end, prot, s.runs[:0])
	for _, r := range s.runs {
		if err := s.ram.Flush(r.GPA, r.Len); err != nil {
			return err
		}
	}
	return nil
}

func (s *space) close() error {
	if s.window != nil {
		return errors.Join(s.window.Close(), s.ram.Close())
	}
	return s.ram.Close()
}
