package paging

import (
	"encoding/binary"
	"errors"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
)

// Bits of an entry.
const (
	present   = 1 << 0
	writable  = 1 << 1
	user      = 1 << 2
	accessed  = 1 << 5 // set from the start, so that the processor need not write it
	dirty     = 1 << 6
	parked    = 1 << 9 // ignored by the processor
	noExecute = 1 << 63

	addressMask = 0x000f_ffff_ffff_f000

	entries = 512
	levels  = 4
)

// ErrNoMemory means that the guest's RAM is used up.
var ErrNoMemory = errors.New("guest memory is used up")

// Tables are the page tables of one guest. They are not safe for concurrent use.
type Tables struct {
	ram  *guestmem.RAM
	root hypercall.GPA

	leaves [leafCache]leaf // tables of level 1 that were looked at, by the low bits of their number
}

// leaf is a table of level 1. Those that there are stay (package comment), and so does what is known of them.
type leaf struct {
	number hypercall.GVA // of the 2 MiB that the table is for, from 0 on
	table  []byte        // nil: none
}

const leafCache = 32

// New makes empty tables.
func New(ram *guestmem.RAM) (*Tables, error) {
	root, ok := ram.Alloc(0)
	if !ok {
		return nil, ErrNoMemory
	}
	return &Tables{ram: ram, root: root}, nil
}

// Root is what belongs into CR3.
func (t *Tables) Root() hypercall.GPA { return t.root }

func (t *Tables) table(gpa hypercall.GPA) []byte {
	b, ok := t.ram.Bytes(gpa, hypercall.PageSize)
	if !ok {
		panic("BUG: page table outside of guest memory")
	}
	return b
}

func get(table []byte, i uint64) uint64    { return binary.LittleEndian.Uint64(table[8*i:]) }
func put(table []byte, i uint64, e uint64) { binary.LittleEndian.PutUint64(table[8*i:], e) }

// index is the place of va in a table of a level (4 is the root).
func index(va hypercall.GVA, level int) uint64 {
	return uint64(va) >> (12 + 9*(level-1)) & (entries - 1)
}

// reach returns the table of a level for va, making it and those above it if need be; nil if memory is used up.
func (t *Tables) reach(va hypercall.GVA, to int) []byte {
	table := t.table(t.root)
	for level := levels; level > to; level-- {
		i := index(va, level)
		e := get(table, i)
		if e&large != 0 {
			panic("BUG: table in place of a large entry")
		}
		if e&present == 0 {
			next, ok := t.ram.Alloc(0)
			if !ok {
				return nil
			}
			e = uint64(next) | present | writable | user | accessed
			put(table, i, e)
		}
		table = t.table(hypercall.GPA(e & addressMask))
	}
	return table
}

// bitsOf are the entry bits for a protection of user pages; ok is false for one the tables do not express: writable
// and executable at once.
func bitsOf(prot uint32) (uint64, bool) {
	const all = hypercall.ProtRead | hypercall.ProtWrite | hypercall.ProtExec
	if prot&^all != 0 || prot&(hypercall.ProtWrite|hypercall.ProtExec) == hypercall.ProtWrite|hypercall.ProtExec {
		return 0, false
	}
	if prot == hypercall.ProtNone {
		return parked | noExecute, true
	}
	e := uint64(present | user | accessed | dirty)
	if prot&hypercall.ProtWrite != 0 {
		e |= writable
	}
	if prot&hypercall.ProtExec == 0 {
		e |= noExecute
	}
	return e, true
}

// Map makes n bytes at va, where nothing is present, show n bytes at gpa, with a protection. The pages are the guest's;
// pages of the monitor are mapped by MapSupervisor.
func (t *Tables) Map(va hypercall.GVA, gpa hypercall.GPA, n uint64, prot uint32) error {
	e, ok := bitsOf(prot)
	if !ok {
		panic("BUG: mapping both writable and executable")
	}
	return t.install(va, gpa, n, e)
}

// Reserve makes the tables for the pages around va, as far as one table of the last level reaches (LargeSize): Map does not fail
// there any more.
func (t *Tables) Reserve(va hypercall.GVA) error {
	if t.reach(va, 1) == nil {
		return ErrNoMemory
	}
	return nil
}

// MapSupervisor maps pages that only CPL 0 can use, as the entry stubs do.
func (t *Tables) MapSupervisor(va hypercall.GVA, gpa hypercall.GPA, n uint64, prot uint32) error {
	e, ok := bitsOf(prot)
	if !ok {
		panic("BUG: mapping both writable and executable")
	}
	return t.install(va, gpa, n, e&^user)
}

func (t *Tables) install(va hypercall.GVA, gpa hypercall.GPA, n uint64, bits uint64) error {
	for off := uint64(0); off < n; {
		at := va + hypercall.GVA(off)
		table := t.reach(at, 1)
		if table == nil {
			return ErrNoMemory
		}
		for i := index(at, 1); i < entries && off < n; i++ {
			if get(table, i) != 0 {
				panic("BUG: mapping over a page that is present")
			}
			put(table, i, (uint64(gpa)+off)|bits)
			off += hypercall.PageSize
		}
	}
	return nil
}

// entry finds the last entry on va's way, and how much address space it covers: one of level 1, a large one, or that of
// the table that is missing, which is 0.
func (t *Tables) entry(va hypercall.GVA) (e uint64, span hypercall.GVA) {
	table, level := t.last(va)
	return get(table, index(va, level)), spanOf(level)
}

