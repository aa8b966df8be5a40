package loader

import (
	"bytes"
	"encoding/binary"
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

// sample is a small good image: four bytes of code, two of read-only data, three of data and some zeroes.
func sample() []byte {
	m := kvmtest.Image{Code: []byte{1, 2, 3, 4}, Rodata: []byte{5, 6}, Data: []byte{7, 8, 9}, BSS: 3 * hypercall.PageSize}
	return m.ELF()
}

// Offsets of fields in an ELF header, and in a program header.
const (
	atType, atMachine, atEntry, atTable, atEntrySize, atCount   = 16, 18, 24, 32, 54, 56
	phType, phFlags, phOffset, phAddr, phFileSize, phMemorySize = 0, 4, 8, 16, 32, 40
)

// patch is a change to a good image. Several are made with and.
type patch func(b []byte) []byte

func (p patch) and(q patch) patch { return func(b []byte) []byte { return q(p(b)) } }

func set16(at int, v uint16) patch {
	return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[at:], v); return b }
}

func set32(at int, v uint32) patch {
	return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b }
}

func set64(at int, v uint64) patch {
	return func(b []byte) []byte { binary.LittleEndian.PutUint64(b[at:], v); return b }
}

func cut(n int) patch { return func(b []byte) []byte { return b[:n] } }

// header is where field at of program header i lies.
func header(i, at int) int { return kvmtest.ProgHeaders + i*kvmtest.ProgHeaderSize + at }

const (
	text, rodata, data = 0, 1, 2
	page               = hypercall.PageSize
	huge               = 1 << 62
)

