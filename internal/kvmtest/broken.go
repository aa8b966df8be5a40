package kvmtest

import (
	"encoding/binary"
	"fmt"
	"strings"

	"ukvm.dev/hypercall"
)

// Sample is the file of a small good image: four bytes of code, two of read-only data, three of data and some zeroes.
func Sample() []byte {
	m := Image{Code: []byte{1, 2, 3, 4}, Rodata: []byte{5, 6}, Data: []byte{7, 8, 9}, BSS: 3 * pageSize}
	return m.ELF()
}

// Offsets of fields in an ELF header, and in a program header.
const (
	AtType, AtMachine, AtEntry, AtTable, AtEntrySize, AtCount   = 16, 18, 24, 32, 54, 56
	PhType, PhFlags, PhOffset, PhAddr, PhFileSize, PhMemorySize = 0, 4, 8, 16, 32, 40
)

// Program headers of an image.
const Text, Rodata, Data = 0, 1, 2

// Patch is a change to a good image. Several are made with And.
type Patch func(b []byte) []byte

// And makes another change too.
func (p Patch) And(q Patch) Patch { return func(b []byte) []byte { return q(p(b)) } }

// Set16 sets a field.
func Set16(at int, v uint16) Patch {
	return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[at:], v); return b }
}

// Set32 sets a field.
func Set32(at int, v uint32) Patch {
	return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b }
}

// Set64 sets a field.
func Set64(at int, v uint64) Patch {
	return func(b []byte) []byte { binary.LittleEndian.PutUint64(b[at:], v); return b }
}

// Cut leaves n bytes of the file.
func Cut(n int) Patch { return func(b []byte) []byte { return b[:n] } }

// Field is where field at of program header i lies.
func Field(i, at int) int { return ProgHeaders + i*ProgHeaderSize + at }

// Kind says what is wrong with a file. They are the errors of package loader.
type Kind int

// Kinds.
const (
	NotELF Kind = iota
	BadFormat
	NoHeader
	OtherVersion
	Corrupt
)

const huge = 1 << 62

