package kvm

import (
	"errors"
	"fmt"
	"os"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
	"golang.org/x/sys/unix"
)

// tssAddress is where KVM may put three pages of its own on Intel processors without unrestricted guests: below 4 GiB,
// in the hole of the guest's physical addresses (guestmem.HoleStart).
const tssAddress = 0xfffbd000

// Machine is a virtual machine with one vCPU and no devices: no interrupt controller, no timers.
type Machine struct {
	vm    *os.File
	vcpu  *VCPU
	slots uint32
}

// NewMachine makes a machine without memory.
func (s *System) NewMachine() (*Machine, error) {
	fd, err := gokvm.CreateVM(s.file.Fd())
	for errors.Is(err, unix.EINTR) { // it starts kernel threads, which a signal can prevent
		fd, err = gokvm.CreateVM(s.file.Fd())
	}
	if err != nil {
		return nil, fmt.Errorf("create virtual machine: %w", err)
	}
	unix.CloseOnExec(int(fd))
	m := &Machine{vm: os.NewFile(fd, "kvm-vm")}
	if err := gokvm.SetTSSAddr(fd, tssAddress); err != nil {
		m.Close()
		return nil, fmt.Errorf("set address of KVM's own pages: %w", err)
	}
	if m.vcpu, err = newVCPU(s.file.Fd(), fd); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// AddMemory makes host memory appear at a guest physical address. Both are page-aligned; the memory must stay mapped
// until the machine is closed.
func (m *Machine) AddMemory(gpa uint64, memory []byte) error {
	if err := gokvm.SetUserMemoryRegion(m.vm.Fd(), &gokvm.UserspaceMemoryRegion{
		Slot:          m.slots,
		GuestPhysAddr: gpa,
		MemorySize:    uint64(len(memory)),
		UserspaceAddr: addressOf(memory),
	}); err != nil {
		return fmt.Errorf("map guest memory: %w", err)
	}
	m.slots++
	return nil
}

// VCPU returns the machine's only vCPU.
func (m *Machine) VCPU() *VCPU { return m.vcpu }

// Close releases the machine. The vCPU must not be running.
func (m *Machine) Close() error {
	var first error
	if m.vcpu != nil {
		first = m.vcpu.close()
	}
	return errors.Join(first, m.vm.Close())
}
