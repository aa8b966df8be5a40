package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/loader"
	"ukvm.dev/monitor/paging"
)

const (
	page = hypercall.PageSize

	none      = uint32(hypercall.ProtNone)
	readOnly  = uint32(hypercall.ProtRead)
	readWrite = uint32(hypercall.ProtRead | hypercall.ProtWrite)
	readExec  = uint32(hypercall.ProtRead | hypercall.ProtExec)
	readBit   = uint32(hypercall.ProtRead)
	writeBit  = uint32(hypercall.ProtWrite)
	execBit   = uint32(hypercall.ProtExec)

	heap = hypercall.GVA(0xc0_0000_0000) // where Go's is
)

func newTestSpace(t testing.TB, size uint64, regions ...hypercall.Region) *space {
	t.Helper()
	s, err := newSpace(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	setRegions(s, regions...)
	return s
}

// setRegions writes the region table as a guest does: with whatever it likes in it.
func setRegions(s *space, regions ...hypercall.Region) {
	s.regions.Count = uint64(len(regions))
	copy(s.regions.Table[:], regions)
}

func region(start, end hypercall.GVA, prot uint32) hypercall.Region {
	return hypercall.Region{Start: start, End: end, Prot: prot}
}

// TestRegionModel compares the search in well-formed tables with looking at every entry.
func TestRegionModel(t *testing.T) {
	s := newTestSpace(t, MinMemory)
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var table []hypercall.Region
		at := hypercall.GVA(hypercall.ImageBase)
		for range r.IntN(40) {
			at += hypercall.GVA(r.IntN(3) * page)
			end := at + hypercall.GVA(1+r.IntN(4))*page
			table = append(table, region(at, end, []uint32{none, readOnly, readWrite, readExec}[r.IntN(4)]))
			at = end
		}
		setRegions(s, table...)
		for va := hypercall.GVA(hypercall.ImageBase) - page; va < at+2*page; va += page / 2 {
			var want *hypercall.Region
			for i := range table {
				if table[i].Start <= va && va < table[i].End {
					want = &table[i]
				}
			}
			got, ok := s.region(va)
			if ok != (want != nil) || ok && got != *want {
				t.Fatalf("region at %#x: %+v, %v; want %+v", va, got, ok, want)
			}
		}
	}
}

// TestHostileRegions checks entries that an honest guest kernel never makes.
func TestHostileRegions(t *testing.T) {
	s := newTestSpace(t, MinMemory)
	for _, c := range []struct {
		name  string
		entry hypercall.Region
	}{
		{"writable and executable", region(heap, heap+4*page, writeBit|execBit)},
		{"unknown protection bit", region(heap, heap+4*page, readBit|8)},
		{"all protection bits", region(heap, heap+4*page, ^uint32(0))},
		{"odd beginning", region(heap-1, heap+4*page, readWrite)},
		{"odd end", region(heap, heap+4*page-1, readWrite)},
		{"end before beginning", region(heap+4*page, heap, readWrite)},
		{"begins in the shared range", region(hypercall.RingsVA, heap+4*page, readWrite)},
		{"begins at 0", region(0, heap+4*page, readWrite)},
		{"ends behind the user's part", region(heap, hypercall.UserEnd+page, readWrite)},
		{"ends in the monitor's part", region(heap, hypercall.MonitorBase+page, readWrite)},
		{"ends at the end of addresses", region(heap, ^hypercall.GVA(page-1), readWrite)},
	} {
		setRegions(s, c.entry)
		if r, ok := s.region(heap + page); ok {
			t.Errorf("%s: %+v is accepted", c.name, r)
		}
	}
	for _, count := range []uint64{1, hypercall.MaxRegions, hypercall.MaxRegions + 1, 1 << 32, 1 << 63, ^uint64(0)} {
		setRegions(s, region(heap, heap+4*page, readWrite))
		s.regions.Count = count
		if _, ok := s.region(hypercall.UserEnd - page); ok {
			t.Errorf("count %#x: something at the end", count)
		}
	}
	setRegions(s, region(heap, heap+page, readWrite))
	s.regions.Count = 0
	if _, ok := s.region(heap); ok {
		t.Error("an entry behind the count is found")
	}
}

