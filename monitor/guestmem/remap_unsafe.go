package guestmem

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// remap replaces the mapping of mem[off:off+n] by a private one of a file, or by fresh memory if fd is -1.
func (r *RAM) remap(off, n uint64, fd int, at int64) error {
	flags := unix.MAP_PRIVATE | unix.MAP_FIXED | unix.MAP_NORESERVE
	if fd < 0 {
		flags |= unix.MAP_ANONYMOUS
	}
	// Safety: the range lies within our own mapping (offset has checked it), which Go's runtime does not manage and
	// which stays one range of addresses; only what the pages show changes.
	addr := uintptr(unsafe.Pointer(&r.mem[off]))
	_, _, e := unix.Syscall6(unix.SYS_MMAP, addr, uintptr(n), unix.PROT_READ|unix.PROT_WRITE, uintptr(flags), uintptr(fd), uintptr(at))
	if e != 0 {
		return e
	}
	advise(r.mem[off : off+n])
	return nil
}

// alignment is how far into mem the first multiple of hugePage is.
func alignment(mem []byte) uint64 {
	// Safety: the address is only computed with.
	return -uint64(uintptr(unsafe.Pointer(&mem[0]))) % hugePage
}
