package loader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/kvmtest"
)

// patch and the functions around it are shorter names.
type patch = kvmtest.Patch

var sample, set16, set32, set64, cut, header = kvmtest.Sample, kvmtest.Set16, kvmtest.Set32, kvmtest.Set64, kvmtest.Cut, kvmtest.Field

const (
	phOffset, phAddr, phFileSize, phMemorySize, phFlags = kvmtest.PhOffset, kvmtest.PhAddr, kvmtest.PhFileSize, kvmtest.PhMemorySize, kvmtest.PhFlags

	text, rodata, data = kvmtest.Text, kvmtest.Rodata, kvmtest.Data
	page               = hypercall.PageSize
)

// kinds are the errors that kvmtest.Broken speaks of.
var kinds = map[kvmtest.Kind]error{
	kvmtest.NotELF: ErrNotELF, kvmtest.BadFormat: ErrFormat, kvmtest.NoHeader: ErrNoHeader, kvmtest.OtherVersion: ErrVersion,
	kvmtest.Corrupt: ErrCorrupt,
}

func TestBroken(t *testing.T) {
	for _, c := range kvmtest.Broken {
		b := c.Patch(sample())
		m, err := Load(bytes.NewReader(b), int64(len(b)))
		if m != nil || !errors.Is(err, kinds[c.Kind]) || !strings.Contains(err.Error(), c.Says) {
			t.Errorf("%s: %v, %v; want %q about %q", c.Name, m, err, kinds[c.Kind], c.Says)
			continue
		}
		sentence(t, c.Name, err)
	}
}

// sentence checks that an error wraps one sentinel and reads as part of one sentence.
func sentence(t *testing.T, name string, err error) {
	t.Helper()
	n := 0
	for _, s := range []error{ErrNotELF, ErrFormat, ErrNoHeader, ErrVersion, ErrCorrupt} {
		if errors.Is(err, s) {
			n++
		}
	}
	s := err.Error()
	odd := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
	if n != 1 || s == "" || odd >= 0 || strings.HasSuffix(s, ".") || strings.Contains(s, ". ") || len(s) > 160 {
		t.Errorf("%s: %q wraps %d sentinels or is not a sentence", name, s, n)
	}
}

