package file

import "unsafe"

// address is where a slice's memory is.
//
// Safety: the number is only looked at, never made a pointer again; what it belongs to does not move, since Go's heap
// and mapped memory don't.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// aligned tells whether every piece of a vector is in aligned memory and in whole blocks.
func aligned(vec [][]byte, align int, blockSize int64) bool {
	for _, b := range vec {
		if len(b) > 0 && (address(b)%uintptr(align) != 0 || int64(len(b))%blockSize != 0) {
			return false
		}
	}
	return true
}

// alignedBuffer makes n bytes in aligned memory.
func alignedBuffer(n, align int) []byte {
	b := make([]byte, n+align)
	skip := (align - int(address(b)%uintptr(align))) % align
	return b[skip : skip+n : skip+n]
}
