package kvm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// Device is the path of KVM's device node.
const Device = "/dev/kvm"

// Reasons why there is no KVM to use. Errors of Open wrap one of them.
var (
	ErrMissing    = errors.New("this machine has no " + Device)
	ErrPermission = errors.New("no permission to open " + Device)
	ErrUnfit      = errors.New("this KVM lacks something")
)

// capabilities is what every host must have, with the names of the kernel's documentation.
var capabilities = [...]struct {
	name string
	cap  gokvm.Capability
	min  uintptr
}{
	{"KVM_CAP_USER_MEMORY", gokvm.CapUserMemory, 1},
	{"KVM_CAP_SET_TSS_ADDR", gokvm.CapSetTSSAddr, 1},
	{"KVM_CAP_EXT_CPUID", gokvm.CapEXTCPUID, 1},
	{"KVM_CAP_SYNC_REGS", gokvm.CapSyncRegs, syncRegs | syncSregs},
	{"KVM_CAP_IMMEDIATE_EXIT", gokvm.CapImmediateExit, 1},
	{"KVM_CAP_GET_TSC_KHZ", gokvm.CapGetTSCkHz, 1},
	{"KVM_CAP_XCRS", gokvm.CapXCRS, 1},
}

// System is an open /dev/kvm. It is safe for concurrent use.
type System struct {
	file *os.File
}

// Open opens /dev/kvm and checks that it can do what the monitor needs.
func Open() (*System, error) {
	f, err := os.OpenFile(Device, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: load the kvm_intel or kvm_amd module, or enable virtualization in the firmware", ErrMissing)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: add yourself to the group that owns it", ErrPermission)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", Device, err)
	}
	s := &System{file: f}
	if err := s.check(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *System) check() error {
	const version = 12 // of the stable API, since Linux 2.6.22
	v, err := gokvm.GetAPIVersion(s.file.Fd())
	if err != nil {
		return fmt.Errorf("ask %s for its version: %w", Device, err)
	}
	if v != version {
		return fmt.Errorf("%w: API version is %d, not %d", ErrUnfit, v, version)
	}
	for _, c := range capabilities {
		got, err := gokvm.CheckExtension(s.file.Fd(), c.cap)
		if err != nil {
			return fmt.Errorf("ask KVM for %s: %w", c.name, err)
		}
		if got&c.min != c.min {
			return fmt.Errorf("%w: %s", ErrUnfit, c.name)
		}
	}
	return nil
}

// Close closes the device. Machines made from it live on.
func (s *System) Close() error { return s.file.Close() }
