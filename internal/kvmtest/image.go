package kvmtest

import (
	"encoding/binary"

	"ukvm.dev/hypercall"
)

// Where the parts of an Image lie in memory. The file has a page of headers, the text, the read-only data and the data,
// each beginning at a page.
const (
	TextVA   = hypercall.ImageBase + 0x1000
	CodeVA   = TextVA + hypercall.HeaderSize
	RodataVA = hypercall.ImageBase + 0x10000
	DataVA   = hypercall.ImageBase + 0x20000

	pageSize = hypercall.PageSize
)

// Offsets in an image's file, for tests that break it.
const (
	ProgHeaders     = 64 // one for the text, one for the read-only data, one for the data
	ProgHeaderSize  = 56
	TextOffset      = pageSize
	HeaderOffset    = TextOffset
	ProgHeaderCount = 3
)

// Image is a small program.
type Image struct {
	Code   []byte // begins at CodeVA
	Rodata []byte // begins at RodataVA
	Data   []byte // begins at DataVA
	BSS    uint64 // bytes of zeroes behind it
}

// ELF returns the image's file.
func (m *Image) ELF() []byte {
	text := append(imageHeader(), m.Code...)
	parts := []struct {
		va    hypercall.GVA
		data  []byte
		size  uint64
		flags uint32
	}{
		{TextVA, text, uint64(len(text)), 5},
		{RodataVA, m.Rodata, max(1, uint64(len(m.Rodata))), 4},
		{DataVA, m.Data, max(1, uint64(len(m.Data))+m.BSS), 6},
	}
	le := binary.LittleEndian
	b := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 15: 0}
	b = le.AppendUint16(b, 2)  // executable
	b = le.AppendUint16(b, 62) // x86-64
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, uint64(TextVA)) // entry
	b = le.AppendUint64(b, ProgHeaders)
	b = le.AppendUint64(b, 0) // section headers
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, ProgHeaderSize, ProgHeaderCount, 0, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	offset := uint64(TextOffset)
	for _, p := range parts {
		b = le.AppendUint32(b, 1) // load
		b = le.AppendUint32(b, p.flags)
		for _, v := range []uint64{offset, uint64(p.va), uint64(p.va), uint64(len(p.data)), p.size, pageSize} {
			b = le.AppendUint64(b, v)
		}
		offset += roundUp(uint64(len(p.data)))
	}
	for _, p := range parts {
		b = append(b, make([]byte, roundUp(uint64(len(b)))-uint64(len(b)))...)
		b = append(b, p.data...)
	}
	return b
}

// imageHeader is what hypercall/image.go describes. Run natively it would end in UD2.
func imageHeader() []byte {
	h := make([]byte, hypercall.HeaderSize)
	h[0], h[1] = 0x0f, 0x0b
	binary.LittleEndian.PutUint64(h[hypercall.HeaderMagicOffset:], hypercall.HeaderMagic)
	binary.LittleEndian.PutUint32(h[hypercall.HeaderVersionOffset:], hypercall.Version)
	h[hypercall.HeaderStart] = 0xe9 // JMP to CodeVA
	binary.LittleEndian.PutUint32(h[hypercall.HeaderStart+1:], hypercall.HeaderSize-hypercall.HeaderStart-5)
	return h
}

func roundUp(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }
