package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ukvm.dev/hypercall"
)

// pages is the model of a program's memory: a protection for each page of a window, and -1 where nothing is mapped.
// present are the pages the monitor has committed, with the protection they have there.
type pages struct {
	t       testing.TB
	base    uint64
	prot    []int
	present []int // -1: absent
	dirty   []bool
	ops     int
}

func newPages(t testing.TB, base uint64, n int) *pages {
	p := &pages{t: t, base: base, prot: make([]int, n), present: make([]int, n), dirty: make([]bool, n)}
	for i := range n {
		p.prot[i], p.present[i] = -1, -1
	}
	monitor.onOp = p.monitor
	return p
}

// monitor does what a memory operation says.
func (p *pages) monitor(op hypercall.MemoryOp) {
	p.ops++
	if op.Start >= op.End || op.Start&pageMask != 0 || op.End&pageMask != 0 {
		p.t.Fatalf("memory operation %+v", op)
	}
	for i := range p.prot {
		at := p.base + uint64(i)*pageSize
		if at < uint64(op.Start) || at >= uint64(op.End) {
			continue
		}
		switch op.Op {
		case hypercall.MemoryDrop:
			p.present[i], p.dirty[i] = -1, false
		case hypercall.MemoryProtect:
			if p.present[i] >= 0 {
				p.present[i] = int(op.Prot)
			}
		case hypercall.MemoryCommit:
			if p.present[i] < 0 {
				p.present[i] = int(op.Prot)
			}
		default:
			p.t.Fatalf("memory operation %+v", op)
		}
	}
}

// touch is a page fault: the monitor commits what the region table allows, up to a few neighbours.
func (p *pages) touch(i int, access int) {
	want := p.prot[i] >= 0 && p.prot[i]&access == access && access != 0
	if got := userRange(p.base+uint64(i)*pageSize, 1, uint32(access)) && access != 0; got != want {
		p.t.Fatalf("page %d, access %d: allowed %v, want %v", i, access, got, want)
	}
	if !want {
		return
	}
	if p.present[i] < 0 {
		p.present[i] = p.prot[i]
	}
	p.dirty[i] = p.dirty[i] || access == protWrite
}

// check compares the region table and the pages present with the model.
func (p *pages) check() {
	p.t.Helper()
	checkRegions()
	r := regions()
	at := 0
	for i := range p.prot {
		addr := p.base + uint64(i)*pageSize
		for at < int(r.Count) && uint64(r.Table[at].End) <= addr {
			at++
		}
		got := -1
		if at < int(r.Count) && uint64(r.Table[at].Start) <= addr {
			got = int(r.Table[at].Prot)
		}
		if got != p.prot[i] {
			p.t.Fatalf("page %d: protection %d, want %d", i, got, p.prot[i])
		}
		switch {
		case p.present[i] >= 0 && p.prot[i] < 0:
			p.t.Fatalf("page %d: present, but nothing is mapped there", i)
		case p.present[i] >= 0 && p.present[i] != p.prot[i]:
			p.t.Fatalf("page %d: present with protection %d, mapped with %d", i, p.present[i], p.prot[i])
		}
	}
	for i := 1; i < int(r.Count); i++ {
		if a, b := &r.Table[i-1], &r.Table[i]; a.End == b.Start && a.Prot == b.Prot && a.Used == b.Used {
			p.t.Fatalf("regions %d and %d should be one: %+v, %+v", i-1, i, *a, *b)
		}
	}
}

// step does one call that bytes choose, here and in the model.
func (p *pages) step(op, where, length, how byte) {
	n := len(p.prot)
	first := int(where) % n
	last := min(first+1+int(length)%16, n)
	start, size := p.base+uint64(first)*pageSize, uint64(last-first)*pageSize
	prot := []int{protNone, protRead, protRead | protWrite, protRead | protExec}[how%4]
	mapped := true
	for i := first; i < last; i++ {
		mapped = mapped && p.prot[i] >= 0
	}
	bytes := size - uint64(how)*16 // not whole pages; never less than the last
	switch op % 7 {
	case 0, 1:
		p.expect(sys(nrMmap, start, bytes, uint64(prot), mapPrivate|mapAnonymous|mapFixed), start)
		for i := first; i < last; i++ {
			p.prot[i], p.present[i], p.dirty[i] = prot, min(p.present[i], -1), false
		}
	case 2:
		p.expect(sys(nrMunmap, start, bytes), 0)
		for i := first; i < last; i++ {
			p.prot[i] = -1
		}
	case 3:
		got := sys(nrMprotect, start, bytes, uint64(prot))
		if !mapped {
			p.expect(got, fail(eNOMEM))
			return
		}
		p.expect(got, 0)
		for i := first; i < last; i++ {
			p.prot[i] = prot
		}
	case 4:
		got := sys(nrMadvise, start, bytes, madvDontNeed)
		if !mapped {
			p.expect(got, fail(eNOMEM))
			return
		}
		p.expect(got, 0)
		for i := first; i < last; i++ {
			if p.present[i] >= 0 {
				p.t.Fatalf("page %d is present after MADV_DONTNEED", i)
			}
		}
	case 5:
		for i := first; i < last; i++ {
			p.touch(i, []int{protRead, protWrite, protExec, protRead}[how%4])
		}
	case 6:
		got := sys(nrMmap, start, bytes, uint64(prot), mapPrivate|mapAnonymous|mapFixedNoReplace)
		for i := first; i < last; i++ {
			if p.prot[i] >= 0 {
				p.expect(got, fail(eEXIST))
				return
			}
		}
		p.expect(got, start)
		for i := first; i < last; i++ {
			p.prot[i] = prot
		}
	}
}

