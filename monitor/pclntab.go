package monitor

import (
	"bytes"
	"encoding/binary"
	"sort"
)

// pclntab is Go's table of functions and lines (Go 1.20 and later; runtime/symtab.go, pcHeader and _func). It comes from a
// file that may be hostile: whatever it says, a look-up reads within it and takes no memory. Package debug/gosym builds
// structures of many times the table's size.
type pclntab struct {
	data []byte
	text uint64 // address of the first function
}

const pclntabMagic = 0xfffffff1 // abi.Go120PCLnTabMagic

// Offsets in the table's header, which has words of eight bytes, and in a function's entry, of four.
const (
	atFunctions, atNames, atUnits, atFiles, atValues, atEntries         = 8, 32, 40, 48, 56, 64
	fieldEntry, fieldName, fieldFileValues, fieldLineValues, fieldUnits = 0, 4, 20, 24, 32
)

// from is the table from an offset on, empty if that lies outside.
func (t *pclntab) from(at uint64) []byte { return t.data[min(at, uint64(len(t.data))):] }

func (t *pclntab) uint32(at uint64) uint32 {
	if b := t.from(at); len(b) >= 4 {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (t *pclntab) uint64(at uint64) uint64 {
	if b := t.from(at); len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// maxName bounds what is shown of a name.
const maxName = 200

func (t *pclntab) string(at uint64) string {
	b := t.from(at)
	b = b[:min(len(b), maxName)]
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(b)
}

// find returns the function, file and line of an address; "" if there is none.
func (t *pclntab) find(pc uint64) (function, file string, line int) {
	if t.uint32(0) != pclntabMagic || pc < t.text || pc-t.text >= 1<<32 {
		return "", "", 0
	}
	off := uint32(pc - t.text)
	entries := t.uint64(atEntries) // pairs of where a function begins, and where its entry is
	n := min(t.uint64(atFunctions), uint64(len(t.from(entries)))/8)
	i := sort.Search(int(n), func(i int) bool { return t.uint32(entries+8*uint64(i)) > off })
	if i == 0 || i == int(n) && off >= t.uint32(entries+8*n) { // behind the last
		return "", "", 0
	}
	f := entries + uint64(t.uint32(entries+8*uint64(i-1)+4))
	begin := t.uint32(f + fieldEntry)
	function = t.string(t.uint64(atNames) + uint64(t.uint32(f+fieldName)))
	if n, ok := t.value(t.uint32(f+fieldLineValues), begin, off); ok && n > 0 {
		line = int(n)
	}
	if n, ok := t.value(t.uint32(f+fieldFileValues), begin, off); ok && n >= 0 {
		// Functions without a unit have 2³²-1 there, and the sum comes round, as in Go's runtime.
		name := t.uint32(t.uint64(atUnits) + 4*uint64(t.uint32(f+fieldUnits)+uint32(n)))
		if name != ^uint32(0) {
			file = t.string(t.uint64(atFiles) + uint64(name))
		}
	}
	return function, file, line
}

// value looks an offset up in a list of values for stretches of code, which begin at an offset: pairs of a change of the
// value and the length of the stretch that has it.
func (t *pclntab) value(list, begin, off uint32) (v int32, ok bool) {
	b := t.from(t.uint64(atValues) + uint64(list))
	v = -1
	for at, first := begin, true; ; first = false {
		delta, n := binary.Uvarint(b)
		if n <= 0 || delta == 0 && !first {
			return 0, false
		}
		length, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return 0, false
		}
		b = b[n+m:]
		v += int32(uint32(delta)>>1) ^ -int32(delta&1)
		if at += uint32(length); off < at {
			return v, true
		}
	}
}
