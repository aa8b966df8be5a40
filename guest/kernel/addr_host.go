//go:build !ukvm

package kernel

import (
	"sync"
	"unsafe"

	"ukvm.dev/hypercall"
)

// On a host the kernel is only tested. The shared memory is ordinary memory, a mutex stands for "one processor,
// upcalls masked", and calls through the gate are function calls by the first thread.
var host struct {
	mu      sync.Mutex
	control hypercall.Control
	clock   hypercall.Clock
	boot    hypercall.Boot
	regions hypercall.Regions
	rings   [hypercall.MaxDevices * hypercall.RingSlot]byte
}

var (
	controlAddr = uint64(uintptr(unsafe.Pointer(&host.control)))
	clockAddr   = uint64(uintptr(unsafe.Pointer(&host.clock)))
	bootAddr    = uint64(uintptr(unsafe.Pointer(&host.boot)))
	regionsAddr = uint64(uintptr(unsafe.Pointer(&host.regions)))
	ringsAddr   = uint64(uintptr(unsafe.Pointer(&host.rings)))
	framesAddr  uint64 // a test that has a frame ring sets it
)

func enter(nr, a, b, c uint64) uint64 {
	host.mu.Lock()
	defer host.mu.Unlock()
	if running == 0 {
		initThreads()
		initFiles()
	}
	return upper(&hypercall.Frame{RAX: nr, RDI: a, RSI: b, RDX: c})
}

// InGuest reports whether this program runs in a guest.
func InGuest() bool { return false }
