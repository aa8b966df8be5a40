package net

import (
	"encoding/binary"

	"ukvm.dev/hypercall"
)

// cut finds the piece in which byte n is, removes what comes before that byte from the piece, and returns its position and
// what it was before; len(pieces) and nil if there is none.
func cut(pieces [][]byte, n int) (i int, whole []byte) {
	for i < len(pieces) && n >= len(pieces[i]) {
		n -= len(pieces[i])
		i++
	}
	if i < len(pieces) {
		whole = pieces[i]
		pieces[i] = whole[n:]
	}
	return i, whole
}

func parseHeader(b *[hypercall.NetHeaderSize]byte) hypercall.NetHeader {
	le := binary.LittleEndian
	return hypercall.NetHeader{
		Flags: b[0], GSOType: b[1], HdrLen: le.Uint16(b[2:]), GSOSize: le.Uint16(b[4:]),
		CsumStart: le.Uint16(b[6:]), CsumOffset: le.Uint16(b[8:]), NumBuffers: le.Uint16(b[10:]),
	}
}

func formatHeader(h *hypercall.NetHeader) (b [hypercall.NetHeaderSize]byte) {
	le := binary.LittleEndian
	b[0], b[1] = h.Flags, h.GSOType
	le.PutUint16(b[2:], h.HdrLen)
	le.PutUint16(b[4:], h.GSOSize)
	le.PutUint16(b[6:], h.CsumStart)
	le.PutUint16(b[8:], h.CsumOffset)
	le.PutUint16(b[10:], h.NumBuffers)
	return b
}
