package kvm

import (
	"errors"
	"fmt"
	"os"
	"slices"

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
	slots []gokvm.UserspaceMemoryRegion // by number; those without a size are free
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
// until the machine is closed or RemoveMemory.
func (m *Machine) AddMemory(gpa uint64, memory []byte) error {
	number := slices.IndexFunc(m.slots, func(s gokvm.UserspaceMemoryRegion) bool { return s.MemorySize == 0 })
	if number < 0 {
		number = len(m.slots)
	}
	slot := gokvm.UserspaceMemoryRegion{
		Slot:          uint32(number),
		GuestPhysAddr: gpa,
		MemorySize:    uint64(len(memory)),
		UserspaceAddr: addressOf(memory),
	}
	if err := m.setSlot(slot); err != nil {
		return fmt.Errorf("map guest memory: %w", err)
	}
	if number == len(m.slots) {
		m.slots = append(m.slots, slot)
	}
	m.slots[number] = slot
	return nil
}

// RemoveMemory takes away what AddMemory has made appear at gpa. KVM forgets all that it has derived from the guest's page
// tables, as with Forget. The vCPU must not be running.
func (m *Machine) RemoveMemory(gpa uint64) error {
	for i := range m.slots {
		s := &m.slots[i]
		if s.MemorySize == 0 || s.GuestPhysAddr != gpa {
			continue
		}
		gone := *s
		gone.MemorySize = 0
		if err := m.setSlot(gone); err != nil {
			return fmt.Errorf("unmap guest memory: %w", err)
		}
		*s = gone
		return nil
	}
	return fmt.Errorf("unmap guest memory: there is none at %#x", gpa)
}

func (m *Machine) setSlot(s gokvm.UserspaceMemoryRegion) error {
	return gokvm.SetUserMemoryRegion(m.vm.Fd(), &s)
}

// Forget makes KVM forget all it has derived from the guest's page tables: every memory slot is deleted (a size of 0,
// KVM API 4.35) and made anew. The vCPU must not be running.
func (m *Machine) Forget() error {
	for _, slot := range m.slots {
		if slot.MemorySize == 0 {
			continue
		}
		gone := slot
		gone.MemorySize = 0
		if err := errors.Join(m.setSlot(gone), m.setSlot(slot)); err != nil {
			return fmt.Errorf("map guest memory anew: %w", err)
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
