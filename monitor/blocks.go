package monitor

import (
	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
	"ukvm.dev/monitor/paging"
)

// Blocks are 2 MiB of guest memory behind one page-table entry (package paging). Where memory is given back, a block
// costs more to take apart than to keep: KVM has to forget all it knows of the guest's page tables. So
//
//   - a block that is given back whole is emptied and stays bound to its address,
//   - one that is given back in part and may be touched again keeps its entry, and its pages count on as used,
//   - and when memory is short both are taken apart, all at once (reclaim).

// blockState says how a space uses blocks.
type blockState struct {
	use    bool   // new ones may be made
	spare  bool   // some could be taken apart
	bound  uint64 // how many are bound to their addresses: empty, but taken from the RAM
	stale  bool   // KVM must forget the page tables before the guest runs on
	pinned bool   // someone holds slices of guest memory: no page that is present may go
}

// used is how much memory the guest uses, in bytes.
func (s *space) used() uint64 { return s.ram.Used() - s.blocks.bound*paging.LargeSize }

// room reports whether n bytes are free, or can be made free.
func (s *space) room(n uint64) bool {
	return s.ram.Size()-s.ram.Used() >= n || s.reclaim() && s.ram.Size()-s.ram.Used() >= n
}

// fits reports whether a fresh block may be mapped at va for a range up to end.
func (s *space) fits(va, end hypercall.GVA, prot uint32) bool {
	return s.blocks.use && va%paging.LargeSize == 0 && end-va >= paging.LargeSize && prot&hypercall.ProtExec == 0 &&
		(s.image == nil || va >= s.image.End() || va+paging.LargeSize <= s.image.Start()) && // which has other contents
		s.tables.CanMapLarge(va)
}

// rebind makes a block that is bound around va present again if [va, end) has all of it, and forgets it otherwise.
func (s *space) rebind(b paging.Block, va, end hypercall.GVA, prot uint32) (back bool) {
	if b.VA != va || end-va < paging.LargeSize || prot&hypercall.ProtExec != 0 {
		s.unbind(b)
		return false
	}
	s.ram.Populate(b.GPA, paging.LargeSize)
	if s.tables.Rebind(va, prot) {
		s.blocks.stale = true
	}
	s.blocks.bound--
	return true
}

func (s *space) unbind(b paging.Block) {
	s.tables.Unbind(b.VA)
	s.ram.Release(b.GPA, paging.LargeSize)
	s.blocks.bound--
	s.blocks.stale = true
}

// boundIn returns the block that is bound around va, if a region has all of it.
func (s *space) boundIn(r hypercall.Region, va hypercall.GVA) (b paging.Block, ok bool) {
	b, ok = s.tables.Large(va, va+1)
	return b, ok && b.Bound && r.Start <= b.VA && b.VA+paging.LargeSize <= r.End
}

// dropBlock gives [from, to) of a block back.
func (s *space) dropBlock(b paging.Block, from, to hypercall.GVA) error {
	gpa, n := b.GPA+hypercall.GPA(from-b.VA), uint64(to-from)
	switch {
	case b.Bound:
		return nil // nothing is there
	case n == paging.LargeSize:
		s.tables.Bind(b.VA)
		s.blocks.bound++
		s.blocks.spare = true
		return s.ram.Empty(gpa, n)
	case s.stays(from, to):
		s.tables.MarkHoled(b.VA, true)
		s.blocks.spare = true
		return s.ram.Empty(gpa, n)
	}
	// A page that goes makes room for the table.
	if err := s.ram.Empty(gpa, hypercall.PageSize); err != nil {
		return err
	}
	s.split(b, gpa)
	return s.dropPages(from, to)
}

// stays reports whether the guest has [from, to), which is present, mapped as it is: a touch after it has been dropped
// is to find zeroes.
func (s *space) stays(from, to hypercall.GVA) bool {
	r, ok := s.region(from)
	_, prot, present := s.tables.Lookup(from)
	return ok && present && to <= r.End && r.Prot == prot
}

