package monitor

import (
	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/kvm"
)

// retryUpcall is how soon an upcall is tried again that found the guest kernel at work, in ns.
const retryUpcall = 200_000

// A busy guest wants upcalls at regular times. After each one the next is arranged for nextUpcall later, which saves the
// call by which the kernel would ask for it, and one that it wants not later than upcallEarly after an interruption comes with
// that. Both are in ns.
const (
	nextUpcall  = 10_000_000
	upcallEarly = 200_000
)

// upcall gets the guest kernel's attention, now or, if it is at work, soon.
func (vm *VM) upcall(now int64) error {
	c := vm.space.control
	r := vm.vcpu.Regs()
	// In the kernel, or in an exit stub: an exception is about to be reported.
	busy := c.Mask != 0 || hypercall.GVA(r.RIP) >= hypercall.MonitorBase
	if !busy {
		// Or not yet in the stub. The kernel would then meet the exception of the code that it interrupts.
		var err error
		if busy, err = vm.vcpu.ExceptionDue(); err != nil {
			return hostFailure("KVM cannot run the guest", err)
		}
	}
	if busy {
		c.Pending = 1
		vm.vcpu.KickAt(now + retryUpcall)
		return nil
	}
	vm.enterUpcall(r, hypercall.NoException, 0, 0)
	vm.vcpu.KickAt(now + nextUpcall)
	return nil
}

// enterUpcall redirects the vCPU to the kernel's upcall entry. r are the interrupted registers.
func (vm *VM) enterUpcall(r *kvm.Regs, vector, code, address uint64) {
	c := vm.space.control
	vm.stats.upcalls.Add(1)
	c.Frame = frameOf(r)
	if hypercall.GVA(r.RIP) == vm.entry.Return {
		c.Frame.RIP = c.Resume // the kernel's last jump; Resume is about to be overwritten
	}
	c.Vector, c.Error, c.Address = vector, code, address
	c.Mask = 1
	r.RIP, r.RSP, r.RFLAGS = uint64(vm.entry.Upcall), uint64(vm.entry.UpcallStack), rflagsFixed
	vm.vcpu.LoadRegs()
}

func frameOf(r *kvm.Regs) hypercall.Frame {
	return hypercall.Frame{
		RAX: r.RAX, RBX: r.RBX, RCX: r.RCX, RDX: r.RDX, RSI: r.RSI, RDI: r.RDI, RSP: r.RSP, RBP: r.RBP,
		R8: r.R8, R9: r.R9, R10: r.R10, R11: r.R11, R12: r.R12, R13: r.R13, R14: r.R14, R15: r.R15,
		RIP: r.RIP, RFLAGS: r.RFLAGS,
	}
}