// TestRandomRegions checks, with tables full of anything, that a result is one the monitor can use.
func TestRandomRegions(t *testing.T) {
	s := newTestSpace(t, MinMemory)
	r := rand.New(rand.NewPCG(2, 2))
	word := func() hypercall.GVA {
		v := hypercall.GVA(r.Uint64()) >> r.IntN(64)
		if r.IntN(4) > 0 {
			v &^= page - 1
		}
		return v
	}
	found := 0
	for range 300 {
		s.regions.Count = uint64(word())
		if r.IntN(2) == 0 {
			s.regions.Count = uint64(r.IntN(hypercall.MaxRegions))
		}
		for i := range s.regions.Table {
			s.regions.Table[i] = hypercall.Region{Start: word(), End: word(), Prot: uint32(r.IntN(9)), Used: r.Uint32()}
		}
		for range 50 {
			va := word()
			got, ok := s.region(va)
			if !ok {
				continue
			}
			found++
			if va < got.Start || va >= got.End || got.Start%page != 0 || got.End%page != 0 ||
				got.Start < hypercall.ImageBase || got.End > hypercall.UserEnd || !validProt(got.Prot) {
				t.Fatalf("region at %#x: %+v", va, got)
			}
		}
	}
	if found == 0 {
		t.Error("no table had anything to find; the test tests nothing")
	}
}

func TestFaultAccess(t *testing.T) {
	for _, c := range []struct {
		prot    uint32
		allowed uint32 // access bits
	}{
		{none, 0}, {readBit, readBit}, {readWrite, readBit | writeBit}, {readExec, readBit | execBit},
		{execBit, readBit | execBit}, // exec implies read
	} {
		for _, access := range []uint32{readBit, writeBit, execBit} {
			s := newTestSpace(t, MinMemory, region(heap, heap+page, c.prot))
			err := s.fault(heap+7, access)
			if want := c.allowed&access != 0; (err == nil) != want || err != nil && !errors.Is(err, errBadAddress) {
				t.Errorf("access %d to a region with protection %d: %v, want allowed %v", access, c.prot, err, want)
			}
			if _, prot, ok := s.tables.Lookup(heap); ok && prot&^c.allowed != 0 {
				t.Errorf("protection %d has become %d", c.prot, prot)
			}
		}
	}
}

// TestFaultOutside touches what is next to a region.
func TestFaultOutside(t *testing.T) {
	s := newTestSpace(t, MinMemory, region(heap, heap+page, readWrite))
	for _, va := range []hypercall.GVA{0, heap - 1, heap + page, hypercall.UserEnd - 1} {
		if err := s.fault(va, readBit); !errors.Is(err, errBadAddress) {
			t.Errorf("fault at %#x: %v, want errBadAddress", va, err)
		}
	}
}

// present is how many pages of a range are there.
func present(s *space, start, end hypercall.GVA) (n int) {
	for va := start; va < end; va += page {
		if _, _, ok := s.tables.Lookup(va); ok {
			n++
		}
	}
	return n
}

// TestChunks checks how much a touch commits: the aligned chunk around it within the region, and more where touches run
// on upwards.
func TestChunks(t *testing.T) {
	const chunk = minChunk / page
	s := newTestSpace(t, 256<<20, region(heap+3*page, heap+64<<20, readWrite))
	touch := func(at hypercall.GVA) int {
		t.Helper()
		before := s.ram.Used()
		if err := s.fault(at, writeBit); err != nil {
			t.Fatal(err)
		}
		if present(s, at, at+1) != 1 {
			t.Fatalf("nothing at %#x after a touch", at)
		}
		return int(s.ram.Used()-before) / page
	}
	if touch(heap + 5*page); present(s, heap, heap+2*minChunk) != chunk-3 {
		t.Errorf("the first touch commits %d pages, want the %d of its chunk that the region has", present(s, heap, heap+2*minChunk), chunk-3)
	}
	if n := touch(heap + minChunk); n != 2*chunk-chunk {
		t.Errorf("a touch right behind commits %d pages, want what is absent of %d", n, 2*chunk)
	}
	most := 0
	for at := hypercall.GVA(heap + 2*minChunk); at < heap+32<<20; {
		touch(at)
		n := 0
		for present(s, at, at+page) == 1 {
			at += page
			n++
		}
		most = max(most, n)
	}
	if most != int(s.most)/page {
		t.Errorf("chunks grow to %d pages, want %d", most, s.most/page)
	}
	if n := touch(heap + 60<<20); n > chunk+1 { // and perhaps a table
		t.Errorf("a touch elsewhere commits %d pages", n)
	}
}

