package monitor

import (
	"errors"
	"fmt"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
	"ukvm.dev/monitor/paging"
)

// Exception vectors: page fault, and machine check, which a guest is told of when a page's file does not have it.
const (
	vectorPage  = 14
	vectorCheck = 18
)

// Bits of a page fault's error code (AMD APM vol. 2 §8.4.2).
const (
	faultPresent = 1 << 0
	faultWrite   = 1 << 1
	faultFetch   = 1 << 4
)

// maxRetries bounds page faults in a row that change nothing. One or two are stale translations.
const maxRetries = 16

// rflagsUser are the flags a guest may carry through an exception: CF PF AF ZF SF DF OF AC ID.
const rflagsUser = 0x240cd5

// exception acts on an exception that a stub has reported: it commits memory, or hands the exception to the guest
// kernel. The vCPU is at CPL 0, in the stub, and continues at CPL 3 where it was or in the kernel.
func (vm *VM) exception(vector int) error {
	f := vm.desc.Exception(vector)
	s := vm.vcpu.SregsAtExit()
	if uint16(f.CS)&3 != 3 {
		return hostFailure("KVM cannot run the guest", fmt.Errorf("exception %d in an exit stub at %#x", vector, f.RIP))
	}
	userMode(s)
	r := vm.vcpu.Regs()
	r.RIP, r.RSP, r.RFLAGS = f.RIP, f.RSP, f.RFLAGS&rflagsUser|rflagsFixed
	vm.vcpu.LoadSregs()
	vm.vcpu.LoadRegs()

	address := uint64(0)
	if vector == vectorPage {
		address = s.CR2
		handled, err := vm.pageFault(hypercall.GVA(address), f.Error)
		switch {
		case errors.Is(err, guestmem.ErrFileEnd):
			vector = vectorCheck
		case handled || err != nil:
			return err
		}
	}
	vm.retries = 0
	if vm.stage == stageBoot || vm.space.control.Mask != 0 {
		return kernelFault("exception %d (%s) at %s, address %#x", vector, exceptionNames[vector], vm.where(), address)
	}
	if vm.config.Trace != nil {
		vm.config.Trace.Info("exception", "vector", vector, "name", exceptionNames[vector], "at", vm.where(), "address", address)
	}
	vm.enterUpcall(r, uint64(vector), f.Error, address)
	return nil
}

// pageFault commits memory where the guest has mapped some. handled is false if the fault is the program's, or its file's
// (guestmem.ErrFileEnd).
func (vm *VM) pageFault(va hypercall.GVA, code uint64) (handled bool, err error) {
	access := uint32(hypercall.ProtRead)
	switch {
	case code&faultFetch != 0:
		access = hypercall.ProtExec
	case code&faultWrite != 0:
		access = hypercall.ProtWrite
	}
	if va >= hypercall.UserEnd {
		return false, nil
	}
	used, files := vm.space.used(), vm.space.filePages
	switch err := vm.space.fault(va, access); {
	case err == nil:
	case errors.Is(err, errBadAddress):
		return false, nil
	case errors.Is(err, guestmem.ErrFileEnd):
		return false, err
	case errors.Is(err, paging.ErrNoMemory):
		return false, outOfMemory(vm.config.Memory)
	default:
		return false, hostFailure("cannot provide guest memory", err)
	}
	vm.stats.faults.Add(1)
	vm.stats.resident.Store(vm.space.used())
	if vm.space.used() != used || vm.space.filePages != files {
		vm.retries = 0
	} else if vm.retries++; vm.retries > maxRetries {
		return false, hostFailure("KVM cannot run the guest", fmt.Errorf("page fault at %#x that has no cause", va))
	}
	return true, nil
}

// exceptionNames are the mnemonics of the vectors (AMD APM vol. 2 §8.2).
var exceptionNames = [paging.Vectors]string{
	0: "#DE", 1: "#DB", 2: "NMI", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS", 11: "#NP",
	12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 18: "#MC", 19: "#XF", 20: "#VE", 21: "#CP",
	28: "#HV", 29: "#VC", 30: "#SX",
}