func (p *pages) expect(got, want uint64) {
	p.t.Helper()
	if got != want {
		p.t.Fatalf("result %#x, want %#x", got, want)
	}
}

const windowBase = 0x10_0000_0000

func TestMemoryModel(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			boots(t)
			r := rand.New(rand.NewPCG(seed, 2))
			p := newPages(t, windowBase, 64)
			for range 2000 {
				p.step(byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()))
				p.check()
			}
			if p.ops == 0 {
				t.Error("the monitor was told nothing")
			}
		})
	}
}

func FuzzMemory(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		boots(t)
		p := newPages(t, windowBase, 64)
		for ; len(b) >= 4; b = b[4:] {
			p.step(b[0], b[1], b[2], b[3])
			p.check()
		}
	})
}

// TestReservation sees that what was never accessible costs no exit, as Go's reservations of address space must not.
func TestReservation(t *testing.T) {
	boots(t)
	p := newPages(t, windowBase, 64)
	at := sys(nrMmap, 0, 64<<20, protNone, mapPrivate|mapAnonymous)
	if errno(at) != 0 {
		t.Fatal(int64(at))
	}
	sys(nrMprotect, at+1<<20, 1<<20, protRead|protWrite)
	sys(nrMunmap, at+32<<20, 32<<20)
	if p.ops != 0 {
		t.Errorf("%d memory operations for address space", p.ops)
	}
	sys(nrMunmap, at, 32<<20)
	if p.ops != 1 {
		t.Errorf("%d memory operations to give up memory that was accessible", p.ops)
	}
}

// TestChooseAddress maps and unmaps where the kernel likes, and compares with the lowest gap of a naive search.
func TestChooseAddress(t *testing.T) {
	boots(t)
	r := random(8)
	type span struct{ start, end uint64 }
	var mapped []span
	overlaps := func(s span) (end uint64, yes bool) {
		for _, m := range mapped {
			if s.start < m.end && m.start < s.end {
				return m.end, true
			}
		}
		return 0, false
	}
	for range 3000 {
		if len(mapped) > 0 && r.IntN(2) == 0 {
			i := r.IntN(len(mapped))
			if e := sys(nrMunmap, mapped[i].start, mapped[i].end-mapped[i].start); e != 0 {
				t.Fatal(int64(e))
			}
			mapped = append(mapped[:i], mapped[i+1:]...)
			continue
		}
		n := (1 + r.Uint64N(20)) * pageSize
		hint := uint64(0)
		if r.IntN(3) == 0 {
			hint = windowBase + r.Uint64N(200)*pageSize
		}
		want := span{hint, hint + n}
		if _, yes := overlaps(want); yes || hint == 0 {
			want = span{mmapStart, mmapStart + n}
			for {
				end, yes := overlaps(want)
				if !yes {
					break
				}
				want = span{end, end + n}
			}
		}
		got := sys(nrMmap, hint+r.Uint64N(pageSize), n-r.Uint64N(pageSize), protRead|protWrite, mapPrivate|mapAnonymous)
		if got != want.start {
			t.Fatalf("mmap(%#x, %#x): %#x, want %#x", hint, n, got, want.start)
		}
		mapped = append(mapped, want)
	}
}

