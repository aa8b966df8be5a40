package monitor

import (
	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/monitor/paging"
)

// event is what an exit means.
type event int

const (
	eventCall      event = iota // a hypercall: number
	eventException              // an exception: number is the vector
	eventBadIO                  // port access that is no hypercall
	eventShutdown               // triple fault
	eventFailure                // KVM could not run the guest
	eventMemory                 // the host could not provide memory
	eventUnknown                // an exit that cannot happen with this guest
)

// decode says what an exit means. It is the whole list of ways out of a guest: everything else the processor handles
// without the monitor, or turns into an exception.
//
// The I/O bitmap lets IN, string forms and other widths through, so a hypercall is an OUT of four bytes, once, to one
// of the call ports; anything else on those ports is a violation.
func decode(reason uint32, io kvm.IO) (e event, number int) {
	switch reason {
	case kvm.ExitIO:
		if !io.Out || io.Size != 4 || io.Count != 1 {
			return eventBadIO, int(io.Port)
		}
		if n := int(io.Port) - hypercall.PortCall; n >= 0 && n < int(hypercall.CallMax) {
			return eventCall, n
		}
		if v := int(io.Port) - hypercall.PortException; v >= 0 && v < paging.Vectors {
			return eventException, v
		}
		return eventBadIO, int(io.Port)
	case kvm.ExitShutdown:
		return eventShutdown, 0
	case kvm.ExitFailEntry, kvm.ExitInternalError:
		return eventFailure, int(reason)
	case kvm.ExitMemoryFault:
		return eventMemory, 0
	}
	return eventUnknown, int(reason)
}
