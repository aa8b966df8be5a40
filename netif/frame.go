package netif

import "ukvm.dev/hypercall"

// EthernetSize is the size in bytes of an Ethernet header: destination, source and type.
const EthernetSize = 14

// Frame is one Ethernet frame without its check sequence, from destination address to end of payload.
type Frame struct {
	Header hypercall.NetHeader
	Data   [][]byte // the pieces that make up the frame, in order; they may lie in guest memory
	Len    int      // length of the frame in bytes, at most the sum of the lengths of Data
}

// Room is the sum of the lengths of Data in bytes.
func (f *Frame) Room() int {
	n := 0
	for _, piece := range f.Data {
		n += len(piece)
	}
	return n
}

// CopyTo copies the frame, or as much of it as fits, to dst and returns the number of bytes. Each byte is read once.
func (f *Frame) CopyTo(dst []byte) int {
	dst = dst[:min(len(dst), max(f.Len, 0))]
	n := 0
	for _, piece := range f.Data {
		if n == len(dst) {
			break
		}
		n += copy(dst[n:], piece)
	}
	return n
}

// Writer fills the Data of a frame piece by piece. It is not safe for concurrent use.
type Writer struct {
	data [][]byte
	off  int // into data[0]
}

// Writer starts writing at the beginning of f.Data. It does not set f.Len.
func (f *Frame) Writer() Writer { return Writer{data: f.Data} }

// Write appends p and returns how many bytes of it had room.
func (w *Writer) Write(p []byte) int {
	n := 0
	for n < len(p) && len(w.data) > 0 {
		m := copy(w.data[0][w.off:], p[n:])
		n += m
		w.off += m
		if w.off == len(w.data[0]) {
			w.data, w.off = w.data[1:], 0
		}
	}
	return n
}
