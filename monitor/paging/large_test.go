package paging

import (
	"math/rand/v2"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
)

// blockModel is what the tables should say of a place for a block.
type blockModel struct {
	gpa   hypercall.GPA
	prot  uint32
	state blockState
	holed bool
	gone  int // the page that became the table, if it was split; -1 if none
}

type blockState int

const (
	absent blockState = iota
	shown
	kept // bound
	split
)

// places are where the block model works: neighbours, and around the borders of tables of higher levels.
var places = []hypercall.GVA{4 << 20, 6 << 20, 1<<30 - LargeSize, 1 << 30, 1<<39 - LargeSize, hypercall.UserEnd&^(LargeSize-1) - LargeSize}

// TestBlockModel does random operations on blocks and on a model of them, and compares what both say.
func TestBlockModel(t *testing.T) {
	tables, ram := newTables(t, 64<<20)
	r := rand.New(rand.NewPCG(4, 4))
	m := make([]blockModel, len(places))
	for step := range 4000 {
		i := r.IntN(len(places))
		va, b := places[i], &m[i]
		prot := protections[r.IntN(3)]
		switch {
		case b.state == absent:
			gpa, ok := ram.Alloc(guestmem.MaxOrder)
			if !ok {
				t.Fatal("out of memory")
			}
			if err := tables.MapLarge(va, gpa, prot); err != nil {
				t.Fatal(err)
			}
			*b = blockModel{gpa: gpa, prot: prot, state: shown, gone: -1}
		case b.state == kept && r.IntN(2) == 0:
			tables.Unbind(va)
			ram.Release(b.gpa, LargeSize)
			*b = blockModel{}
		case b.state == kept:
			// A parked block is never what it was: it was not present.
			if got, want := tables.Rebind(va, prot), prot != b.prot || prot == hypercall.ProtNone; got != want {
				t.Fatalf("step %d: Rebind at %#x of %d as %d: changed %v, want %v", step, va, b.prot, prot, got, want)
			}
			b.prot, b.state = prot, shown
		case b.state == split:
			// For good; a test of what follows is TestModel's. Only now and then, so that not all are split soon.
		case r.IntN(600) == 0:
			b.gone = r.IntN(LargeSize / page)
			frame := b.gpa + hypercall.GPA(b.gone*page)
			if r.IntN(2) == 0 {
				b.gone = -1
				frame, _ = ram.Alloc(0)
			}
			tables.Split(va, frame)
			b.state = split
		case r.IntN(3) == 0:
			tables.Bind(va)
			if err := ram.Empty(b.gpa, LargeSize); err != nil {
				t.Fatal(err)
			}
			b.state, b.holed = kept, false
		case r.IntN(2) == 0:
			b.holed = !b.holed
			tables.MarkHoled(va, b.holed)
		default:
			want := prot != b.prot && b.prot != hypercall.ProtNone
			if got := tables.ProtectLarge(va, prot); got != want {
				t.Fatalf("step %d: ProtectLarge at %#x from %d to %d: forget %v, want %v", step, va, b.prot, prot, got, want)
			}
			b.prot = prot
		}
		for i := range m {
			m[i].check(t, tables, ram, places[i], r.IntN(LargeSize/page))
		}
		checkLarge(t, tables, m)
	}
}

// check compares a page of a block.
func (b *blockModel) check(t *testing.T, tables *Tables, ram *guestmem.RAM, va hypercall.GVA, i int) {
	t.Helper()
	at, want := va+hypercall.GVA(i*page), translation{}
	held := (b.state == shown || b.state == split) && i != b.gone
	if held {
		want = of(b.gpa+hypercall.GPA(i*page), b.prot)
	}
	if got := walk(t, ram, tables.Root(), at); got != want {
		t.Fatalf("the processor finds at %#x %+v, want %+v (%+v)", at, got, want, *b)
	}
	gpa, prot, ok := tables.Lookup(at + 5)
	if ok != want.present || ok && (gpa != want.gpa+5 || prot != b.prot) {
		t.Fatalf("Lookup(%#x) = %#x, %d, %v; want %+v", at, gpa, prot, ok, want)
	}
	if run, _, ok := tables.Stretch(at+5, 2*LargeSize); ok && b.state == shown && run.Len != LargeSize-uint64(i*page)-5 {
		t.Fatalf("Stretch(%#x) ends after %d bytes, and is in page %d of a block", at+5, run.Len, i)
	}
	n, got := tables.Held(at)
	if got != held {
		t.Fatalf("Held(%#x) says %v, want %v", at, got, held)
	}
	size := uint64(LargeSize)
	if b.state == split {
		size = page
	}
	if b.state != absent && n != size-uint64(at)%size {
		t.Fatalf("Held(%#x) speaks for %d bytes of an entry of %d", at, n, size)
	}
	if tables.CanMapLarge(at) != (b.state == absent && n >= page) {
		t.Fatalf("CanMapLarge(%#x) is wrong of %+v", at, *b)
	}
}

