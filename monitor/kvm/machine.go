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
	slots []gokvm.UserspaceMemoryRegion
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
	slot := gokvm.UserspaceMemoryRegion{
		Slot:          uint32(len(m.slots)),
		GuestPhysAddr: gpa,
		MemorySize:    uint64(len(memory)),
		UserspaceAddr: addressOf(memory),
	}
	if err := gokvm.SetUserMemoryRegion(m.vm.Fd(), &slot); err != nil {
		return fmt.Errorf("map guest memory: %w", err)
	}
	m.slots = append(m.slots, slot)
	return nil
}

// Forget makes KVM forget all it has derived from the guest's page tables: every memory slot is deleted (a size of 0,
// KVM API 4.35) and made anew. The vCPU must not be running.
func (m *Machine) Forget() error {
	for _, slot := range m.slots {
		gone := slot
		gone.MemorySize = 0
		for _, s := range []*gokvm.UserspaceMemoryRegion{&gone, &slot} {
			if err := gokvm.SetUserMemoryRegion(m.vm.Fd(), s); err != nil {
				return fmt.Errorf("map guest memory anew: %w", err)
			}
		}
	}
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
