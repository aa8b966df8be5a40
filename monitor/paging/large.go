package paging

import "ukvm.dev/hypercall"

// LargeSize is what a large entry shows: 2 MiB, at a multiple of that in both address spaces.
const LargeSize = 2 << 20

// Bits of an entry of level 2.
const (
	large = 1 << 7  // it shows a block itself, and no table
	bound = 1 << 10 // ignored by the processor; not present, but the block is kept for when it is again
	holed = 1 << 11 // ignored by the processor; parts of the block have been emptied
)

// Block is a large entry in use.
type Block struct {
	VA    hypercall.GVA
	GPA   hypercall.GPA
	Bound bool // taken away by Bind
	Holed bool // marked by MarkHoled
}

// CanMapLarge reports whether va's entry of level 2 is free for a block: nothing is mapped there and there is no table.
func (t *Tables) CanMapLarge(va hypercall.GVA) bool {
	e, span := t.entry(va)
	return e == 0 && span >= LargeSize
}

// MapLarge makes LargeSize bytes at va show those at gpa, with one entry. CanMapLarge must hold.
func (t *Tables) MapLarge(va hypercall.GVA, gpa hypercall.GPA, prot uint32) error {
	bits, ok := bitsOf(prot)
	if !ok || va%LargeSize != 0 || gpa%LargeSize != 0 {
		panic("BUG: bad large mapping")
	}
	table := t.reach(va, 2)
	if table == nil {
		return ErrNoMemory
	}
	i := index(va, 2)
	if get(table, i) != 0 {
		panic("BUG: large mapping over an entry in use")
	}
	put(table, i, uint64(gpa)|bits|large)
	return nil
}

// Large returns the first block of [start, end): one that begins before start counts as well.
func (t *Tables) Large(start, end hypercall.GVA) (b Block, ok bool) {
	for va := start; va < end; {
		table, level := t.find(va, 2)
		if level > 2 {
			va = va&^(spanOf(level)-1) + spanOf(level)
			continue
		}
		for i := index(va, 2); i < entries && va < end; i, va = i+1, va&^(LargeSize-1)+LargeSize {
			if e := get(table, i); e&large != 0 {
				return Block{VA: va &^ (LargeSize - 1), GPA: hypercall.GPA(e & addressMask), Bound: e&bound != 0, Holed: e&holed != 0}, true
			}
		}
	}
	return Block{}, false
}

// change replaces the large entry of a block.
func (t *Tables) change(va hypercall.GVA, f func(e uint64) uint64) {
	table := t.reach(va, 2)
	i := index(va, 2)
	e := get(table, i)
	if e&large == 0 {
		panic("BUG: not a large entry")
	}
	put(table, i, f(e))
}

// Bind takes a block away and keeps it for its address. The caller empties it: KVM then has no translations to it, and
// if it comes back with Rebind, what KVM has is right again.
func (t *Tables) Bind(va hypercall.GVA) {
	t.change(va, func(e uint64) uint64 {
		return e&^(present|parked|holed) | bound
	})
}

// Rebind makes a bound block present again. changed says that its protection is another than before.
func (t *Tables) Rebind(va hypercall.GVA, prot uint32) (changed bool) {
	bits, ok := bitsOf(prot)
	if !ok {
		panic("BUG: mapping both writable and executable")
	}
	t.change(va, func(e uint64) uint64 {
		if e&bound == 0 {
			panic("BUG: rebinding a block that is not bound")
		}
		n := e&addressMask | large | bits
		changed = e&^bound|present != n
		return n
	})
	return changed
}

// Unbind forgets a bound block. Its memory may show elsewhere, or another at its address, once KVM has forgotten
// (package comment).
func (t *Tables) Unbind(va hypercall.GVA) {
	t.change(va, func(e uint64) uint64 {
		if e&bound == 0 {
			panic("BUG: unbinding a block that is not bound")
		}
		return 0
	})
}

// MarkHoled sets or clears the mark of a block that parts of it have been emptied.
func (t *Tables) MarkHoled(va hypercall.GVA, on bool) {
	t.change(va, func(e uint64) uint64 {
		if on {
			return e | holed
		}
		return e &^ holed
	})
}

// ProtectLarge changes the protection of a block, and reports whether KVM has to forget what it was.
func (t *Tables) ProtectLarge(va hypercall.GVA, prot uint32) (forget bool) {
	bits, ok := bitsOf(prot)
	if !ok {
		panic("BUG: mapping both writable and executable")
	}
	t.change(va, func(e uint64) uint64 {
		if e&bound != 0 {
			panic("BUG: protecting a block that is not there")
		}
		n := e&(addressMask|large|holed) | bits
		forget = e&present != 0 && n != e
		return n
	})
	return forget
}

// Split replaces a block by a table of its pages, in a zero frame that the caller gives. A frame of the block itself will do: the
// page there is then absent. KVM has to forget the block (package comment).
func (t *Tables) Split(va hypercall.GVA, frame hypercall.GPA) {
	t.change(va, func(e uint64) uint64 {
		if e&bound != 0 {
			panic("BUG: splitting a block that is not there")
		}
		table, bits := t.table(frame), e&^(addressMask|large|holed)
		for i := range uint64(entries) {
			if gpa := e&addressMask + i*hypercall.PageSize; gpa != uint64(frame) {
				put(table, i, gpa|bits)
			}
		}
		return uint64(frame) | present | writable | user | accessed
	})
}