// TestChunkTooLarge checks that a touch still succeeds when there is memory for the page but not for the chunk.
func TestChunkTooLarge(t *testing.T) {
	s := newTestSpace(t, MinMemory, region(heap, heap+1<<30, readWrite))
	if err := s.fault(heap, writeBit); err != nil { // so that there are tables
		t.Fatal(err)
	}
	if err := s.drop(heap, heap+1<<30); err != nil {
		t.Fatal(err)
	}
	for ok := true; ok; {
		_, ok = s.ram.Alloc(0)
	}
	if err := s.ram.Discard(hypercall.GPA(s.ram.Size()-page), page); err != nil {
		t.Fatal(err)
	}
	if err := s.fault(heap+page, writeBit); err != nil || present(s, heap+page, heap+2*page) != 1 {
		t.Errorf("with a page left: %v, %d pages present", err, present(s, heap+page, heap+2*page))
	}
	if err := s.fault(heap, writeBit); !errors.Is(err, paging.ErrNoMemory) {
		t.Errorf("without a page left: %v, want ErrNoMemory", err)
	}
}

// TestParkedPage makes a page inaccessible with a memory operation and accessible again in the table only. It is the
// guest's fault; no access may succeed, and none may make the monitor wait for a page that never comes.
func TestParkedPage(t *testing.T) {
	s := newTestSpace(t, MinMemory, region(heap, heap+page, readWrite))
	if err := s.write(heap, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if err := s.protect(heap, heap+page, none); err != nil {
		t.Fatal(err)
	}
	if err := s.fault(heap, readBit); !errors.Is(err, errBadAddress) {
		t.Errorf("touching it: %v, want errBadAddress", err)
	}
	if err := s.read(make([]byte, 6), heap); !errors.Is(err, errBadAddress) {
		t.Errorf("reading it: %v, want errBadAddress", err)
	}
	if err := s.protect(heap, heap+page, readOnly); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 6)
	if err := s.read(b, heap); err != nil || string(b) != "secret" {
		t.Errorf("after the right operation it reads %q, %v", b, err)
	}
	if err := s.write(heap, b); !errors.Is(err, errBadAddress) {
		t.Errorf("writing it: %v, want errBadAddress", err)
	}
}

// TestSlices checks ranges of guest memory, good and bad.
func TestSlices(t *testing.T) {
	s := newTestSpace(t, MinMemory,
		region(heap, heap+4*page, readWrite), region(heap+4*page, heap+5*page, readOnly), region(heap+6*page, heap+7*page, readExec),
		region(hypercall.UserEnd-page, hypercall.UserEnd, readWrite))
	for _, c := range []struct {
		name   string
		va     hypercall.GVA
		n      uint64
		access uint32
		want   error
	}{
		{"nothing", heap, 0, writeBit, nil},
		{"nothing, nowhere", 0, 0, writeBit, nil},
		{"one byte", heap, 1, writeBit, nil},
		{"across pages", heap + page - 1, 2, writeBit, nil},
		{"the whole region", heap, 4 * page, writeBit, nil},
		{"into the read-only one", heap, 4*page + 1, writeBit, errBadAddress},
		{"into the read-only one, reading", heap, 5 * page, readBit, nil},
		{"executing data", heap, 1, execBit, errBadAddress},
		{"executing code", heap + 6*page, page, execBit, nil},
		{"across a hole", heap + 4*page, 2*page + 1, readBit, errBadAddress},
		{"page 0", 8, 8, readBit, errBadAddress},
		{"the end of user memory", hypercall.UserEnd - 8, 8, writeBit, nil},
		{"behind the end", hypercall.UserEnd - 8, 9, writeBit, errBadAddress},
		{"at the end", hypercall.UserEnd, 1, readBit, errBadAddress},
		{"no byte at the end", hypercall.UserEnd, 0, readBit, nil},
		{"wrapping round", hypercall.UserEnd - 8, ^uint64(hypercall.UserEnd) + 17, readBit, errBadAddress},
		{"all there is", 0, ^uint64(0), readBit, errBadAddress},
		{"not canonical", 1 << 47, 1, readBit, errBadAddress},
		{"the monitor's", hypercall.MonitorBase, 8, readBit, errBadAddress},
		{"the last byte", ^hypercall.GVA(0), 1, readBit, errBadAddress},
		{"the control page", hypercall.ControlVA, page, writeBit, nil},
		{"the clock page", hypercall.ClockVA, 8, readBit, nil},
		{"writing the clock page", hypercall.ClockVA, 8, writeBit, errBadAddress},
		{"boot information that is not there yet", hypercall.BootVA, 8, readBit, errBadAddress},
	} {
		pieces, err := s.slices(nil, c.va, c.n, c.access)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
			continue
		}
		n := uint64(0)
		for _, p := range pieces {
			n += uint64(len(p))
		}
		if err == nil && n != c.n {
			t.Errorf("%s: %d bytes, want %d", c.name, n, c.n)
		}
	}
}

