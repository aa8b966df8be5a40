package net

import (
	"encoding/binary"

	"ukvm.dev/hypercall"
)

// split divides pieces after n bytes. It may cut one in two; the results do not share a slice header that either needs.
func split(pieces [][]byte, n int) (front, back [][]byte) {
	for i, p := range pieces {
		if n < len(p) {
			front = append(pieces[:i:i], p[:n:n])
			back = pieces[i:]
			back[0] = p[n:]
			return front, back
		}
		n -= len(p)
		if n == 0 {
			return pieces[: i+1 : i+1], pieces[i+1:]
		}
	}
	return pieces, nil
}

// gather fills b from pieces.
func gather(b []byte, pieces [][]byte) {
	for _, p := range pieces {
		b = b[copy(b, p):]
	}
}

// scatter stores b in pieces.
func scatter(b []byte, pieces [][]byte) {
	for _, p := range pieces {
		b = b[copy(p, b):]
	}
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
