package monitor

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/paging"
)

const block = paging.LargeSize

// newBlockSpace makes a space that uses blocks, with a region at heap.
func newBlockSpace(t testing.TB, size uint64) *space {
	t.Helper()
	s := newTestSpace(t, 256<<20, region(heap, heap+hypercall.GVA(size), readWrite))
	if !s.blocks.use {
		t.Fatal("a guest of 256 MiB has no blocks")
	}
	return s
}

// countBlocks is how many blocks there are, and how many of them are bound.
func countBlocks(s *space) (all, bound int) {
	for va := hypercall.GVA(0); ; all++ {
		b, ok := s.tables.Large(va, hypercall.UserEnd)
		if !ok {
			return all, bound
		}
		if b.Bound {
			bound++
		}
		va = b.VA + block
	}
}

// guestPages is a naive model of an address space: what an honest guest has mapped, and the byte it wrote last.
type guestPages []struct {
	mapped bool
	prot   uint32
	value  byte
}

// table makes the region table say the same.
func (m guestPages) table(s *space) {
	var regions []hypercall.Region
	for i, p := range m {
		at := heap + hypercall.GVA(i*page)
		switch n := len(regions); {
		case !p.mapped:
		case n > 0 && regions[n-1].End == at && regions[n-1].Prot == p.prot:
			regions[n-1].End += page
		default:
			regions = append(regions, region(at, at+page, p.prot))
		}
	}
	setRegions(s, regions...)
}

// check compares what the guest reads of a page.
func (m guestPages) check(t *testing.T, s *space, i int) {
	t.Helper()
	var b [1]byte
	err := s.read(b[:], heap+hypercall.GVA(i*page)+9)
	p := m[i]
	readable := p.mapped && p.prot != none
	if readable != (err == nil) || err != nil && !errors.Is(err, errBadAddress) || err == nil && b[0] != p.value {
		t.Fatalf("page %d reads %d, %v; want %+v", i, b[0], err, p)
	}
}

// TestBlockSpaceModel does what guests do with memory, at random, where some of it is in blocks, and compares what the guest
// reads with a model. Memory is short at times.
func TestBlockSpaceModel(t *testing.T) {
	for seed := range uint64(8) { // a block that is split stays so, so this begins afresh now and then
		blockSpaceModel(t, seed)
	}
}

func blockSpaceModel(t *testing.T, seed uint64) {
	const pages = 12 * block / page
	s := newBlockSpace(t, pages*page)
	tables := s.used() + (pages/512+3)*page // at most, if nothing else is in use
	r := rand.New(rand.NewPCG(7, seed))
	m := make(guestPages, pages)
	for i := range m {
		m[i].mapped, m[i].prot = true, readWrite
	}
	if err := s.commit(heap, heap+pages*page, readWrite); err != nil {
		t.Fatal(err)
	}
	seen, bounds := 0, 0
	for step := range 500 {
		from := r.IntN(pages)
		n := 1 + r.IntN(min(700, pages-from))
		if r.IntN(2) == 0 { // whole blocks
			from = from / 512 * 512
			n = 512 * (1 + r.IntN(2))
			n = min(n, pages-from)
		}
		part := m[from : from+n]
		start, end := heap+hypercall.GVA(from*page), heap+hypercall.GVA((from+n)*page)
		var err error
		switch op := r.IntN(12); {
		case op == 0: // munmap
			clear(part)
			m.table(s)
			err = s.drop(start, end)
		case op <= 3: // madvise(MADV_DONTNEED)
			for i := range part {
				part[i].value = 0
			}
			err = s.drop(start, end)
		case op == 4: // mprotect
			prot := []uint32{none, readOnly, readWrite, readWrite, readWrite}[r.IntN(5)]
			for i := range part {
				part[i].prot = prot
			}
			for i := range part {
				part[i].mapped = part[i].mapped || prot == readWrite // what was not mapped is by then
			}
			m.table(s)
			err = s.protect(start, end, prot)
		case op <= 6: // mmap
			for i := range part {
				if !part[i].mapped {
					part[i].mapped, part[i].prot = true, readWrite
				}
			}
			m.table(s)
		case op == 7: // mmap(MAP_POPULATE)
			for i := range part {
				part[i].mapped, part[i].prot, part[i].value = true, readWrite, 0
			}
			m.table(s)
			err = errors.Join(s.drop(start, end), s.commit(start, end, readWrite))
		case op == 8 && r.IntN(20) == 0:
			s.reclaim()
			if _, bound := countBlocks(s); bound > 0 {
				t.Fatalf("step %d: %d blocks are bound after reclaiming", step, bound)
			}
			s.blocks.use = true
		default: // touch
			for i := range part {
				p := &part[i]
				v := byte(r.IntN(256))
				if r.IntN(4) > 0 && i > 0 {
					continue
				}
				err := s.write(start+hypercall.GVA(i*page)+9, []byte{v})
				if good := p.mapped && p.prot == readWrite; good != (err == nil) {
					t.Fatalf("step %d: writing page %d, %+v: %v", step, from+i, *p, err)
				}
				if err == nil {
					p.value = v
				}
			}
		}
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		for range 40 {
			m.check(t, s, r.IntN(pages))
		}
		all, bound := countBlocks(s)
		if uint64(bound) != s.blocks.bound {
			t.Fatalf("step %d: %d blocks are bound, counted as %d", step, bound, s.blocks.bound)
		}
		if s.control.Resident != s.used() {
			t.Fatalf("step %d: the guest is told of %d bytes, %d are in use", step, s.control.Resident, s.used())
		}
		seen, bounds = seen+all, bounds+bound
	}
	for i := range m {
		m.check(t, s, i)
	}
	if seen < 300 || bounds < 10 {
		t.Errorf("%d blocks in 500 steps, %d of them bound: the test tests little", seen, bounds)
	}
	clear(m)
	m.table(s)
	if err := s.drop(heap, heap+pages*page); err != nil {
		t.Fatal(err)
	}
	s.reclaim()
	if all, _ := countBlocks(s); all != 0 || s.used() > tables {
		t.Errorf("with nothing mapped there are %d blocks, and %d pages are in use", all, s.used()/page)
	}
}

