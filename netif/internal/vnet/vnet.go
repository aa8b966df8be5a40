// Package vnet is struct virtio_net_hdr (virtio 1.2 §5.1.6), which the kernel's TAP devices and packet sockets put before
// frames, little-endian on this architecture; and what such links have in common besides: offloads, and what a guest may send.
package vnet

import (
	"encoding/binary"

	"ukvm.dev/hypercall"
)

// Size is its size in bytes without NumBuffers, which the kernel does not use.
const Size = hypercall.NetHeaderSize - 2

// Encode writes h to the first Size bytes of b.
func Encode(b []byte, h *hypercall.NetHeader) {
	_ = b[:Size]
	le := binary.LittleEndian
	b[0], b[1] = h.Flags, h.GSOType
	le.PutUint16(b[2:], h.HdrLen)
	le.PutUint16(b[4:], h.GSOSize)
	le.PutUint16(b[6:], h.CsumStart)
	le.PutUint16(b[8:], h.CsumOffset)
}

// Decode reads h from the first Size bytes of b.
func Decode(b []byte, h *hypercall.NetHeader) {
	_ = b[:Size]
	le := binary.LittleEndian
	*h = hypercall.NetHeader{
		Flags: b[0], GSOType: b[1],
		HdrLen: le.Uint16(b[2:]), GSOSize: le.Uint16(b[4:]),
		CsumStart: le.Uint16(b[6:]), CsumOffset: le.Uint16(b[8:]),
	}
}