// checkLarge compares what Large finds with the model.
func checkLarge(t *testing.T, tables *Tables, m []blockModel) {
	t.Helper()
	at := hypercall.GVA(0)
	for i, b := range m {
		if b.state != shown && b.state != kept {
			continue
		}
		want := Block{VA: places[i], GPA: b.gpa, Bound: b.state == kept, Holed: b.holed}
		got, ok := tables.Large(at, hypercall.UserEnd)
		if !ok || got != want {
			t.Fatalf("the first block from %#x on is %+v, %v; want %+v", at, got, ok, want)
		}
		if inside, ok := tables.Large(want.VA+LargeSize-page, want.VA+LargeSize); !ok || inside != want {
			t.Fatalf("the block around the end of %#x is %+v, %v", want.VA, inside, ok)
		}
		at = want.VA + LargeSize
	}
	if got, ok := tables.Large(at, hypercall.UserEnd); ok {
		t.Fatalf("there is a block more, %+v", got)
	}
}

// TestBlocksAndPages checks that what is for pages refuses blocks, and the other way round.
func TestBlocksAndPages(t *testing.T) {
	tables, ram := newTables(t, 16<<20)
	block, _ := ram.Alloc(guestmem.MaxOrder)
	frame, _ := ram.Alloc(0)
	const rw = hypercall.ProtRead | hypercall.ProtWrite
	const va, small = hypercall.GVA(4 << 20), hypercall.GVA(8 << 20)
	if err := tables.MapLarge(va, block, rw); err != nil {
		t.Fatal(err)
	}
	if err := tables.Map(small, frame, page, rw); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(){
		"Map over a block":               func() { tables.Map(va+page, frame, page, rw) },
		"MapLarge over a block":          func() { tables.MapLarge(va, block, rw) },
		"MapLarge over a table":          func() { tables.MapLarge(small, block, rw) },
		"MapLarge of a crooked address":  func() { tables.MapLarge(16<<20+page, block, rw) },
		"MapLarge of a crooked frame":    func() { tables.MapLarge(16<<20, block+page, rw) },
		"MapLarge writable, executable":  func() { tables.MapLarge(16<<20, block, rw|hypercall.ProtExec) },
		"Unmap of a block":               func() { tables.Unmap(va, va+LargeSize, nil) },
		"Protect of part of a block":     func() { tables.Protect(va+page, va+2*page, rw, nil) },
		"Bind of a page":                 func() { tables.Bind(small) },
		"Split of a page":                func() { tables.Split(small, frame) },
		"Rebind of what is not bound":    func() { tables.Rebind(va, rw) },
		"Unbind of what is not bound":    func() { tables.Unbind(va) },
		"ProtectLarge, writable and exe": func() { tables.ProtectLarge(va, rw|hypercall.ProtExec) },
	} {
		mustBug(t, name, f)
	}
	tables.Bind(va)
	mustBug(t, "Map over a bound block", func() { tables.Map(va, frame, page, rw) })
	mustBug(t, "Split of a bound block", func() { tables.Split(va, frame) })
	mustBug(t, "ProtectLarge of a bound block", func() { tables.ProtectLarge(va, rw) })
	if runs := tables.Unmap(0, hypercall.UserEnd, nil); len(runs) != 1 || runs[0].GPA != frame {
		t.Errorf("Unmap beside a bound block finds %v", runs)
	}
}
