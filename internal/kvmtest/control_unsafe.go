package kvmtest

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// Safety, for all of these: package unsafe only says where fields lie.

// Fields of the control page.
const (
	Mask     = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Mask))
	Pending  = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Pending))
	Resume   = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Resume))
	Deadline = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Deadline))
	Signals  = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Signals))
	Vector   = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Vector))
	Error    = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Error))
	Address  = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Address))
	Resident = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Resident))
	Frame    = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Frame))
	FrameRIP = Frame + hypercall.GVA(unsafe.Offsetof(hypercall.Frame{}.RIP))
	FrameRSP = Frame + hypercall.GVA(unsafe.Offsetof(hypercall.Frame{}.RSP))
	Args     = hypercall.ControlVA + hypercall.GVA(unsafe.Offsetof(hypercall.Control{}.Args))
)