// Broken are all the ways to break an image that its reader must notice, and what it says.
var Broken = []struct {
	Name  string
	Patch Patch
	Kind  Kind
	Says  string
}{
	{"empty", Cut(0), NotELF, ""},
	{"header cut short", Cut(63), NotELF, ""},
	{"a script", func([]byte) []byte { return []byte("#!/bin/sh\n" + strings.Repeat("echo\n", 20)) }, NotELF, ""},
	{"32 bits", func(b []byte) []byte { b[4] = 1; return b }, BadFormat, "another kind of machine"},
	{"big-endian", func(b []byte) []byte { b[5] = 2; return b }, BadFormat, "another kind of machine"},
	{"ELF version", func(b []byte) []byte { b[6] = 0; return b }, BadFormat, "another kind of machine"},
	{"for ARM", Set16(AtMachine, 183), BadFormat, "another kind of machine"},
	{"object file", Set16(AtType, 1), BadFormat, "its ELF type is 1"},
	{"position-independent", Set16(AtType, 3), BadFormat, "position-independent"},
	{"core dump", Set16(AtType, 4), BadFormat, "its ELF type is 4"},

	{"no program headers", Set16(AtCount, 0), Corrupt, "0 program headers"},
	{"65535 program headers", Set16(AtCount, 65535), Corrupt, "65535 program headers"},
	{"65 program headers", Set16(AtCount, 65), Corrupt, "65 program headers"},
	{"small program headers", Set16(AtEntrySize, 32), Corrupt, "of 32 bytes"},
	{"program headers behind the end", Set64(AtTable, 1<<20), Corrupt, ""},
	{"program headers across the end", Set64(AtTable, uint64(len(Sample())-100)), Corrupt, "ends early"},
	{"program headers at no offset", Set64(AtTable, 1<<63), Corrupt, ""},
	{"program headers at the last offset", Set64(AtTable, ^uint64(0)), Corrupt, ""},
	{"nothing to load", Set32(Field(Text, PhType), 4).And(Set32(Field(Rodata, PhType), 4)).And(Set32(Field(Data, PhType), 4)), Corrupt, "nothing to load"},
	{"only empty segments", Set64(Field(Text, PhMemorySize), 0).And(Set64(Field(Text, PhFileSize), 0)).
		And(Set32(Field(Rodata, PhType), 0)).And(Set32(Field(Data, PhType), 0)), Corrupt, "nothing to load"},
	{"interpreter", Set32(Field(Rodata, PhType), 3), BadFormat, "dynamic linker"},
	{"dynamic section", Set32(Field(Data, PhType), 2), BadFormat, "dynamic linker"},

	{"more in the file than in memory", Set64(Field(Data, PhFileSize), huge), Corrupt, "more bytes in the file"},
	{"one byte more in the file", Set64(Field(Rodata, PhMemorySize), 1), Corrupt, "more bytes in the file"},
	{"offset behind the end", Set64(Field(Data, PhOffset), 1<<40), Corrupt, "beyond the end"},
	{"offset that overflows", Set64(Field(Data, PhOffset), ^uint64(pageSize-1)), Corrupt, "beyond the end"},
	{"size in the file that overflows", Set64(Field(Data, PhFileSize), ^uint64(0)).And(Set64(Field(Data, PhMemorySize), ^uint64(0))), Corrupt, "beyond the end"},
	{"file ends in a segment", func(b []byte) []byte { return b[:3*pageSize+2] }, Corrupt, "beyond the end"},
	{"misaligned", Set64(Field(Data, PhAddr), uint64(DataVA)+8), Corrupt, "misaligned"},
	{"misaligned offset", Set64(Field(Text, PhOffset), TextOffset-1), Corrupt, "misaligned"},

	{"page 0", Set64(Field(Text, PhAddr), 0), Corrupt, "outside"},
	{"shared range", Set64(Field(Text, PhAddr), uint64(hypercall.SharedBase)), Corrupt, "outside"},
	{"just below the image's range", Set64(Field(Text, PhAddr), uint64(hypercall.ImageBase)-pageSize), Corrupt, "outside"},
	{"in the archive", Set64(Field(Data, PhAddr), uint64(hypercall.ArchiveVA)), Corrupt, "outside"},
	{"in the stack", Set64(Field(Data, PhAddr), uint64(hypercall.StackTop)-pageSize), Corrupt, "outside"},
	{"in the monitor", Set64(Field(Data, PhAddr), uint64(hypercall.MonitorBase)), Corrupt, "outside"},
	{"at the end of addresses", Set64(Field(Data, PhAddr), ^uint64(pageSize-1)), Corrupt, "outside"},
	{"into the archive", Set64(Field(Data, PhMemorySize), uint64(hypercall.ArchiveVA-DataVA)+1), Corrupt, "outside"},
	{"size in memory that overflows", Set64(Field(Data, PhMemorySize), ^uint64(0)), Corrupt, "outside"},
	{"size that overflows when rounded", Set64(Field(Data, PhMemorySize), ^uint64(DataVA)), Corrupt, "outside"},
	{"last page, and everything behind it", Set64(Field(Data, PhAddr), uint64(hypercall.MmapEnd)-pageSize).
		And(Set64(Field(Data, PhMemorySize), huge)), Corrupt, "outside"},
	{"end of the last page, and everything behind it", Set64(Field(Data, PhAddr), uint64(hypercall.MmapEnd)-8).
		And(Set64(Field(Data, PhOffset), 3*pageSize-8)).And(Set64(Field(Data, PhMemorySize), huge)), Corrupt, "outside"},

	{"overlapping", Set64(Field(Rodata, PhAddr), uint64(TextVA)), Corrupt, "overlap"},
	{"overlapping by a page", Set64(Field(Text, PhMemorySize), uint64(RodataVA-TextVA)+1), Corrupt, "overlap"},
	{"not in order", Set64(Field(Rodata, PhAddr), uint64(DataVA)+16*pageSize).And(Set64(Field(Data, PhAddr), uint64(DataVA))), Corrupt, "not in order"},
	{"writable and executable", Set32(Field(Text, PhFlags), 7), BadFormat, "both writable and executable"},
	{"writable and executable data", Set32(Field(Data, PhFlags), 3), BadFormat, "both writable and executable"},

	{"entry 0", Set64(AtEntry, 0), Corrupt, "in no segment"},
	{"entry between segments", Set64(AtEntry, uint64(TextVA)+2*pageSize), Corrupt, "in no segment"},
	{"entry in read-only data", Set64(AtEntry, uint64(RodataVA)), Corrupt, "not code"},
	{"entry in data", Set64(AtEntry, uint64(DataVA)), Corrupt, "not code"},
	{"entry in zeroes", Set64(AtEntry, uint64(DataVA)+pageSize), Corrupt, "in no segment"},
	{"entry in the monitor", Set64(AtEntry, uint64(hypercall.MonitorBase)), Corrupt, "in no segment"},
	{"entry without room for a header", Set64(AtEntry, uint64(TextVA)+16), NoHeader, ""},
	{"header across the end of its segment", Set64(Field(Text, PhFileSize), hypercall.HeaderSize-1), NoHeader, ""},
	{"no header", Set64(HeaderOffset+hypercall.HeaderMagicOffset, 0), NoHeader, ""},
	{"older version", Set32(HeaderOffset+hypercall.HeaderVersionOffset, hypercall.Version-1), OtherVersion, fmt.Sprintf("its interface version is %d, this ukvm's is %d", hypercall.Version-1, hypercall.Version)},
	{"newer version", Set32(HeaderOffset+hypercall.HeaderVersionOffset, 1<<31), OtherVersion, "2147483648"},
}
