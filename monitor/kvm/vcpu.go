package kvm

import (
	"fmt"
	"os"
	"sync/atomic"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
	"golang.org/x/sys/unix"
)

// Regs and Sregs are KVM's register structures.
type (
	Regs    = gokvm.Regs
	Sregs   = gokvm.Sregs
	Segment = gokvm.Segment
)

// Model-specific registers the monitor sets.
const (
	MSRTSC   = 0x10       // time-stamp counter
	MSRLSTAR = 0xc0000082 // where SYSCALL goes
)

// VCPU is the processor of a Machine. Only Kick may be called by another thread than the one that runs it.
type VCPU struct {
	file  *os.File
	rawFD uintptr
	run   *runArea
	mem   []byte       // the mapping run lies in
	tid   atomic.Int32 // thread that runs it, once Bind was called
	kick  kickTimer
}

func newVCPU(system, vm uintptr) (*VCPU, error) {
	fd, err := gokvm.CreateVCPU(vm, 0)
	if err != nil {
		return nil, fmt.Errorf("create vCPU: %w", err)
	}
	unix.CloseOnExec(int(fd))
	v := &VCPU{file: os.NewFile(fd, "kvm-vcpu"), rawFD: fd}
	size, err := gokvm.GetVCPUMMmapSize(system)
	if err == nil && size < runAreaSize {
		err = fmt.Errorf("%w: its run area has %d bytes, not %d", ErrUnfit, size, runAreaSize)
	}
	if err == nil {
		v.mem, err = unix.Mmap(int(fd), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		v.file.Close()
		return nil, fmt.Errorf("map run area of vCPU: %w", err)
	}
	v.run = runAreaOf(v.mem)
	v.run.validRegs = syncRegs | syncSregs
	if err := v.setCPUID(system); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// Sregs returns the special registers.
func (v *VCPU) Sregs() (Sregs, error) {
	s, err := gokvm.GetSregs(v.file.Fd())
	if err != nil {
		return Sregs{}, fmt.Errorf("get special registers: %w", err)
	}
	return *s, nil
}

// SetSregs sets the special registers.
func (v *VCPU) SetSregs(s *Sregs) error {
	if err := gokvm.SetSregs(v.file.Fd(), s); err != nil {
		return fmt.Errorf("set special registers: %w", err)
	}
	return nil
}

// SetXCR0 enables state components for XSAVE (Intel SDM vol. 1 §13.3).
func (v *VCPU) SetXCR0(value uint64) error {
	x := &gokvm.XCRS{NrXRCS: 1}
	x.Registers[0].Value = value
	if err := gokvm.SetXCRS(v.file.Fd(), x); err != nil {
		return fmt.Errorf("set XCR0: %w", err)
	}
	return nil
}

// TSCFrequency is the rate of the guest's time-stamp counter in kHz.
func (v *VCPU) TSCFrequency() (uint64, error) {
	khz, err := gokvm.GetTSCKHz(v.file.Fd())
	if err != nil {
		return 0, fmt.Errorf("get frequency of the time-stamp counter: %w", err)
	}
	return khz, nil
}

func (v *VCPU) close() error {
	v.kick.close()
	err := unix.Munmap(v.mem)
	if e := v.file.Close(); err == nil {
		err = e
	}
	return err
}
