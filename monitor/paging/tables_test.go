package paging

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
)

const page = hypercall.PageSize

func newTables(t testing.TB, size uint64) (*Tables, *guestmem.RAM) {
	t.Helper()
	ram, err := guestmem.New(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close() })
	tables, err := New(ram)
	if err != nil {
		t.Fatal(err)
	}
	return tables, ram
}

// translation is what the processor makes of an address.
type translation struct {
	gpa                           hypercall.GPA
	user, write, execute, present bool
}

// walk translates an address as the processor does (AMD APM vol. 2 §5.3 and §5.6): a permission holds if all levels
// grant it.
func walk(t testing.TB, ram *guestmem.RAM, root hypercall.GPA, va hypercall.GVA) translation {
	t.Helper()
	r := translation{user: true, write: true, execute: true, present: true}
	table := root
	for _, shift := range []int{39, 30, 21, 12} {
		b, ok := ram.Bytes(table+hypercall.GPA(va>>shift&511*8), 8)
		if !ok {
			t.Fatalf("the walk to %#x leads outside of memory, to %#x", va, table)
		}
		e := binary.LittleEndian.Uint64(b)
		if e&1 == 0 {
			return translation{}
		}
		big := e&(1<<7) != 0
		if big && shift != 21 {
			t.Fatalf("the walk to %#x meets a large entry of a size there is none of", va)
		}
		if e&(1<<5) == 0 || (shift == 12 || big) && e&(1<<6) == 0 {
			t.Fatalf("entry %#x for %#x: accessed or dirty is not set, so the processor would write to it", e, va)
		}
		r.write = r.write && e&2 != 0
		r.user = r.user && e&4 != 0
		r.execute = r.execute && e>>63 == 0
		table = hypercall.GPA(e & 0xf_ffff_ffff_f000)
		if big {
			if table%LargeSize != 0 {
				t.Fatalf("large entry %#x for %#x: reserved bits are set", e, va)
			}
			r.gpa = table + hypercall.GPA(va%LargeSize)
			return r
		}
	}
	r.gpa = table + hypercall.GPA(va%page)
	return r
}

// of is the translation of a page with a protection.
func of(gpa hypercall.GPA, prot uint32) translation {
	if prot == hypercall.ProtNone {
		return translation{}
	}
	return translation{gpa: gpa, user: true, present: true,
		write: prot&hypercall.ProtWrite != 0, execute: prot&hypercall.ProtExec != 0}
}

var protections = []uint32{
	hypercall.ProtNone, hypercall.ProtRead, hypercall.ProtRead | hypercall.ProtWrite, hypercall.ProtRead | hypercall.ProtExec,
}

// model is the naive model of tables: the pages that have frames.
type model map[hypercall.GVA]modelPage

type modelPage struct {
	gpa  hypercall.GPA
	prot uint32
}

// windows are the addresses the model test uses: around the borders of tables of every level.
var windows = []hypercall.GVA{
	hypercall.ImageBase, 1<<21 - 8*page, 1<<30 - 8*page, 1<<39 - 8*page, hypercall.ArchiveVA - 8*page, hypercall.UserEnd - 16*page,
}

const windowPages = 16

// TestModel does random operations on the tables and on the model, and compares what both say of every page.
func TestModel(t *testing.T) {
	tables, ram := newTables(t, 8<<20)
	r := rand.New(rand.NewPCG(1, 2))
	m := model{}
	for step := range 4000 {
		base := windows[r.IntN(len(windows))]
		from := r.IntN(windowPages)
		start := base + hypercall.GVA(from*page)
		end := start + hypercall.GVA(r.IntN(windowPages-from)*page) + page
		prot := protections[r.IntN(len(protections))]
		switch r.IntN(4) {
		case 0, 1:
			mapAbsent(t, tables, ram, m, start, end, prot)
		case 2:
			want := m.protect(start, end, prot)
			if got := tables.Protect(start, end, prot, nil); !slices.Equal(got, want) {
				t.Fatalf("step %d: Protect(%#x, %#x, %d) = %v, want %v", step, start, end, prot, got, want)
			}
		case 3:
			want := m.unmap(start, end)
			got := tables.Unmap(start, end, nil)
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: Unmap(%#x, %#x) = %v, want %v", step, start, end, got, want)
			}
			for _, run := range got {
				if err := ram.Discard(run.GPA, run.Len); err != nil {
					t.Fatal(err)
				}
			}
		}
		m.check(t, tables, ram, base)
	}
}