// TestBlockOrder checks when blocks are made: for memory that is touched in order, not for code, the image or scattered touches.
func TestBlockOrder(t *testing.T) {
	s := newBlockSpace(t, 64<<20)
	for va := hypercall.GVA(heap); va < heap+16<<20; va += page {
		if err := s.write(va, []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	if all, _ := countBlocks(s); all != 7 {
		t.Errorf("16 MiB in order make %d blocks, want 7: the first 2 MiB come in chunks that grow", all)
	}
	if err := s.write(heap+40<<20, []byte{1}); err != nil {
		t.Fatal(err)
	}
	if all, _ := countBlocks(s); all != 7 {
		t.Error("one touch makes a block")
	}
	setRegions(s, region(heap+48<<20, heap+52<<20, readExec))
	if err := s.commit(heap+48<<20, heap+52<<20, readExec); err != nil {
		t.Fatal(err)
	}
	if all, _ := countBlocks(s); all != 7 {
		t.Error("code makes a block")
	}
	if small := newTestSpace(t, 128<<20); small.blocks.use {
		t.Error("a guest of 128 MiB uses blocks")
	}
}

// TestDroppedBlockComesBack checks that a block given back whole costs the host nothing, is not counted, and comes back at its
// address without KVM having to forget anything.
func TestDroppedBlockComesBack(t *testing.T) {
	s := newBlockSpace(t, 8<<20)
	if err := s.commit(heap, heap+8<<20, readWrite); err != nil {
		t.Fatal(err)
	}
	if err := s.write(heap+block+77, []byte("old")); err != nil {
		t.Fatal(err)
	}
	gpa, _, _ := s.tables.Lookup(heap + block)
	used := s.used()
	if err := s.drop(heap+block, heap+2*block); err != nil {
		t.Fatal(err)
	}
	if got := used - s.used(); got != block {
		t.Errorf("giving a block back frees %d bytes", got)
	}
	if present(s, heap+block, heap+2*block) > 0 {
		t.Error("it is still there")
	}
	got := make([]byte, 3)
	if err := s.read(got, heap+block+77); err != nil || !bytes.Equal(got, make([]byte, 3)) {
		t.Errorf("it comes back with %q, %v", got, err)
	}
	if now, _, _ := s.tables.Lookup(heap + block); now != gpa || present(s, heap+block, heap+2*block) != block/page {
		t.Errorf("it comes back at %#x, %d pages; want %#x, all", now, present(s, heap+block, heap+2*block), gpa)
	}
	if s.settle() {
		t.Error("KVM would have to forget")
	}
}

// TestKVMForgets checks after which changes KVM must forget the page tables, once.
func TestKVMForgets(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(s *space) error
		want bool
	}{
		{"part dropped, still mapped", func(s *space) error { return s.drop(heap+page, heap+9*page) }, false},
		{"part unmapped", func(s *space) error {
			setRegions(s, region(heap, heap+page, readWrite), region(heap+9*page, heap+8<<20, readWrite))
			return s.drop(heap+page, heap+9*page)
		}, true},
		{"part protected", func(s *space) error { return s.protect(heap+page, heap+9*page, readOnly) }, true},
		{"protected", func(s *space) error { return s.protect(heap, heap+block, readOnly) }, true},
		{"protected as it is", func(s *space) error { return s.protect(heap, heap+block, readWrite) }, false},
		{"back with another protection", func(s *space) error {
			return errors.Join(s.drop(heap, heap+block), s.commit(heap, heap+block, readOnly))
		}, true},
		{"back in part", func(s *space) error {
			return errors.Join(s.drop(heap, heap+block), s.commit(heap, heap+page, readWrite))
		}, true},
		{"reclaimed", func(s *space) error {
			err := s.drop(heap, heap+block)
			s.reclaim()
			return err
		}, true},
		{"part dropped, reclaimed", func(s *space) error {
			err := s.drop(heap, heap+page)
			s.reclaim()
			return err
		}, true},
		{"nothing to reclaim", func(s *space) error { s.reclaim(); return nil }, false},
	} {
		s := newBlockSpace(t, 8<<20)
		if err := s.commit(heap, heap+8<<20, readWrite); err != nil {
			t.Fatal(err)
		}
		if s.settle() {
			t.Fatal("fresh memory makes KVM forget")
		}
		if err := c.f(s); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := s.settle(); got != c.want {
			t.Errorf("%s: KVM must forget: %v, want %v", c.name, got, c.want)
		}
		if s.settle() {
			t.Errorf("%s: and again", c.name)
		}
	}
}

// TestReclaim uses up memory that is in blocks, gives every other page back, and wants it all for something else.
func TestReclaim(t *testing.T) {
	const size = 256 << 20
	s := newTestSpace(t, size, region(heap, heap+size, readWrite), region(heap+1<<30, heap+1<<30+size, readWrite))
	var end hypercall.GVA
	for end = heap; ; end += block {
		if s.ram.Size()-s.ram.Used() < 8*block {
			break
		}
		if err := s.commit(end, end+block, readWrite); err != nil {
			t.Fatal(err)
		}
	}
	for va := hypercall.GVA(heap); va < end; va += 64 * page {
		// The rest of these 64 pages was never written, so it is free as well.
		if err := s.write(va+page, []byte{7}); err != nil {
			t.Fatal(err)
		}
		if err := s.drop(va, va+page); err != nil {
			t.Fatal(err)
		}
	}
	blocks, _ := countBlocks(s)
	got := uint64(0)
	for va := hypercall.GVA(heap + 1<<30); ; va += page {
		err := s.fault(va, writeBit)
		if errors.Is(err, paging.ErrNoMemory) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got += page
		s.settle()
	}
	if want := uint64(end-heap) / 10 * 9; got < want {
		t.Errorf("of %d MiB in %d blocks, nearly all unused, %d MiB came free; want %d", (end-heap)>>20, blocks, got>>20, want>>20)
	}
	for va := hypercall.GVA(heap); va < end; va += 64 * page {
		var b [2 * page]byte
		if err := s.read(b[page:page+1], va+page); err != nil || b[page] != 7 {
			t.Fatalf("what was written at %#x is %d, %v", va+page, b[page], err)
		}
	}
}

// TestReclaimWhilePinned checks that no page goes while someone holds slices of guest memory.
func TestReclaimWhilePinned(t *testing.T) {
	s := newBlockSpace(t, 16<<20)
	if err := s.commit(heap, heap+8<<20, readWrite); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.drop(heap, heap+page), s.drop(heap+block, heap+2*block)); err != nil {
		t.Fatal(err)
	}
	s.blocks.pinned = true
	if !s.reclaim() {
		t.Error("a block that is empty is not reclaimed")
	}
	if n := present(s, heap, heap+block); n != block/page {
		t.Errorf("of a block in use %d pages are left", n)
	}
	s.blocks.pinned = false
	if !s.reclaim() {
		t.Error("what could not go then cannot go now")
	}
	if present(s, heap, heap+block) != 0 {
		t.Error("pages that were never written are still there")
	}
}