// last finds the table in which va's way ends.
func (t *Tables) last(va hypercall.GVA) (table []byte, level int) {
	number := va / LargeSize
	known := &t.leaves[number%leafCache]
	if known.table != nil && known.number == number {
		return known.table, 1
	}
	table, level = t.find(va, 1)
	if level == 1 {
		*known = leaf{number, table}
	}
	return table, level
}

// find returns the table of a level for va, or the one above it where the way ends: with an entry that leads to none.
func (t *Tables) find(va hypercall.GVA, to int) (table []byte, level int) {
	table, level = t.table(t.root), levels
	for ; level > to; level-- {
		e := get(table, index(va, level))
		if e&present == 0 || e&large != 0 {
			break
		}
		table = t.table(hypercall.GPA(e & addressMask))
	}
	return table, level
}

// spanOf is how much address space an entry of a level covers.
func spanOf(level int) hypercall.GVA { return 1 << (12 + 9*(level-1)) }

// Lookup returns the frame that va shows; ok is false if no page is present. prot is its protection for the guest.
func (t *Tables) Lookup(va hypercall.GVA) (gpa hypercall.GPA, prot uint32, ok bool) {
	r, prot, ok := t.Stretch(va, 1)
	return r.GPA, prot, ok
}

// Stretch returns the frames that va shows and what follows it, of n > 0 bytes at most: as far as they are neighbours, are
// protected alike, and are found on one way. ok is false if no page is present at va.
func (t *Tables) Stretch(va hypercall.GVA, n uint64) (r Run, prot uint32, ok bool) {
	table, level := t.last(va)
	i, span := index(va, level), spanOf(level)
	e := get(table, i)
	if e&(present|user) != present|user {
		return r, 0, false
	}
	r = Run{GPA: hypercall.GPA(e&addressMask) + hypercall.GPA(va%span), Len: uint64(span - va%span)}
	for step := uint64(span); level == 1 && r.Len < n && i+1 < entries; r.Len += step {
		// The next page's frame is the next one, which is never the first behind the hole: RAM ends before that.
		i, e = i+1, e+step
		if get(table, i) != e {
			break
		}
	}
	r.Len = min(r.Len, n)
	return r, protOf(e), true
}

// protOf is the protection for the guest of what an entry shows.
func protOf(e uint64) uint32 {
	prot := uint32(hypercall.ProtRead)
	if e&writable != 0 {
		prot |= hypercall.ProtWrite
	}
	if e&noExecute == 0 {
		prot |= hypercall.ProtExec
	}
	return prot
}

// Held returns how many bytes from va on, up to the end of the entry, have frames, present or parked (held), or have
// none. A bound block is none.
func (t *Tables) Held(va hypercall.GVA) (n uint64, held bool) {
	e, span := t.entry(va)
	return uint64(span - va%span), e != 0 && e&bound == 0
}

// Run is a stretch of frames.
type Run struct {
	GPA hypercall.GPA
	Len uint64 // bytes
}

// appendRun adds a frame to a list of runs, to the last one if it continues that.
func appendRun(runs []Run, gpa hypercall.GPA) []Run {
	if k := len(runs); k > 0 && runs[k-1].GPA+hypercall.GPA(runs[k-1].Len) == gpa && gpa != guestmem.HoleEnd {
		runs[k-1].Len += hypercall.PageSize
		return runs
	}
	return append(runs, Run{gpa, hypercall.PageSize})
}

// Protect changes the protection of the pages in [start, end) that have frames, and appends to runs the frames whose
// translations must be flushed. Blocks are for ProtectLarge and Split.
func (t *Tables) Protect(start, end hypercall.GVA, prot uint32, runs []Run) []Run {
	bits, ok := bitsOf(prot)
	if !ok {
		panic("BUG: mapping both writable and executable")
	}
	t.each(start, end, func(table []byte, i, e uint64) {
		n := e&addressMask | bits
		if n == e {
			return
		}
		put(table, i, n)
		if e&present != 0 {
			runs = appendRun(runs, hypercall.GPA(e&addressMask))
		}
	})
	return runs
}

// Unmap removes the pages in [start, end) and appends to runs their frames, which the caller discards. Tables stay,
// also empty ones (package comment). Blocks are for Bind and Split.
func (t *Tables) Unmap(start, end hypercall.GVA, runs []Run) []Run {
	t.each(start, end, func(table []byte, i, e uint64) {
		put(table, i, 0)
		runs = appendRun(runs, hypercall.GPA(e&addressMask))
	})
	return runs
}

// each calls f for the guest's entries in use in [start, end), where no block is but bound ones.
func (t *Tables) each(start, end hypercall.GVA, f func(table []byte, i, e uint64)) {
	for va := start; va < end; {
		table, level := t.find(va, 1)
		if level > 1 {
			if e := get(table, index(va, level)); e&large != 0 && e&bound == 0 {
				panic("BUG: small pages expected where a block is")
			}
			va = va&^(spanOf(level)-1) + spanOf(level)
			continue
		}
		for i := index(va, 1); i < entries && va < end; i, va = i+1, va+hypercall.PageSize {
			if e := get(table, i); e&(user|parked) != 0 {
				f(table, i, e)
			}
		}
	}
}
