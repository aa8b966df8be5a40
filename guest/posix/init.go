package posix

import (
	"time"

	"ukvm.dev/guest/kernel"
	"ukvm.dev/hypercall"
)

// system is the guest's System: the one state of this package, since kernel.Hook is one.
var system = System{
	core: kernelCore{},
	gate: kernelGate{},
	env: environment{
		boot:     kernel.Boot,
		archive:  bootArchive,
		args:     programArgs,
		environ:  programEnviron,
		now:      wallClock,
		resident: kernel.Resident,
		regions:  mappedRegions,
		hertz:    counterFrequency,
		mask:     &kernel.FileMask,
	},
}

// setUp is kernel.Prepare. It runs when no package has been initialised but the runtime's own, as may system calls after it:
// so variables of this package have their values in data, and those of packages that it imports matter to errors only.
func setUp() {
	limitStacks(kernel.Boot().Memory)
	offer(&kernel.Hooked)
	kernel.Hook = hook
}

func wallClock() int64 { return time.Now().UnixNano() }

// mappedRegions copies the region table. It may change meanwhile: an entry can then appear twice or not at all, which is
// good enough for /proc/self/maps.
func mappedRegions() []hypercall.Region {
	r := kernel.Regions()
	return append([]hypercall.Region(nil), r.Table[:min(r.Count, hypercall.MaxRegions)]...)
}