func (s *space) split(b paging.Block, frame hypercall.GPA) {
	s.tables.Split(b.VA, frame)
	s.blocks.stale = true
}

// protectBlock changes the protection of [from, to) of a block.
func (s *space) protectBlock(b paging.Block, from, to hypercall.GVA, prot uint32) error {
	switch {
	case b.Bound:
		return nil
	case to-from == paging.LargeSize && prot&hypercall.ProtExec == 0:
		if s.tables.ProtectLarge(b.VA, prot) {
			s.blocks.stale = true
		}
		return nil
	}
	frame, ok := s.ram.Alloc(0)
	if !ok {
		return paging.ErrNoMemory
	}
	s.split(b, frame)
	return s.protectPages(from, to, prot)
}

// reclaim takes apart what can be, and reports whether that has made memory free. A guest that has needed all of its
// memory once gets no further blocks: they would be taken apart again and again.
func (s *space) reclaim() (gained bool) {
	if !s.blocks.spare {
		return false
	}
	s.blocks.use, s.blocks.spare = false, s.blocks.pinned
	used := s.ram.Used()
	for va := hypercall.GVA(hypercall.ImageBase); ; {
		b, ok := s.tables.Large(va, hypercall.UserEnd)
		if !ok {
			break
		}
		switch {
		case b.Bound:
			s.unbind(b)
		case b.Holed && !s.blocks.pinned:
			s.thin(b)
		}
		va = b.VA + paging.LargeSize
	}
	return s.ram.Used() < used
}

// reserve is how much is kept free for what is committed while guest memory is pinned, in bytes.
const reserve = 1 << 20

// settle does, between two runs of the guest, what cannot be done in between. It reports whether KVM must forget the page
// tables before the guest runs on.
func (s *space) settle() (stale bool) {
	if s.blocks.spare {
		s.room(reserve)
	}
	stale, s.blocks.stale = s.blocks.stale, false
	return stale
}

// thin makes a block that has been given back in part pages, and gives back those that hold nothing but zeroes: a later
// touch finds the same. Which ones were given back does not matter, since they may have been touched again.
func (s *space) thin(b paging.Block) {
	s.tables.MarkHoled(b.VA, false)
	mem, _ := s.ram.Bytes(b.GPA, paging.LargeSize)
	var empty [paging.LargeSize / hypercall.PageSize]bool
	first := -1
	for i := range empty {
		empty[i] = guestmem.Zero(mem[i*hypercall.PageSize:][:hypercall.PageSize])
		if empty[i] && first < 0 {
			first = i
		}
	}
	if first < 0 {
		return
	}
	frame := b.GPA + hypercall.GPA(first*hypercall.PageSize)
	if s.ram.Empty(frame, hypercall.PageSize) != nil {
		return
	}
	s.split(b, frame)
	for i := first + 1; i < len(empty); i++ {
		from := i
		for i < len(empty) && empty[i] {
			i++
		}
		if i > from && s.dropPages(b.VA+hypercall.GVA(from*hypercall.PageSize), b.VA+hypercall.GVA(i*hypercall.PageSize)) != nil {
			return
		}
	}
}

// byBlocks calls f for each part of [start, end) that lies in a block, and pages for what is between them.
func (s *space) byBlocks(start, end hypercall.GVA, f func(b paging.Block, from, to hypercall.GVA) error,
	pages func(from, to hypercall.GVA) error) error {
	for at := start; at < end; {
		b, ok := s.tables.Large(at, end)
		from := end
		if ok {
			from = max(b.VA, at)
		}
		if at < from {
			if err := pages(at, from); err != nil {
				return err
			}
		}
		if !ok {
			break
		}
		to := min(b.VA+paging.LargeSize, end)
		if err := f(b, from, to); err != nil {
			return err
		}
		at = to
	}
	return nil
}
