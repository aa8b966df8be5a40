// Package loader reads images: static ELF64 executables for x86-64 (System V ABI, AMD64 supplement, and the ELF
// specification) with a header at their entry point (hypercall/image.go). Files are hostile: every field is checked before
// it is used, and nothing larger than the program headers is read.
package loader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"ukvm.dev/hypercall"
)

// Reasons why a file cannot be run. Errors of Load wrap one of them.
var (
	ErrNotELF   = errors.New("not an ELF file")
	ErrFormat   = errors.New("not a static executable for x86-64 Linux")
	ErrNoHeader = errors.New("an ordinary Linux program")
	ErrVersion  = errors.New("built for another version of ukvm")
	ErrCorrupt  = errors.New("corrupt image")
)

// Image says what of a file goes where. It does not hold the file.
type Image struct {
	Entry    hypercall.GVA // where the guest kernel starts
	Segments []Segment     // sorted, not overlapping, page by page
}

// Segment is a loadable part of an image: FileSize bytes at Offset appear at Start, and zeroes from there to Start+Size.
// Start and Offset are page-aligned.
type Segment struct {
	Start    hypercall.GVA
	Size     uint64 // multiple of PageSize
	Offset   int64
	FileSize uint64 // at most Size
	Prot     uint32 // hypercall.Prot bits, never both writable and executable
}

// End is the address after the segment.
func (s *Segment) End() hypercall.GVA { return s.Start + hypercall.GVA(s.Size) }

// Start and End are the image's lowest address and the one after its highest.
func (m *Image) Start() hypercall.GVA { return m.Segments[0].Start }

// End is the address after the last segment.
func (m *Image) End() hypercall.GVA { return m.Segments[len(m.Segments)-1].End() }

// Fields of the ELF header and of program headers.
const (
	elfHeaderSize  = 64
	progHeaderSize = 56
	maxProgHeaders = 64

	typeExec = 2
	typeDyn  = 3

	machineX86_64 = 62

	progLoad    = 1
	progDynamic = 2
	progInterp  = 3
	progTLS     = 7

	flagExec  = 1
	flagWrite = 2
	flagRead  = 4
)

// Load reads and checks the headers of a file of size bytes.
func Load(r io.ReaderAt, size int64) (*Image, error) {
	var h [elfHeaderSize]byte
	if err := read(r, h[:], 0, size); err != nil {
		if errors.Is(err, ErrCorrupt) {
			return nil, ErrNotELF
		}
		return nil, err
	}
	if string(h[:4]) != "\x7fELF" {
		return nil, ErrNotELF
	}
	le := binary.LittleEndian
	const class64, little, current = 2, 1, 1
	if h[4] != class64 || h[5] != little || h[6] != current || le.Uint16(h[18:]) != machineX86_64 {
		return nil, fmt.Errorf("%w: it is for another kind of machine", ErrFormat)
	}
	switch typ := le.Uint16(h[16:]); typ {
	case typeExec:
	case typeDyn:
		return nil, fmt.Errorf("%w: it is dynamic or position-independent; build it with ukvm build", ErrFormat)
	default:
		return nil, fmt.Errorf("%w: its ELF type is %d", ErrFormat, typ)
	}
	entry := le.Uint64(h[24:])
	segments, err := loadSegments(r, size, le.Uint64(h[32:]), int(le.Uint16(h[54:])), int(le.Uint16(h[56:])))
	if err != nil {
		return nil, err
	}
	m := &Image{Segments: segments}
	if err := m.checkHeader(r, size, entry); err != nil {
		return nil, err
	}
	return m, nil
}

// read fills b from the file, of which it knows the size.
func read(r io.ReaderAt, b []byte, at, size int64) error {
	if at < 0 || at > size || int64(len(b)) > size-at {
		return fmt.Errorf("%w: it ends early", ErrCorrupt)
	}
	if _, err := r.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read image: %w", err)
	}
	return nil
}