// TestHostileBlocks does what no honest kernel does, operations and touches with a region table that says anything: whatever
// comes of it for the guest, there is no BUG, and the counts are right.
func TestHostileBlocks(t *testing.T) {
	const pages = 8 * block / page
	prots := []uint32{none, readOnly, readWrite, readExec}
	allowed := func(err error) bool {
		return err == nil || errors.Is(err, errBadAddress) || errors.Is(err, paging.ErrNoMemory)
	}
	for seed := range uint64(20) {
		s := newBlockSpace(t, pages*page)
		r := rand.New(rand.NewPCG(11, seed))
		for step := range 200 {
			from := r.IntN(pages)
			to := from + 1 + r.IntN(pages-from)
			if r.IntN(2) == 0 {
				from, to = from&^511, (to+511)&^511
			}
			start, end := heap+hypercall.GVA(from*page), heap+hypercall.GVA(to*page)
			prot := prots[r.IntN(len(prots))]
			var err error
			switch r.IntN(6) {
			case 0:
				setRegions(s, region(start, end, prot), region(end, end+4*block, prots[r.IntN(len(prots))]))
			case 1:
				err = s.drop(start, end)
			case 2:
				err = s.protect(start, end, prot)
			case 3:
				err = s.commit(start, end, prot)
			case 4:
				err = s.fault(start, []uint32{readBit, writeBit, execBit}[r.IntN(3)])
			default:
				if _, err = s.slices(nil, start, uint64(r.IntN(3*block)), readBit); r.IntN(8) == 0 {
					s.reclaim()
					s.blocks.use = true
				}
			}
			if !allowed(err) {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			if _, bound := countBlocks(s); uint64(bound) != s.blocks.bound || s.blocks.pinned {
				t.Fatalf("seed %d, step %d: %d blocks are bound, counted as %d; pinned: %v", seed, step, bound, s.blocks.bound, s.blocks.pinned)
			}
			s.settle()
		}
	}
}