func TestGood(t *testing.T) {
	b := sample()
	m, err := Load(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	want := []Segment{
		{Start: kvmtest.TextVA, Size: page, Offset: page, FileSize: hypercall.HeaderSize + 4, Prot: hypercall.ProtRead | hypercall.ProtExec},
		{Start: kvmtest.RodataVA, Size: page, Offset: 2 * page, FileSize: 2, Prot: hypercall.ProtRead},
		{Start: kvmtest.DataVA, Size: 4 * page, Offset: 3 * page, FileSize: 3, Prot: hypercall.ProtRead | hypercall.ProtWrite},
	}
	if !slices.Equal(m.Segments, want) {
		t.Errorf("segments %+v\nwant %+v", m.Segments, want)
	}
	if m.Entry != kvmtest.TextVA+hypercall.HeaderStart || m.Start() != kvmtest.TextVA || m.End() != kvmtest.DataVA+4*page {
		t.Errorf("entry %#x, from %#x to %#x", m.Entry, m.Start(), m.End())
	}
}

// TestUnaligned checks that a segment that begins and ends within pages is made of whole ones.
func TestUnaligned(t *testing.T) {
	const lead = 0x120
	p := set64(header(data, phAddr), uint64(kvmtest.DataVA)+lead).And(set64(header(data, phOffset), 3*page+lead)).
		And(set64(header(data, phMemorySize), page-lead)).And(func(b []byte) []byte { return append(b, make([]byte, page)...) })
	b := p(sample())
	m, err := Load(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	want := Segment{Start: kvmtest.DataVA, Size: page, Offset: 3 * page, FileSize: 3 + lead, Prot: hypercall.ProtRead | hypercall.ProtWrite}
	if got := m.Segments[data]; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestLastPages checks that a segment may reach to the very end of its range and no further.
func TestLastPages(t *testing.T) {
	for size, good := range map[uint64]bool{1: true, page: true, 2*page - 1: true, 2 * page: true, 2*page + 1: false} {
		b := set64(header(data, phAddr), uint64(hypercall.MmapEnd)-2*page).And(set64(header(data, phMemorySize), size)).
			And(set64(header(data, phFileSize), 1))(sample())
		m, err := Load(bytes.NewReader(b), int64(len(b)))
		if (err == nil) != good {
			t.Errorf("%d bytes in the last two pages: %v", size, err)
		}
		if good && m != nil && m.End() > hypercall.MmapEnd {
			t.Errorf("%d bytes in the last two pages end at %#x", size, m.End())
		}
	}
}

func TestProtections(t *testing.T) {
	const r, w, x = hypercall.ProtRead, hypercall.ProtWrite, hypercall.ProtExec
	for flags, want := range map[uint32]uint32{0: 0, 4: r, 2: r | w, 6: r | w, 1: r | x, 5: r | x, 4 | 1<<31: r} {
		b := set32(header(rodata, phFlags), flags)(sample())
		m, err := Load(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Errorf("flags %#x: %v", flags, err)
		} else if got := m.Segments[rodata].Prot; got != want {
			t.Errorf("flags %#x: protection %d, want %d", flags, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	b := sample()
	m, err := Load(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for va, want := range map[hypercall.GVA]int{
		0: -1, kvmtest.TextVA - 1: -1, kvmtest.TextVA: text, kvmtest.TextVA + page - 1: text, kvmtest.TextVA + page: -1,
		kvmtest.RodataVA: rodata, kvmtest.DataVA: data, kvmtest.DataVA + 4*page - 1: data, kvmtest.DataVA + 4*page: -1,
		^hypercall.GVA(0): -1,
	} {
		got := -1
		if s := m.Find(va); s != nil {
			got = slices.Index(m.Segments, *s)
		}
		if got != want {
			t.Errorf("Find(%#x): segment %d, want %d", va, got, want)
		}
	}
}

// counter is a file that counts what is read of it.
type counter struct {
	io.ReaderAt
	bytes, calls int
}

func (c *counter) ReadAt(b []byte, at int64) (int, error) {
	c.bytes += len(b)
	c.calls++
	return c.ReaderAt.ReadAt(b, at)
}

// TestReadsLittle checks that no file makes Load read, or have memory for, more than the headers.
func TestReadsLittle(t *testing.T) {
	const most = elfHeaderSize + maxProgHeaders*progHeaderSize + hypercall.HeaderSize
	for _, c := range kvmtest.Broken {
		b := c.Patch(sample())
		r := &counter{ReaderAt: bytes.NewReader(b)}
		Load(r, int64(len(b)))
		if r.bytes > most || r.calls > 3 {
			t.Errorf("%s: %d bytes in %d calls, want at most %d", c.Name, r.bytes, r.calls, most)
		}
	}
}

// failing is a file whose disk fails after some reads.
type failing struct {
	io.ReaderAt
	left int
}

var errDisk = errors.New("disk on fire")

func (f *failing) ReadAt(b []byte, at int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errDisk
	}
	return f.ReaderAt.ReadAt(b, at)
}

func TestDiskFails(t *testing.T) {
	b := sample()
	for reads := range 3 {
		m, err := Load(&failing{bytes.NewReader(b), reads}, int64(len(b)))
		if m != nil || !errors.Is(err, errDisk) {
			t.Errorf("disk that fails after %d reads: %v, %v", reads, m, err)
		}
	}
}

// TestShrunken loads files that are shorter than the caller believes.
func TestShrunken(t *testing.T) {
	b := sample()
	for n := range 3 * page {
		if n > 400 && n%97 != 0 {
			continue
		}
		m, err := Load(bytes.NewReader(b[:n]), int64(len(b)))
		if n < kvmtest.TextOffset+hypercall.HeaderSize/2 && err == nil {
			t.Errorf("an image cut to %d bytes: %+v", n, m)
		}
	}
}

// FuzzLoad checks that whatever a file says, the result is an image that can be mapped safely, or an error.
func FuzzLoad(f *testing.F) {
	f.Add(sample())
	for _, c := range kvmtest.Broken {
		f.Add(c.Patch(sample()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Load(bytes.NewReader(b), int64(len(b)))
		if (m == nil) == (err == nil) {
			t.Fatalf("%v and %v", m, err)
		}
		if err != nil {
			sentence(t, "fuzz", err)
			return
		}
		if problem := wrong(m, int64(len(b))); problem != "" {
			t.Fatalf("%s: %+v", problem, m)
		}
	})
}

// wrong says what is wrong with an image of a file of size bytes, if anything is.
func wrong(m *Image, size int64) string {
	end, code := hypercall.GVA(hypercall.ImageBase), false
	for i, s := range m.Segments {
		switch {
		case s.Size == 0 || s.Size%page != 0 || s.Start%page != 0 || s.Offset%page != 0:
			return fmt.Sprintf("segment %d is not made of pages", i)
		case s.Start < end || s.End() < s.Start || s.End() > hypercall.MmapEnd:
			return fmt.Sprintf("segment %d is out of place", i)
		case s.FileSize > s.Size || s.Offset < 0 || s.FileSize > uint64(size) || s.Offset > size-int64(s.FileSize):
			return fmt.Sprintf("segment %d is not in the file", i)
		case s.Prot&hypercall.ProtWrite != 0 && s.Prot&hypercall.ProtExec != 0 || s.Prot > 7:
			return fmt.Sprintf("segment %d has protection %d", i, s.Prot)
		}
		end = s.End()
		code = code || s.Prot&hypercall.ProtExec != 0 && m.Entry >= s.Start && m.Entry < s.End()
	}
	if !code {
		return "the entry is not code"
	}
	return ""
}