func loadSegments(r io.ReaderAt, size int64, offset uint64, entrySize, count int) ([]Segment, error) {
	if entrySize != progHeaderSize || count == 0 || count > maxProgHeaders || offset > uint64(size) {
		return nil, fmt.Errorf("%w: %d program headers of %d bytes", ErrCorrupt, count, entrySize)
	}
	table := make([]byte, count*progHeaderSize)
	if err := read(r, table, int64(offset), size); err != nil {
		return nil, err
	}
	var segments []Segment
	for ; len(table) > 0; table = table[progHeaderSize:] {
		s, err := segment(table, size)
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		if n := len(segments); n > 0 && s.Start < segments[n-1].End() {
			return nil, fmt.Errorf("%w: segments overlap or are not in order at %#x", ErrCorrupt, s.Start)
		}
		segments = append(segments, *s)
	}
	if len(segments) == 0 {
		return nil, fmt.Errorf("%w: nothing to load", ErrCorrupt)
	}
	return segments, nil
}

// segment checks one program header. It returns nil for those that load nothing.
func segment(h []byte, size int64) (*Segment, error) {
	le := binary.LittleEndian
	switch le.Uint32(h) {
	case progLoad:
	case progInterp, progDynamic:
		return nil, fmt.Errorf("%w: it needs a dynamic linker; build it with ukvm build", ErrFormat)
	default:
		return nil, nil
	}
	flags := le.Uint32(h[4:])
	offset, va := le.Uint64(h[8:]), le.Uint64(h[16:])
	fileSize, memSize := le.Uint64(h[32:]), le.Uint64(h[40:])
	if memSize == 0 {
		return nil, nil
	}
	const page = hypercall.PageSize
	switch low, high := uint64(hypercall.ImageBase), uint64(hypercall.MmapEnd); {
	case fileSize > memSize:
		return nil, fmt.Errorf("%w: a segment has more bytes in the file than in memory", ErrCorrupt)
	case offset > uint64(size) || fileSize > uint64(size)-offset:
		return nil, fmt.Errorf("%w: a segment lies beyond the end of the file", ErrCorrupt)
	case offset%page != va%page:
		return nil, fmt.Errorf("%w: the segment at %#x is misaligned", ErrCorrupt, va)
	case va < low || va >= high || memSize > high-va:
		return nil, fmt.Errorf("%w: the segment at %#x lies outside of %#x to %#x", ErrCorrupt, va, low, high)
	case flags&(flagWrite|flagExec) == flagWrite|flagExec:
		return nil, fmt.Errorf("%w: the segment at %#x is both writable and executable", ErrFormat, va)
	}
	prot := uint32(0)
	if flags&(flagRead|flagWrite|flagExec) != 0 {
		prot = hypercall.ProtRead
	}
	if flags&flagWrite != 0 {
		prot |= hypercall.ProtWrite
	}
	if flags&flagExec != 0 {
		prot |= hypercall.ProtExec
	}
	lead := va % page
	return &Segment{
		Start:    hypercall.GVA(va - lead),
		Size:     (memSize + lead + page - 1) &^ (page - 1),
		Offset:   int64(offset - lead),
		FileSize: fileSize + lead,
		Prot:     prot,
	}, nil
}

// checkHeader checks the image header at the entry point and sets Entry.
func (m *Image) checkHeader(r io.ReaderAt, size int64, entry uint64) error {
	for i := range m.Segments {
		s := &m.Segments[i]
		at := entry - uint64(s.Start)
		if entry < uint64(s.Start) || at >= s.FileSize {
			continue
		}
		if s.Prot&hypercall.ProtExec == 0 {
			return fmt.Errorf("%w: its entry point %#x is not code", ErrCorrupt, entry)
		}
		if s.FileSize-at < hypercall.HeaderSize {
			return ErrNoHeader
		}
		var h [hypercall.HeaderSize]byte
		if err := read(r, h[:], s.Offset+int64(at), size); err != nil {
			return err
		}
		if binary.LittleEndian.Uint64(h[hypercall.HeaderMagicOffset:]) != hypercall.HeaderMagic {
			return ErrNoHeader
		}
		if v := binary.LittleEndian.Uint32(h[hypercall.HeaderVersionOffset:]); v != hypercall.Version {
			return fmt.Errorf("%w: its interface version is %d, this ukvm's is %d", ErrVersion, v, hypercall.Version)
		}
		m.Entry = hypercall.GVA(entry + hypercall.HeaderStart)
		return nil
	}
	return fmt.Errorf("%w: its entry point %#x lies in no segment", ErrCorrupt, entry)
}

// Find returns the segment that contains an address, or nil.
func (m *Image) Find(va hypercall.GVA) *Segment {
	for i := range m.Segments {
		if s := &m.Segments[i]; va >= s.Start && va < s.End() {
			return s
		}
	}
	return nil
}
