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

// remap replaces the mapping of all[off:off+n].
func (w *Window) remap(off, n uint64, prot, flags, fd int, at int64) error {
	// Safety: as above, in the window's own mapping.
	addr := uintptr(unsafe.Pointer(&w.all[off : off+n][0]))
	_, _, e := unix.Syscall6(unix.SYS_MMAP, addr, uintptr(n), uintptr(prot), uintptr(flags|unix.MAP_FIXED), uintptr(fd), uintptr(at))
	if e != 0 {
		return e
	}
	_ = unix.Madvise(w.all[off:off+n], unix.MADV_DONTFORK)
	_ = unix.Madvise(w.all[off:off+n], unix.MADV_DONTDUMP)
	return nil
}

// clear makes all[off:off+n] addresses without memory.
func (w *Window) clear(off, n uint64) error {
	return w.remap(off, n, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE, -1, 0)
}

// alignment is how far into mem the first multiple of hugePage is.
func alignment(mem []byte) uint64 {
	// Safety: the address is only computed with.
	return -uint64(uintptr(unsafe.Pointer(&mem[0]))) % hugePage
}
