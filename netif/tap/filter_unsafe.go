package tap

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// admitNothing has the device take no frame from the host (TUNATTACHFILTER).
func (d *device) admitNothing() error {
	filter := [1]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Safety: the kernel reads the structure and what it points at, during the call.
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), unix.TUNATTACHFILTER, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(&filter)
	if errno != 0 {
		return fmt.Errorf("set the filter of %s: %w", d.name, errno)
	}
	return nil
}