// TestSlicesJoins checks that adjacent frames make one slice and others do not.
func TestSlicesJoins(t *testing.T) {
	s := newTestSpace(t, MinMemory)
	a, _ := s.ram.Alloc(2)
	b, _ := s.ram.Alloc(0)
	for i, gpa := range []hypercall.GPA{a, a + page, b, a + 2*page, a + 3*page} {
		if err := s.tables.Map(heap+hypercall.GVA(i*page), gpa, page, readWrite); err != nil {
			t.Fatal(err)
		}
	}
	text := bytes.Repeat([]byte("0123456789abcdef"), 5*page/16)
	if err := s.write(heap, text); err != nil {
		t.Fatal(err)
	}
	pieces, err := s.slices(nil, heap+100, 5*page-200, readBit)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, p := range pieces {
		sizes = append(sizes, len(p))
	}
	if len(pieces) != 3 || sizes[0] != 2*page-100 || sizes[1] != page || sizes[2] != 2*page-100 {
		t.Errorf("pieces of %d bytes", sizes)
	}
	if !bytes.Equal(bytes.Join(pieces, nil), text[100:5*page-100]) {
		t.Error("the pieces are not what was written")
	}
	got := make([]byte, 5*page)
	if err := s.read(got, heap); err != nil || !bytes.Equal(got, text) {
		t.Errorf("reading gives something else (%v)", err)
	}
}

// TestSpaceModel does random operations on an address space and on a map of pages, and compares what a guest would read.
func TestSpaceModel(t *testing.T) {
	const pages = 64
	s := newTestSpace(t, MinMemory, region(heap, heap+pages*page, readWrite))
	r := rand.New(rand.NewPCG(3, 3))
	model := map[hypercall.GVA]byte{} // what was written, by page; absent pages are zero
	prots := map[hypercall.GVA]uint32{}
	for step := range 5000 {
		from := r.IntN(pages)
		start := heap + hypercall.GVA(from*page)
		end := start + hypercall.GVA(1+r.IntN(min(8, pages-from)))*page
		switch op := r.IntN(5); op {
		case 0: // drop
			if err := s.drop(start, end); err != nil {
				t.Fatal(err)
			}
			for va := start; va < end; va += page {
				delete(model, va)
				delete(prots, va)
			}
		case 1: // commit
			if err := s.commit(start, end, readWrite); err != nil {
				t.Fatal(err)
			}
		case 2: // protect, as a guest that keeps its table right would: what is absent stays readable and writable
			if err := s.commit(start, end, readWrite); err != nil {
				t.Fatal(err)
			}
			prot := []uint32{none, readOnly, readWrite}[r.IntN(3)]
			if err := s.protect(start, end, prot); err != nil {
				t.Fatal(err)
			}
			for va := start; va < end; va += page {
				prots[va] = prot
			}
		default: // write a byte
			v := byte(r.IntN(256))
			err := s.write(start+5, []byte{v})
			prot, ok := prots[start]
			if good := !ok || prot == readWrite; (err == nil) != good {
				t.Fatalf("step %d: writing a page with protection %d: %v", step, prot, err)
			}
			if err == nil {
				model[start] = v
			}
		}
		for va := heap; va < heap+pages*page; va += page {
			var b [1]byte
			err := s.read(b[:], va+5)
			prot, ok := prots[va]
			if readable := !ok || prot != none; (err == nil) != readable || readable && b[0] != model[va] {
				t.Fatalf("step %d: page %d with protection %d reads %d, %v; want %d", step, (va-heap)/page, prot, b[0], err, model[va])
			}
		}
		if s.control.Resident != s.ram.Used() {
			t.Fatalf("step %d: the guest is told of %d bytes, %d are in use", step, s.control.Resident, s.ram.Used())
		}
	}
}

