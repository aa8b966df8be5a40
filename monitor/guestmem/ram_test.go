package guestmem

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
)

func newRAM(t testing.TB, size uint64) *RAM {
	t.Helper()
	r, err := New(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func alloc(t testing.TB, r *RAM, order int) hypercall.GPA {
	t.Helper()
	gpa, ok := r.Alloc(order)
	if !ok {
		t.Fatalf("no block of order %d", order)
	}
	return gpa
}

func bytesAt(t testing.TB, r *RAM, gpa hypercall.GPA, n uint64) []byte {
	t.Helper()
	b, ok := r.Bytes(gpa, n)
	if !ok {
		t.Fatalf("no %d bytes at %#x", n, gpa)
	}
	return b
}

// address is where a slice lies in this process.
func address(t testing.TB, b []byte) uint64 {
	t.Helper()
	a, err := strconv.ParseUint(fmt.Sprintf("%p", b), 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// resident is how many pages of b take memory of the host (Linux, Documentation/admin-guide/mm/pagemap.rst).
func resident(t testing.TB, b []byte) (n int) {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	entries := make([]byte, len(b)/PageSize*8)
	if _, err := f.ReadAt(entries, int64(address(t, b)/PageSize*8)); err != nil {
		t.Fatal(err)
	}
	const presentOrSwapped = 3 << 62
	for ; len(entries) > 0; entries = entries[8:] {
		if binary.LittleEndian.Uint64(entries)&presentOrSwapped != 0 {
			n++
		}
	}
	return n
}

// flags are the VmFlags (proc_pid_smaps(5)) of every mapping that b has a part in.
func flags(t testing.TB, b []byte) (all []string) {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	from, inside := address(t, b), false
	for _, line := range strings.Split(string(smaps), "\n") {
		var start, end uint64
		if n, _ := fmt.Sscanf(line, "%x-%x ", &start, &end); n == 2 {
			inside = start < from+uint64(len(b)) && from < end
		}
		if f, ok := strings.CutPrefix(line, "VmFlags:"); ok && inside {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no mapping at %#x", from)
	}
	return all
}

func TestBadSizes(t *testing.T) {
	for _, size := range []uint64{0, 1, PageSize - 1, PageSize + 1, MaxSize + PageSize, 1 << 63, ^uint64(0), ^uint64(PageSize - 1)} {
		if r, err := New(size); !errors.Is(err, ErrSize) {
			t.Errorf("New(%d): %v, %v; want ErrSize", size, r, err)
		}
	}
}

func TestBytesIsTheMemory(t *testing.T) {
	r := newRAM(t, 4*PageSize)
	copy(bytesAt(t, r, PageSize-2, 4), "ukvm")
	slots := r.Slots()
	if len(slots) != 1 || slots[0].GPA != 0 || len(slots[0].Mem) != 4*PageSize {
		t.Fatalf("slots: %d, want one of four pages at 0", len(slots))
	}
	if got := string(slots[0].Mem[PageSize-2 : PageSize+2]); got != "ukvm" {
		t.Errorf("KVM sees %q, want what was written", got)
	}
	if b := bytesAt(t, r, 0, 10); cap(b) != 10 {
		t.Errorf("10 bytes can grow to %d", cap(b))
	}
}

// TestHole checks the arithmetic around the gap from 3 to 4 GiB, where KVM has pages of its own. The memory is reserved
// only, so its size costs nothing.
func TestHole(t *testing.T) {
	const above = 16 << 20
	r := newRAM(t, HoleStart+above)
	slots := r.Slots()
	if len(slots) != 2 || slots[1].GPA != HoleEnd || len(slots[0].Mem) != HoleStart || len(slots[1].Mem) != above {
		t.Fatalf("slots: %d, want two around the hole", len(slots))
	}
	slots[0].Mem[HoleStart-1], slots[1].Mem[0] = 1, 2
	if b := bytesAt(t, r, HoleStart-1, 1); b[0] != 1 {
		t.Error("the last byte below the hole is not where KVM sees it")
	}
	if b := bytesAt(t, r, HoleEnd, 1); b[0] != 2 {
		t.Error("the first byte above the hole is not where KVM sees it")
	}
	for _, bad := range []struct{ gpa, n uint64 }{
		{HoleStart - 1, 2}, {HoleStart, 1}, {HoleEnd - 1, 1}, {HoleEnd - 1, 2}, {HoleStart - 1, HoleEnd - HoleStart + 2},
		{0, HoleStart + 1}, {HoleEnd + above - 1, 2}, {HoleEnd + above, 1},
	} {
		if _, ok := r.Bytes(hypercall.GPA(bad.gpa), bad.n); ok {
			t.Errorf("%d bytes at %#x, which are not all memory", bad.n, bad.gpa)
		}
	}
	blocks := 0
	for {
		gpa, ok := r.Alloc(MaxOrder)
		if !ok {
			break
		}
		if gpa >= HoleStart && gpa < HoleEnd {
			t.Fatalf("a block in the hole, at %#x", gpa)
		}
		bytesAt(t, r, gpa, hugePage)
		blocks++
	}
	if want := (HoleStart + above) / hugePage; blocks != want {
		t.Errorf("%d blocks, want %d", blocks, want)
	}
	if err := r.Discard(HoleEnd+above-hugePage, hugePage); err != nil {
		t.Fatal(err)
	}
	if gpa := alloc(t, r, MaxOrder); gpa != HoleEnd+above-hugePage {
		t.Errorf("the block given back was the last one; now it is at %#x", gpa)
	}
}

// FuzzBytes compares the check of a range with one that cannot overflow because it counts in 128 bits.
func FuzzBytes(f *testing.F) {
	small, large := newRAM(f, 3*PageSize), newRAM(f, HoleStart+2*PageSize)
	for _, gpa := range []uint64{0, 1, 3 * PageSize, HoleStart - 1, HoleStart, HoleEnd - 1, HoleEnd, HoleEnd + 1, 1 << 63, ^uint64(0)} {
		for _, n := range []uint64{0, 1, 2, 3 * PageSize, HoleStart, 1 << 63, ^uint64(0), -gpa, HoleEnd - gpa, 3*PageSize - gpa} {
			f.Add(gpa, n)
		}
	}
	f.Fuzz(func(t *testing.T, gpa, n uint64) {
		for _, r := range []*RAM{small, large} {
			b, ok := r.Bytes(hypercall.GPA(gpa), n)
			if ok && uint64(len(b)) != n {
				t.Fatalf("%d bytes at %#x: got %d", n, gpa, len(b))
			}
			if n > 0 && ok != within(r.Slots(), gpa, n) {
				t.Fatalf("%d bytes at %#x of %d: ok is %v", n, gpa, r.Size(), ok)
			}
		}
	})
}

func within(slots []Slot, gpa, n uint64) bool {
	end, carry := bits.Add64(gpa, n, 0)
	for _, s := range slots {
		if carry == 0 && gpa >= uint64(s.GPA) && end <= uint64(s.GPA)+uint64(len(s.Mem)) {
			return true
		}
	}
	return false
}

func TestBeginsAtHugePage(t *testing.T) {
	r := newRAM(t, 4<<20)
	if a := address(t, bytesAt(t, r, 0, 1)); a%hugePage != 0 {
		t.Errorf("memory begins at %#x, which is no multiple of %#x: the host could use no huge pages", a, hugePage)
	}
}

func TestUntouchedMemoryIsFree(t *testing.T) {
	r := newRAM(t, 1<<40)
	if n := resident(t, bytesAt(t, r, 0, 64<<20)); n != 0 {
		t.Errorf("%d pages in use before anything was touched", n)
	}
	alloc(t, r, MaxOrder)
	if n := resident(t, bytesAt(t, r, 0, 64<<20)); n != 0 {
		t.Errorf("%d pages in use after a block was handed out", n)
	}
	if r.Used() != hugePage {
		t.Errorf("%d bytes are used, want %d", r.Used(), hugePage)
	}
}

func TestPopulateAndDiscard(t *testing.T) {
	for _, order := range []int{0, 4, MaxOrder} {
		r := newRAM(t, 8<<20)
		n := uint64(PageSize) << order
		gpa := alloc(t, r, order)
		b := bytesAt(t, r, gpa, n)
		r.Populate(gpa, n)
		if got := resident(t, b); got != 1<<order {
			t.Errorf("order %d: %d pages are there after Populate, want %d", order, got, 1<<order)
		}
		for i := range b {
			b[i] = 0xaa
		}
		if err := r.Discard(gpa, n); err != nil {
			t.Fatal(err)
		}
		if got := resident(t, b); got != 0 {
			t.Errorf("order %d: %d pages are still there after Discard", order, got)
		}
		if r.Used() != 0 {
			t.Errorf("order %d: %d bytes used after all were given back", order, r.Used())
		}
		if again := alloc(t, r, order); again != gpa {
			t.Fatalf("order %d: the next block is at %#x, not the one given back", order, again)
		}
		if !bytes.Equal(b, make([]byte, n)) {
			t.Errorf("order %d: a fresh block shows what the last user left", order)
		}
	}
}

// TestDiscardPart gives back the middle of a block.
func TestDiscardPart(t *testing.T) {
	r := newRAM(t, 1<<20)
	gpa := alloc(t, r, 2)
	b := bytesAt(t, r, gpa, 4*PageSize)
	for i := range b {
		b[i] = byte(1 + i/PageSize)
	}
	if err := r.Discard(gpa+PageSize, 2*PageSize); err != nil {
		t.Fatal(err)
	}
	if b[0] != 1 || b[PageSize] != 0 || b[3*PageSize-1] != 0 || b[3*PageSize] != 4 {
		t.Errorf("the pages begin %d %d %d %d, want 1 0 0 4", b[0], b[PageSize], b[2*PageSize], b[3*PageSize])
	}
	if r.Used() != 2*PageSize {
		t.Errorf("%d bytes used, want %d", r.Used(), 2*PageSize)
	}
}

func TestFlushKeepsContents(t *testing.T) {
	r := newRAM(t, 1<<20)
	b := bytesAt(t, r, alloc(t, r, 0), PageSize)
	copy(b, "stays")
	if err := r.Flush(0, PageSize); err != nil {
		t.Fatal(err)
	}
	b[5] = '!' // faults if the page is still read-only
	if got := string(b[:6]); got != "stays!" {
		t.Errorf("after Flush the page begins %q", got)
	}
}

func TestOutsideIsABug(t *testing.T) {
	r := newRAM(t, PageSize)
	for name, f := range map[string]func(){
		"Discard":  func() { r.Discard(0, 2*PageSize) },
		"Flush":    func() { r.Flush(PageSize, PageSize) },
		"ShowFile": func() { r.ShowFile(0, 2*PageSize, nil, 0) },
	} {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
					t.Errorf("%s outside of memory: panic %q", name, s)
				}
			}()
			f()
		}()
	}
}

// testFile is a file of pages that begin with their number, counted from 1.
func testFile(t testing.TB, pages int) *os.File {
	t.Helper()
	b := make([]byte, pages*PageSize)
	for i := range pages {
		b[i*PageSize] = byte(i + 1)
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func show(t testing.TB, r *RAM, gpa hypercall.GPA, n uint64, f *os.File, at int64) {
	t.Helper()
	if err := r.ShowFile(gpa, n, f, at); err != nil {
		t.Fatal(err)
	}
}

func TestShowFileIsPrivate(t *testing.T) {
	r, f := newRAM(t, 1<<20), testFile(t, 4)
	gpa := alloc(t, r, 1)
	show(t, r, gpa, 2*PageSize, f, PageSize)
	b := bytesAt(t, r, gpa, 2*PageSize)
	if b[0] != 2 || b[PageSize] != 3 {
		t.Fatalf("the pages begin %d and %d, want the file's second and third", b[0], b[PageSize])
	}
	b[0] = 99
	var file [1]byte
	if _, err := f.ReadAt(file[:], PageSize); err != nil || file[0] != 2 {
		t.Errorf("a write to memory changed the file to %d (%v)", file[0], err)
	}
	if next := bytesAt(t, r, gpa+2*PageSize, PageSize); next[0] != 0 {
		t.Errorf("the page after the file's begins %d", next[0])
	}
}

// TestDiscardForgetsFile checks that frames that showed a file are zero when they are used again, also in part, also
// together with others.
func TestDiscardForgetsFile(t *testing.T) {
	for _, d := range []struct {
		name     string
		from, to uint64 // pages discarded; the file is shown in pages 4 to 7
		want     [12]byte
	}{
		{"all of it", 4, 8, [12]byte{9, 9, 9, 9, 0, 0, 0, 0, 9, 9, 9, 9}},
		{"its middle", 5, 7, [12]byte{9, 9, 9, 9, 1, 0, 0, 4, 9, 9, 9, 9}},
		{"its beginning", 2, 6, [12]byte{9, 9, 0, 0, 0, 0, 3, 4, 9, 9, 9, 9}},
		{"its end", 7, 10, [12]byte{9, 9, 9, 9, 1, 2, 3, 0, 0, 0, 9, 9}},
		{"more than it", 3, 9, [12]byte{9, 9, 9, 0, 0, 0, 0, 0, 0, 9, 9, 9}},
		{"what is before it", 0, 4, [12]byte{0, 0, 0, 0, 1, 2, 3, 4, 9, 9, 9, 9}},
		{"what is after it", 8, 12, [12]byte{9, 9, 9, 9, 1, 2, 3, 4, 0, 0, 0, 0}},
	} {
		r, f := newRAM(t, 1<<20), testFile(t, 4)
		alloc(t, r, 4)
		b := bytesAt(t, r, 0, 12*PageSize)
		for i := range 12 {
			b[i*PageSize] = 9
		}
		show(t, r, 4*PageSize, 4*PageSize, f, 0)
		if err := r.Discard(hypercall.GPA(d.from*PageSize), (d.to-d.from)*PageSize); err != nil {
			t.Fatal(err)
		}
		var got [12]byte
		for i := range got {
			got[i] = b[i*PageSize]
		}
		if got != d.want {
			t.Errorf("discard %s: pages begin %v, want %v", d.name, got, d.want)
		}
	}
}

// TestDiscardInPieces gives back every second page of a stretch that shows a file: the others keep their content, and the
// host's mappings stay few.
func TestDiscardInPieces(t *testing.T) {
	const pages = 1 << MaxOrder
	r, f := newRAM(t, 8<<20), testFile(t, pages)
	gpa := alloc(t, r, MaxOrder)
	show(t, r, gpa, pages*PageSize, f, 0)
	b := bytesAt(t, r, gpa, pages*PageSize)
	b[PageSize+1] = 77
	for i := 0; i < pages; i += 2 {
		if err := r.Discard(gpa+hypercall.GPA(i*PageSize), PageSize); err != nil {
			t.Fatal(err)
		}
	}
	if n := resident(t, b); n > pages/2 { // before a look at them makes them so
		t.Errorf("%d of %d pages are resident, half have been given back", n, pages)
	}
	for i := range pages {
		want := byte(i + 1)
		if i%2 == 0 {
			want = 0
		}
		if b[i*PageSize] != want {
			t.Fatalf("page %d begins %d, want %d", i, b[i*PageSize], want)
		}
	}
	if b[PageSize+1] != 77 {
		t.Error("what was written before is lost")
	}
	if n := len(flags(t, b)); n > 2*maxHoles+3 {
		t.Errorf("the host has %d mappings of it", n)
	}
}

// TestNotInherited checks that neither child processes nor core dumps get a guest's memory, nor sparse memory huge pages,
// whatever has been mapped there meanwhile.
func TestNotInherited(t *testing.T) {
	r, f := newRAM(t, 4<<20), testFile(t, 4)
	check := func(when string) {
		t.Helper()
		for _, s := range r.Slots() {
			for _, have := range flags(t, s.Mem) {
				for _, want := range []string{"dc", "dd", "nh"} { // MADV_DONTFORK, MADV_DONTDUMP, MADV_NOHUGEPAGE
					if !strings.Contains(have+" ", " "+want+" ") {
						t.Errorf("%s, a part of the memory has the flags%s, without %s", when, have, want)
					}
				}
			}
		}
	}
	check("at first")
	alloc(t, r, 2)
	show(t, r, 0, 4*PageSize, f, 0)
	check("showing a file")
	if err := r.Discard(0, 2*PageSize); err != nil {
		t.Fatal(err)
	}
	check("after giving a part of it back")
}

func TestClose(t *testing.T) {
	r, err := New(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	at := address(t, bytesAt(t, r, 0, 1))
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if b, ok := r.Bytes(0, 1); ok {
		t.Errorf("memory after Close: %d bytes", len(b))
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	for _, line := range strings.Split(string(maps), "\n") {
		var start, end uint64
		if n, _ := fmt.Sscanf(line, "%x-%x ", &start, &end); n == 2 && start <= at && at < end && end-start >= 1<<20 {
			t.Errorf("still mapped: %s", line)
		}
	}
}

// TestEmpty checks that emptied frames are zero, cost the host nothing and stay in use until they are released.
func TestEmpty(t *testing.T) {
	r := newRAM(t, 16<<20)
	gpa, ok := r.Alloc(MaxOrder)
	if !ok {
		t.Fatal("out of memory")
	}
	r.Populate(gpa, hugePage)
	b, _ := r.Bytes(gpa, hugePage)
	b[5*PageSize] = 1
	for _, part := range []uint64{PageSize, 7 * PageSize, hugePage} {
		used := r.Used()
		if err := r.Empty(gpa, part); err != nil {
			t.Fatal(err)
		}
		if r.Used() != used {
			t.Errorf("emptying %d bytes changes what is used from %d to %d", part, used, r.Used())
		}
		if want := byte(1); part <= 5*PageSize && b[5*PageSize] != want || part > 5*PageSize && b[5*PageSize] != 0 {
			t.Errorf("after emptying %d bytes there is %d", part, b[5*PageSize])
		}
	}
	used := r.Used()
	r.Release(gpa, hugePage)
	if got := used - r.Used(); got != hugePage {
		t.Errorf("releasing 2 MiB frees %d bytes", got)
	}
	if again, ok := r.Alloc(MaxOrder); !ok || again != gpa {
		t.Errorf("the block is handed out again at %#x, %v; want %#x", again, ok, gpa)
	}
}
