//go:build ukvm

package kernel

import "ukvm.dev/hypercall"

// Where the monitor shares memory with this guest.
const (
	controlAddr = uint64(hypercall.ControlVA)
	clockAddr   = uint64(hypercall.ClockVA)
	bootAddr    = uint64(hypercall.BootVA)
	regionsAddr = uint64(hypercall.RegionsVA)
	ringsAddr   = uint64(hypercall.RingsVA)
	framesAddr  = uint64(hypercall.FrameRingsVA)
)

// enter makes a call through the gate. It is in assembly.
func enter(nr, a, b, c uint64) uint64

// InGuest reports whether this program runs in a guest; an image also runs natively.
func InGuest() bool { return running != 0 }