// mapAbsent maps fresh frames wherever the model has none.
func mapAbsent(t *testing.T, tables *Tables, ram *guestmem.RAM, m model, start, end hypercall.GVA, prot uint32) {
	t.Helper()
	for va := start; va < end; {
		if _, ok := m[va]; ok {
			va += page
			continue
		}
		order := 0
		if _, ok := m[va+page]; !ok && va+2*page <= end {
			order = 1
		}
		gpa, ok := ram.Alloc(order)
		if !ok {
			t.Fatal("out of memory")
		}
		if err := tables.Map(va, gpa, page<<order, prot); err != nil {
			t.Fatal(err)
		}
		for i := range hypercall.GVA(1) << order {
			m[va+i*page] = modelPage{gpa + hypercall.GPA(i*page), prot}
		}
		va += page << order
	}
}

// protect returns what must be flushed: the frames of pages that were present and have changed.
func (m model) protect(start, end hypercall.GVA, prot uint32) (runs []Run) {
	for va := start; va < end; va += page {
		p, ok := m[va]
		if !ok || p.prot == prot {
			continue
		}
		if p.prot != hypercall.ProtNone {
			runs = join(runs, p.gpa)
		}
		m[va] = modelPage{p.gpa, prot}
	}
	return runs
}

func (m model) unmap(start, end hypercall.GVA) (runs []Run) {
	for va := start; va < end; va += page {
		if p, ok := m[va]; ok {
			runs = join(runs, p.gpa)
			delete(m, va)
		}
	}
	return runs
}

func join(runs []Run, gpa hypercall.GPA) []Run {
	if n := len(runs); n > 0 && runs[n-1].GPA+hypercall.GPA(runs[n-1].Len) == gpa {
		runs[n-1].Len += page
		return runs
	}
	return append(runs, Run{gpa, page})
}

// check compares the pages of a window.
func (m model) check(t *testing.T, tables *Tables, ram *guestmem.RAM, base hypercall.GVA) {
	t.Helper()
	for va := base; va < base+windowPages*page; va += page {
		p, held := m[va]
		want := translation{}
		if held {
			want = of(p.gpa, p.prot)
		}
		if got := walk(t, ram, tables.Root(), va); got != want {
			t.Fatalf("the processor finds at %#x %+v, want %+v", va, got, want)
		}
		gpa, prot, ok := tables.Lookup(va + 123)
		if ok != want.present || ok && (gpa != p.gpa+123 || prot != p.prot) {
			t.Fatalf("Lookup(%#x) = %#x, %d, %v; want %#x, %d, %v", va+123, gpa, prot, ok, p.gpa+123, p.prot, want.present)
		}
		for _, n := range []uint64{1, page - 123, page - 122, 3 * page, windowPages * page} {
			got, prot, ok := tables.Stretch(va+123, n)
			if !ok {
				continue // as Lookup, which is tested above
			}
			if want := m.stretch(va, 123, n); got != (Run{p.gpa + 123, want}) || prot != p.prot {
				t.Fatalf("Stretch(%#x, %d) = %+v, %d; want %#x, %d bytes, %d", va+123, n, got, prot, p.gpa+123, want, p.prot)
			}
		}
		switch n, got := tables.Held(va + 8); {
		case got != held:
			t.Fatalf("Held(%#x) says %v, want %v", va, got, held)
		case n < page-8 || (uint64(va)+8+n)%page != 0:
			t.Fatalf("Held(%#x) ends after %d bytes, inside a page", va, n)
		case m.anyOther(va, va+8+hypercall.GVA(n), held):
			t.Fatalf("Held(%#x) speaks for %d bytes, which are not alike", va, n)
		}
	}
}

// stretch is how many of n bytes lie in neighbouring frames alike in protection, from an offset in the page at va on, up to
// the next table.
func (m model) stretch(va hypercall.GVA, offset, n uint64) uint64 {
	first, have := m[va], page-offset
	for next := va + page; have < n && next%LargeSize != 0; next += page {
		if p, ok := m[next]; !ok || p.prot != first.prot || p.gpa != first.gpa+hypercall.GPA(next-va) {
			break
		}
		have += page
	}
	return min(have, n)
}

// anyOther reports whether a page in [start, end) differs from held.
func (m model) anyOther(start, end hypercall.GVA, held bool) bool {
	if held {
		return end-start != page
	}
	for va := range m {
		if va >= start && va < end {
			return true
		}
	}
	return false
}

// TestTablesStay checks what doc.go promises because of KVM: unmapping frees no table, and mapping again needs none.
func TestTablesStay(t *testing.T) {
	tables, ram := newTables(t, 1<<20)
	at := hypercall.GVA(hypercall.ImageBase)
	gpa, _ := ram.Alloc(0)
	for range 10 {
		if err := tables.Map(at, gpa, page, hypercall.ProtRead); err != nil {
			t.Fatal(err)
		}
		if used := ram.Used(); used != 5*page {
			t.Fatalf("%d pages used, want 4 tables and a page", used/page)
		}
		tables.Unmap(at, at+page, nil)
	}
}

