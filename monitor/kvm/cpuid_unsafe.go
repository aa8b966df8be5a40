package kvm

import (
	"fmt"
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
	"golang.org/x/sys/unix"
)

const (
	ioctlGetSupportedCPUID = 0xc008ae05
	ioctlSetCPUID2         = 0x4008ae90

	maxCPUID = 256 // KVM_MAX_CPUID_ENTRIES
)

// cpuid is struct kvm_cpuid2 (include/uapi/linux/kvm.h). gokvm's functions for it convert entry by entry through
// package reflect, which takes 0.4 ms for each machine.
type cpuid struct {
	count, _ uint32
	entry    [maxCPUID]gokvm.CPUIDEntry2
}

// setCPUID gives the guest the host's processor without KVM's paravirtual leaves, which a guest has no use for.
func (v *VCPU) setCPUID(system uintptr) error {
	c := &cpuid{count: maxCPUID}
	if err := c.ioctl(system, ioctlGetSupportedCPUID); err != nil {
		return fmt.Errorf("get supported CPUID: %w", err)
	}
	all := c.entry[:min(c.count, maxCPUID)]
	c.count = 0
	for _, e := range all {
		if e.Function>>28 != 4 {
			c.entry[c.count] = e
			c.count++
		}
	}
	if err := c.ioctl(v.rawFD, ioctlSetCPUID2); err != nil {
		return fmt.Errorf("set CPUID: %w", err)
	}
	return nil
}

func (c *cpuid) ioctl(fd, request uintptr) error {
	// Safety: c is laid out as struct kvm_cpuid2 with count entries of room and lives across the call.
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(c))); e != 0 {
		return e
	}
	return nil
}
