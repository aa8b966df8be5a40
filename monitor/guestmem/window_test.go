package guestmem

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func newWindow(t testing.TB, size, limit uint64) *Window {
	t.Helper()
	w, err := NewWindow(newRAM(t, 4<<20), size, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// opened is a descriptor of a new file with a page of each number.
func opened(t testing.TB, pages int) (fd int, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	b := []byte{}
	for i := range pages {
		b = append(b, bytes.Repeat([]byte{byte(i + 1)}, PageSize)...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return reopened(t, path), path
}

func reopened(t testing.TB, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestWindow maps a file, and looks at it from both sides.
func TestWindow(t *testing.T) {
	w := newWindow(t, 1<<30, 1<<30)
	fd, path := opened(t, 4)
	f, fresh, err := w.Map(fd, PageSize, 8*PageSize, true)
	if err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	slot := w.Slot(f)
	if slot.GPA%FileAlign != 0 || len(slot.Mem) != 8*PageSize || slot.Mem[0] != 2 || slot.Mem[2*PageSize] != 4 {
		t.Errorf("slot at %#x of %d bytes, which begins with %d", slot.GPA, len(slot.Mem), slot.Mem[0])
	}
	slot.Mem[5] = 99
	if b, err := os.ReadFile(path); err != nil || b[PageSize+5] != 99 {
		t.Error("the file does not have what was written to memory", err)
	}
	if n := w.Valid(f, f.Off); n != 3*PageSize {
		t.Errorf("%d bytes are in the file", n)
	}
	if err := w.Bring(f, f.Off+2*PageSize, true); err != nil {
		t.Error(err)
	}
	if err := w.Bring(f, f.Off+3*PageSize, false); !errors.Is(err, ErrFileEnd) {
		t.Error("a page behind the end:", err)
	}
	if err := os.Truncate(path, PageSize+1); err != nil {
		t.Fatal(err)
	}
	if err := w.Bring(f, f.Off+PageSize, false); !errors.Is(err, ErrFileEnd) || w.Valid(f, f.Off) != PageSize {
		t.Error("a file that was cut short:", err)
	}
	if b, ok := w.Bytes(slot.GPA+5, 10); !ok || b[0] != 0 && b[0] != 99 {
		t.Error("no bytes", ok)
	}
	if _, ok := w.Bytes(slot.GPA, 8*PageSize+1); ok {
		t.Error("bytes behind a mapping")
	}
	if _, ok := w.Bytes(slot.GPA-1, 1); ok {
		t.Error("bytes before a mapping")
	}
	if err := w.Flush(slot.GPA, PageSize); err != nil || slot.Mem[0] != 2 {
		t.Error("a flush changed contents", err)
	}
	if err := w.Unmap(f); err != nil || !f.Idle() || w.At(f.Off) != nil {
		t.Error("still there", err)
	}
	g, fresh, err := w.Map(reopened(t, path), 0, 3*PageSize, false)
	if err != nil || fresh || g != f {
		t.Error("an idle place was not used", fresh, err)
	}
	if w.At(g.Off+3*PageSize) != nil {
		t.Error("the rest of the place shows something")
	}
}

// TestWindowLimits: a window is not larger than it may be, and has no more places than are allowed.
func TestWindowLimits(t *testing.T) {
	w := newWindow(t, 1<<30, 64<<20)
	_, path := opened(t, 1)
	want := func(n uint64, wanted error) *File {
		t.Helper()
		fd := reopened(t, path)
		f, _, err := w.Map(fd, 0, n, false)
		if !errors.Is(err, wanted) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if err != nil {
			unix.Close(fd)
		}
		return f
	}
	f := want(64<<20, nil)
	want(PageSize, ErrWindowFull)
	if err := w.Unmap(f); err != nil {
		t.Fatal(err)
	}
	want(PageSize, ErrWindowFull) // too small for the idle place
	w.Remove(f)
	for range 64 {
		want(PageSize, nil)
	}
	want(PageSize, ErrWindowFull)
	if len(w.Files()) != 64 {
		t.Error(len(w.Files()))
	}
}

// TestWindowPlaces maps and unmaps at random: places do not overlap, and show what they should.
func TestWindowPlaces(t *testing.T) {
	w := newWindow(t, 256<<20, 200<<20)
	_, path := opened(t, 8)
	z := rand.New(rand.NewPCG(1, 2))
	var live []*File
	page := map[*File]int{}
	for range 2000 {
		if len(live) > 0 && z.IntN(2) == 0 {
			i := z.IntN(len(live))
			if err := w.Unmap(live[i]); err != nil {
				t.Fatal(err)
			}
			if z.IntN(2) == 0 {
				w.Remove(live[i])
			}
			live = append(live[:i], live[i+1:]...)
			continue
		}
		at := z.IntN(8)
		fd := reopened(t, path)
		f, _, err := w.Map(fd, int64(at*PageSize), PageSize<<z.IntN(14), z.IntN(2) == 0)
		if err != nil {
			unix.Close(fd)
			continue
		}
		live, page[f] = append(live, f), at
	}
	end := uint64(0)
	for _, f := range w.Files() {
		if f.Off < end || f.Off%FileAlign != 0 {
			t.Errorf("a place at %#x, where the one before ends at %#x", f.Off, end)
		}
		end = f.Off + f.Len
	}
	for _, f := range live {
		if got := w.Slot(f).Mem[0]; int(got) != page[f]+1 {
			t.Errorf("page %d where %d should be", got, page[f]+1)
		}
	}
}