// TestOutOfMemoryLosesNothing uses up memory and gives it back, again and again: as much must be there each time.
func TestOutOfMemoryLosesNothing(t *testing.T) {
	s := newTestSpace(t, MinMemory, region(heap, heap+1<<30, readWrite))
	var first uint64
	for i := range 8 {
		if err := s.commit(heap, heap+1<<30, readWrite); !errors.Is(err, paging.ErrNoMemory) {
			t.Fatalf("committing more than there is: %v", err)
		}
		if s.control.Resident != s.ram.Used() {
			t.Errorf("the guest is told of %d bytes, %d are in use", s.control.Resident, s.ram.Used())
		}
		if err := s.drop(heap, heap+1<<30); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = s.ram.Used()
		} else if used := s.ram.Used(); used != first {
			t.Fatalf("round %d: %d pages in use after everything was given back, %d at first", i, used/page, first/page)
		}
	}
}

// TestOutOfMemoryForTables does the same where what is missing is a frame for a table: the page's own must not be lost.
func TestOutOfMemoryForTables(t *testing.T) {
	s := newTestSpace(t, MinMemory)
	for ok := true; ok; {
		_, ok = s.ram.Alloc(0)
	}
	if err := s.ram.Discard(hypercall.GPA(s.ram.Size()-2*page), 2*page); err != nil { // a page, and one of three tables
		t.Fatal(err)
	}
	for range 3 {
		if err := s.commit(heap, heap+page, readWrite); !errors.Is(err, paging.ErrNoMemory) {
			t.Fatalf("committing with 2 frames left: %v", err)
		}
		if free := s.ram.Size() - s.ram.Used(); free != page {
			t.Fatalf("%d bytes are free, want the page that could not be mapped", free)
		}
	}
	if present(s, heap, heap+page) != 0 {
		t.Error("the page is there all the same")
	}
}

// TestFill checks what a guest finds where its image is: the file's bytes, then zeroes, page by page.
func TestFill(t *testing.T) {
	file := make([]byte, 8*page)
	for i := range file {
		file[i] = byte(1 + i/page)
	}
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	m := &loader.Image{Segments: []loader.Segment{
		{Start: hypercall.ImageBase, Size: 2 * page, Offset: page, FileSize: 2 * page, Prot: readExec},
		{Start: hypercall.ImageBase + 2*page, Size: 4 * page, Offset: 4 * page, FileSize: page + 10, Prot: readWrite},
		{Start: hypercall.ImageBase + 8*page, Size: page, Offset: 0, FileSize: 0, Prot: readOnly},
	}}
	want := make([]byte, 9*page)
	copy(want, file[page:3*page])
	copy(want[2*page:], file[4*page:5*page+10])
	for _, c := range []struct {
		name string
		size uint64 // of RAM: a large image beside it is read as it is touched
	}{
		{"mapped", 64 << 20}, {"read", 60 * page},
	} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s := &space{}
		if c.name == "read" {
			s = newTestSpace(t, MinMemory)
			s.imageSize = s.ram.Size() // as if there were more of it
		} else {
			s = newTestSpace(t, c.size)
		}
		if err := s.loadImage(m, f); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 6*page)
		if err := s.read(got, hypercall.ImageBase); err != nil || !bytes.Equal(got, want[:6*page]) {
			t.Errorf("%s: the first six pages are not the image's (%v)", c.name, err)
		}
		if err := s.read(got[:page], hypercall.ImageBase+8*page); err != nil || !bytes.Equal(got[:page], want[8*page:]) {
			t.Errorf("%s: the segment without bytes in the file is not zero (%v)", c.name, err)
		}
		if err := s.read(got[:1], hypercall.ImageBase+6*page); !errors.Is(err, errBadAddress) {
			t.Errorf("%s: between segments: %v, want errBadAddress", c.name, err)
		}
		if err := s.write(hypercall.ImageBase, got[:1]); !errors.Is(err, errBadAddress) {
			t.Errorf("%s: writing text: %v, want errBadAddress", c.name, err)
		}
		if err := s.write(hypercall.ImageBase+2*page, []byte{99}); err != nil {
			t.Errorf("%s: writing data: %v", c.name, err)
		}
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := newTestSpace(t, MinMemory)
	s.image, s.file = m, f
	if err := s.commit(hypercall.ImageBase-4*page, hypercall.ImageBase+12*page, readOnly); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 9*page)
	if err := s.read(got, hypercall.ImageBase); err != nil || !bytes.Equal(got, want) {
		t.Errorf("committed with what is around it, the image is not the image (%v)", err)
	}
	if now, err := os.ReadFile(name); err != nil || !bytes.Equal(now, file) {
		t.Errorf("the file has changed (%v)", err)
	}
}