// TestPopulate sees that MAP_POPULATE and MADV_POPULATE commit memory at once, and what happens when there is none.
func TestPopulate(t *testing.T) {
	boots(t)
	p := newPages(t, windowBase, 8)
	sys(nrMmap, windowBase, 4*pageSize, protRead|protWrite, mapPrivate|mapAnonymous|mapFixed|mapPopulate)
	sys(nrMmap, windowBase+4*pageSize, 4*pageSize, protRead, mapPrivate|mapAnonymous|mapFixed)
	p.prot = []int{3, 3, 3, 3, 1, 1, 1, 1}
	if p.check(); fmt.Sprint(p.present) != "[3 3 3 3 -1 -1 -1 -1]" {
		t.Errorf("present: %d", p.present)
	}
	sys(nrMadvise, windowBase, 8*pageSize, madvDontNeed)
	if r := sys(nrMadvise, windowBase+2*pageSize, 4*pageSize, madvPopulateRead); r != 0 {
		t.Errorf("MADV_POPULATE_READ: %d", int64(r))
	}
	if p.check(); fmt.Sprint(p.present) != "[-1 -1 3 3 1 1 -1 -1]" {
		t.Errorf("present: %d", p.present)
	}
	monitor.full = true
	if got := errno(sys(nrMadvise, windowBase, 8*pageSize, madvPopulateRead)); got != eNOMEM {
		t.Errorf("MADV_POPULATE_READ without memory: errno %d", got)
	}
}

// TestRegionLimit fills the region table. A call that finds no room changes nothing: what was mapped stays, with its
// protection.
func TestRegionLimit(t *testing.T) {
	for spare := range 2 {
		t.Run(fmt.Sprint(spare, " left"), func(t *testing.T) { fillRegions(t, spare) })
	}
}

func fillRegions(t *testing.T, spare int) {
	boots(t)
	if spare == 1 {
		sys(nrMmap, windowBase-2*pageSize, pageSize, protRead, mapPrivate|mapAnonymous|mapFixed)
	}
	const n = 3 * hypercall.MaxRegions
	p := newPages(t, windowBase, n)
	p.expect(sys(nrMmap, windowBase, n*pageSize, protRead, mapPrivate|mapAnonymous|mapFixed), windowBase)
	for i := range n {
		p.prot[i] = protRead
	}
	full := -1
	for i := 1; i < n; i += 2 {
		if e := errno(sys(nrMprotect, windowBase+uint64(i)*pageSize, pageSize, protRead|protWrite)); e != 0 {
			if e != eNOMEM {
				t.Fatalf("mprotect %d: errno %d", i, e)
			}
			full = i
			break
		}
		p.prot[i] = protRead | protWrite
	}
	p.check()
	if c := int(regions().Count); full < 0 || c < hypercall.MaxRegions-2 {
		t.Fatalf("full at page %d with %d regions of %d", full, c, hypercall.MaxRegions)
	}
	inMiddle := windowBase + uint64(full+9)*pageSize
	try := func(what string, got uint64) {
		t.Helper()
		if errno(got) != eNOMEM {
			t.Errorf("%s: %#x, want ENOMEM", what, got)
		}
		p.check()
	}
	try("mprotect", sys(nrMprotect, inMiddle, pageSize, protNone))
	try("mmap over it", sys(nrMmap, inMiddle, pageSize, protRead|protWrite, mapPrivate|mapAnonymous|mapFixed))
	if regions().Count == hypercall.MaxRegions {
		try("munmap", sys(nrMunmap, inMiddle, pageSize))
	}
	// What needs no room goes on: a whole region can be unmapped, and then there is some again.
	p.expect(sys(nrMunmap, windowBase+pageSize, 2*pageSize), 0)
	p.prot[1], p.prot[2] = -1, -1
	p.expect(sys(nrMunmap, windowBase+3*pageSize, 2*pageSize), 0)
	p.prot[3], p.prot[4] = -1, -1
	p.check()
	p.expect(sys(nrMprotect, inMiddle, pageSize, protNone), 0)
	p.prot[full+9] = protNone
	p.check()
}

// TestUserRange compares the check of addresses with the model.
func TestUserRange(t *testing.T) {
	boots(t)
	r := random(9)
	p := newPages(t, windowBase, 64)
	for range 500 {
		p.step(byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()))
		for range 20 {
			at, n := r.Uint64N(64*pageSize), r.Uint64N(8*pageSize)
			access := r.IntN(8)
			want := true
			for i := at / pageSize; n > 0 && i <= (at+n-1)/pageSize; i++ {
				want = want && i < 64 && p.prot[i] >= 0 && p.prot[i]&access == access
			}
			if got := userRange(windowBase+at, n, uint32(access)); got != want {
				t.Fatalf("[%#x, +%#x) with %d: %v, want %v", at, n, access, got, want)
			}
		}
	}
	for _, wrong := range [][2]uint64{{^uint64(0), 2}, {uint64(hypercall.UserEnd), 1}, {uint64(hypercall.UserEnd) - 1, 2}, {1 << 63, 8}, {0, ^uint64(0)}} {
		if userRange(wrong[0], wrong[1], protNone) {
			t.Errorf("[%#x, +%#x) is the program's", wrong[0], wrong[1])
		}
	}
}