// broken are all the ways to break an image that its reader must notice, and what it says.
var broken = []struct {
	name  string
	patch patch
	want  error
	says  string
}{
	{"empty", cut(0), ErrNotELF, ""},
	{"header cut short", cut(63), ErrNotELF, ""},
	{"a script", func([]byte) []byte { return []byte("#!/bin/sh\n" + strings.Repeat("echo\n", 20)) }, ErrNotELF, ""},
	{"32 bits", func(b []byte) []byte { b[4] = 1; return b }, ErrFormat, "another kind of machine"},
	{"big-endian", func(b []byte) []byte { b[5] = 2; return b }, ErrFormat, "another kind of machine"},
	{"ELF version", func(b []byte) []byte { b[6] = 0; return b }, ErrFormat, "another kind of machine"},
	{"for ARM", set16(atMachine, 183), ErrFormat, "another kind of machine"},
	{"object file", set16(atType, 1), ErrFormat, "its ELF type is 1"},
	{"position-independent", set16(atType, 3), ErrFormat, "position-independent"},
	{"core dump", set16(atType, 4), ErrFormat, "its ELF type is 4"},

	{"no program headers", set16(atCount, 0), ErrCorrupt, "0 program headers"},
	{"65535 program headers", set16(atCount, 65535), ErrCorrupt, "65535 program headers"},
	{"65 program headers", set16(atCount, 65), ErrCorrupt, "65 program headers"},
	{"small program headers", set16(atEntrySize, 32), ErrCorrupt, "of 32 bytes"},
	{"program headers behind the end", set64(atTable, 1<<20), ErrCorrupt, ""},
	{"program headers across the end", set64(atTable, uint64(len(sample())-100)), ErrCorrupt, "ends early"},
	{"program headers at no offset", set64(atTable, 1<<63), ErrCorrupt, ""},
	{"program headers at the last offset", set64(atTable, ^uint64(0)), ErrCorrupt, ""},
	{"nothing to load", set32(header(text, phType), 4).and(set32(header(rodata, phType), 4)).and(set32(header(data, phType), 4)), ErrCorrupt, "nothing to load"},
	{"only empty segments", set64(header(text, phMemorySize), 0).and(set64(header(text, phFileSize), 0)).
		and(set32(header(rodata, phType), 0)).and(set32(header(data, phType), 0)), ErrCorrupt, "nothing to load"},
	{"interpreter", set32(header(rodata, phType), 3), ErrFormat, "dynamic linker"},
	{"dynamic section", set32(header(data, phType), 2), ErrFormat, "dynamic linker"},

	{"more in the file than in memory", set64(header(data, phFileSize), huge), ErrCorrupt, "more bytes in the file"},
	{"one byte more in the file", set64(header(rodata, phMemorySize), 1), ErrCorrupt, "more bytes in the file"},
	{"offset behind the end", set64(header(data, phOffset), 1<<40), ErrCorrupt, "beyond the end"},
	{"offset that overflows", set64(header(data, phOffset), ^uint64(page-1)), ErrCorrupt, "beyond the end"},
	{"size in the file that overflows", set64(header(data, phFileSize), ^uint64(0)).and(set64(header(data, phMemorySize), ^uint64(0))), ErrCorrupt, "beyond the end"},
	{"file ends in a segment", func(b []byte) []byte { return b[:3*page+2] }, ErrCorrupt, "beyond the end"},
	{"misaligned", set64(header(data, phAddr), uint64(kvmtest.DataVA)+8), ErrCorrupt, "misaligned"},
	{"misaligned offset", set64(header(text, phOffset), kvmtest.TextOffset-1), ErrCorrupt, "misaligned"},

	{"page 0", set64(header(text, phAddr), 0), ErrCorrupt, "outside"},
	{"shared range", set64(header(text, phAddr), uint64(hypercall.SharedBase)), ErrCorrupt, "outside"},
	{"just below the image's range", set64(header(text, phAddr), uint64(hypercall.ImageBase)-page), ErrCorrupt, "outside"},
	{"in the archive", set64(header(data, phAddr), uint64(hypercall.ArchiveVA)), ErrCorrupt, "outside"},
	{"in the stack", set64(header(data, phAddr), uint64(hypercall.StackTop)-page), ErrCorrupt, "outside"},
	{"in the monitor", set64(header(data, phAddr), uint64(hypercall.MonitorBase)), ErrCorrupt, "outside"},
	{"at the end of addresses", set64(header(data, phAddr), ^uint64(page-1)), ErrCorrupt, "outside"},
	{"into the archive", set64(header(data, phMemorySize), uint64(hypercall.ArchiveVA-kvmtest.DataVA)+1), ErrCorrupt, "outside"},
	{"size in memory that overflows", set64(header(data, phMemorySize), ^uint64(0)), ErrCorrupt, "outside"},
	{"size that overflows when rounded", set64(header(data, phMemorySize), ^uint64(kvmtest.DataVA)), ErrCorrupt, "outside"},
	{"last page, and everything behind it", set64(header(data, phAddr), uint64(hypercall.MmapEnd)-page).
		and(set64(header(data, phMemorySize), huge)), ErrCorrupt, "outside"},
	{"end of the last page, and everything behind it", set64(header(data, phAddr), uint64(hypercall.MmapEnd)-8).
		and(set64(header(data, phOffset), 3*page-8)).and(set64(header(data, phMemorySize), huge)), ErrCorrupt, "outside"},

	{"overlapping", set64(header(rodata, phAddr), uint64(kvmtest.TextVA)), ErrCorrupt, "overlap"},
	{"overlapping by a page", set64(header(text, phMemorySize), uint64(kvmtest.RodataVA-kvmtest.TextVA)+1), ErrCorrupt, "overlap"},
	{"not in order", set64(header(rodata, phAddr), uint64(kvmtest.DataVA)+16*page).and(set64(header(data, phAddr), uint64(kvmtest.DataVA))), ErrCorrupt, "not in order"},
	{"writable and executable", set32(header(text, phFlags), 7), ErrFormat, "both writable and executable"},
	{"writable and executable data", set32(header(data, phFlags), 3), ErrFormat, "both writable and executable"},

	{"entry 0", set64(atEntry, 0), ErrCorrupt, "in no segment"},
	{"entry between segments", set64(atEntry, uint64(kvmtest.TextVA)+2*page), ErrCorrupt, "in no segment"},
	{"entry in read-only data", set64(atEntry, uint64(kvmtest.RodataVA)), ErrCorrupt, "not code"},
	{"entry in data", set64(atEntry, uint64(kvmtest.DataVA)), ErrCorrupt, "not code"},
	{"entry in zeroes", set64(atEntry, uint64(kvmtest.DataVA)+page), ErrCorrupt, "in no segment"},
	{"entry in the monitor", set64(atEntry, uint64(hypercall.MonitorBase)), ErrCorrupt, "in no segment"},
	{"entry without room for a header", set64(atEntry, uint64(kvmtest.TextVA)+16), ErrNoHeader, ""},
	{"header across the end of its segment", set64(header(text, phFileSize), hypercall.HeaderSize-1), ErrNoHeader, ""},
	{"no header", set64(kvmtest.HeaderOffset+hypercall.HeaderMagicOffset, 0), ErrNoHeader, ""},
	{"older version", set32(kvmtest.HeaderOffset+hypercall.HeaderVersionOffset, hypercall.Version-1), ErrVersion, fmt.Sprintf("its interface version is %d, this ukvm's is %d", hypercall.Version-1, hypercall.Version)},
	{"newer version", set32(kvmtest.HeaderOffset+hypercall.HeaderVersionOffset, 1<<31), ErrVersion, "2147483648"},
}

func TestBroken(t *testing.T) {
	for _, c := range broken {
		b := c.patch(sample())
		m, err := Load(bytes.NewReader(b), int64(len(b)))
		if m != nil || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v; want %q about %q", c.name, m, err, c.want, c.says)
			continue
		}
		sentence(t, c.name, err)
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
	p := set64(header(data, phAddr), uint64(kvmtest.DataVA)+lead).and(set64(header(data, phOffset), 3*page+lead)).
		and(set64(header(data, phMemorySize), page-lead)).and(func(b []byte) []byte { return append(b, make([]byte, page)...) })
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
		b := set64(header(data, phAddr), uint64(hypercall.MmapEnd)-2*page).and(set64(header(data, phMemorySize), size)).
			and(set64(header(data, phFileSize), 1))(sample())
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
	for _, c := range broken {
		b := c.patch(sample())
		r := &counter{ReaderAt: bytes.NewReader(b)}
		Load(r, int64(len(b)))
		if r.bytes > most || r.calls > 3 {
			t.Errorf("%s: %d bytes in %d calls, want at most %d", c.name, r.bytes, r.calls, most)
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
	for _, c := range broken {
		f.Add(c.patch(sample()))
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