// TestSmallRegions checks that small regions come together, and only those.
func TestSmallRegions(t *testing.T) {
	const base = hypercall.GVA(1 << 40)
	at := func(i int) hypercall.GVA { return base + hypercall.GVA(i)<<20 }
	s := newTestSpace(t, 16<<20)
	var regions []hypercall.Region
	for i := range 24 {
		switch i {
		case 9:
			regions = append(regions, region(at(i), at(i)+page, hypercall.ProtNone))
		case 10:
			regions = append(regions, region(at(i), at(i)+2*smallRegion, readWrite))
		default:
			regions = append(regions, region(at(i), at(i)+smallRegion, readWrite))
		}
	}
	setRegions(s, regions...)
	if err := s.fault(at(10), hypercall.ProtWrite); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := s.tables.Lookup(at(11)); ok {
		t.Error("a fault in a region that is not small has brought a neighbour")
	}
	if err := s.fault(at(11)+page, hypercall.ProtWrite); err != nil {
		t.Fatal(err)
	}
	for i := range regions {
		_, prot, ok := s.tables.Lookup(at(i))
		want := i == 10 || i != 9 && i >= 11-smallSpan && i < 11+smallSpan
		if ok != want || ok && prot != readWrite {
			t.Errorf("region %d: present %v, want %v (protection %d)", i, ok, want, prot)
		}
	}

	// Where memory is short, only what was touched comes.
	s = newTestSpace(t, 1<<20)
	setRegions(s, regions...)
	for s.ram.Size()-s.ram.Used() >= smallRegion+tablesRoom+8*page {
		if _, ok := s.ram.Alloc(0); !ok {
			t.Fatal("out of memory")
		}
	}
	if err := s.fault(at(11), hypercall.ProtWrite); err != nil {
		t.Fatal(err)
	}
	present := 0
	for i := range regions {
		if _, _, ok := s.tables.Lookup(at(i)); ok {
			present++
		}
	}
	if present == 0 || present > 3 {
		t.Errorf("%d regions present in a memory with room for one or two", present)
	}
}

// BenchmarkSlices finds the memory of a buffer as drivers offer it, in pages and in a block.
func BenchmarkSlices(b *testing.B) {
	const buffer = 16 << 10
	for _, size := range []uint64{MinMemory, 256 << 20} {
		b.Run(fmt.Sprintf("%d MiB", size>>20), func(b *testing.B) {
			s := newTestSpace(b, size, region(heap, heap+8<<20, readWrite))
			if err := s.commit(heap, heap+4<<20, readWrite); err != nil {
				b.Fatal(err)
			}
			var pieces [][]byte
			for i := 0; b.Loop(); i++ {
				var err error
				at := heap + hypercall.GVA(i%200*buffer)
				if pieces, err = s.slices(pieces[:0], at, buffer, writeBit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