// TestOutOfMemory maps until there are no frames left for tables.
func TestOutOfMemory(t *testing.T) {
	tables, ram := newTables(t, 8*page)
	gpa, _ := ram.Alloc(0)
	if err := tables.Map(1<<30-page, gpa, page, hypercall.ProtRead); err != nil {
		t.Fatal(err)
	}
	last, _ := ram.Alloc(1) // and with them all but one frame: the next page needs two tables
	err := tables.Map(1<<30, last, page, hypercall.ProtRead)
	if !errors.Is(err, ErrNoMemory) {
		t.Fatalf("mapping without frames for tables: %v, want ErrNoMemory", err)
	}
	if got := walk(t, ram, tables.Root(), 1<<30-page); got != of(gpa, hypercall.ProtRead) {
		t.Errorf("what was mapped before is now %+v", got)
	}
	if got := walk(t, ram, tables.Root(), 1<<30); got.present {
		t.Errorf("what could not be mapped is %+v", got)
	}
}

func TestWritableAndExecutableIsRefused(t *testing.T) {
	tables, ram := newTables(t, 1<<20)
	gpa, _ := ram.Alloc(0)
	const wx = hypercall.ProtWrite | hypercall.ProtExec
	for _, prot := range []uint32{wx, wx | hypercall.ProtRead, 8, 1 << 31} {
		for name, f := range map[string]func(){
			"Map":           func() { tables.Map(hypercall.ImageBase, gpa, page, prot) },
			"MapSupervisor": func() { tables.MapSupervisor(hypercall.MonitorBase, gpa, page, prot) },
			"Protect":       func() { tables.Protect(hypercall.ImageBase, hypercall.UserEnd, prot, nil) },
		} {
			mustBug(t, name, f)
		}
	}
	if walk(t, ram, tables.Root(), hypercall.ImageBase).present {
		t.Error("a page was mapped all the same")
	}
}

func TestMappingTwiceIsABug(t *testing.T) {
	tables, ram := newTables(t, 1<<20)
	gpa, _ := ram.Alloc(0)
	if err := tables.Map(hypercall.ImageBase, gpa, page, hypercall.ProtNone); err != nil {
		t.Fatal(err)
	}
	mustBug(t, "Map over a parked page", func() { tables.Map(hypercall.ImageBase, gpa, page, hypercall.ProtRead) })
}

func mustBug(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
			t.Errorf("%s: panic %q, want one about a BUG", what, s)
		}
	}()
	f()
}

// TestSupervisorPages checks that the guest's operations do not see the monitor's pages.
func TestSupervisorPages(t *testing.T) {
	tables, ram := newTables(t, 1<<20)
	gpa, _ := ram.Alloc(0)
	const at = hypercall.MonitorBase
	if err := tables.MapSupervisor(at, gpa, page, hypercall.ProtRead|hypercall.ProtWrite); err != nil {
		t.Fatal(err)
	}
	want := translation{gpa: gpa, present: true, write: true}
	if got := walk(t, ram, tables.Root(), at); got != want {
		t.Errorf("the processor finds %+v, want %+v", got, want)
	}
	if _, _, ok := tables.Lookup(at); ok {
		t.Error("Lookup finds a page that is not the guest's")
	}
	if runs := append(tables.Unmap(at, at+page, nil), tables.Protect(at, at+page, hypercall.ProtRead, nil)...); len(runs) > 0 {
		t.Errorf("the guest's operations reach %v", runs)
	}
	if got := walk(t, ram, tables.Root(), at); got != want {
		t.Errorf("afterwards the processor finds %+v, want %+v", got, want)
	}
}

// TestWholeSpace checks that operations on everything skip what is absent rather than look at every page of it.
func TestWholeSpace(t *testing.T) {
	tables, ram := newTables(t, 1<<20)
	var want []Run
	for _, va := range []hypercall.GVA{hypercall.ImageBase, 5 << 30, 1 << 46, hypercall.UserEnd - page} {
		gpa, _ := ram.Alloc(0)
		if err := tables.Map(va, gpa, page, hypercall.ProtRead); err != nil {
			t.Fatal(err)
		}
		want = join(want, gpa)
	}
	if got := tables.Protect(0, hypercall.UserEnd, hypercall.ProtNone, nil); !slices.Equal(got, want) {
		t.Errorf("Protect = %v, want %v", got, want)
	}
	if got := tables.Unmap(0, hypercall.UserEnd, nil); !slices.Equal(got, want) {
		t.Errorf("Unmap = %v, want %v", got, want)
	}
}
