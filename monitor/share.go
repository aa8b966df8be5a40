package monitor

import (
	"fmt"
	"path"
	"time"

	"ukvm.dev/devices/share"
	"ukvm.dev/hostdir"
	"ukvm.dev/hypercall"
)

// Share is a directory of the host's in the guest's tree.
type Share struct {
	// Path is where it goes: absolute, in the guest. What is missing of the way there is made, in the guest's memory.
	Path string
	// Dir is the directory. The VM uses it while it runs and does not close it; several may use one.
	Dir *hostdir.Dir
	// Valid is for how long the guest believes what it has learned of names and attributes; 0 is not at all. Contents are read
	// anew, and what is written is the host's when write returns, whatever it is.
	Valid time.Duration
}

func checkShares(shares []Share) error {
	seen := map[string]bool{}
	for i := range shares {
		s := &shares[i]
		switch {
		case !path.IsAbs(s.Path) || path.Clean(s.Path) == "/" || len(s.Path) >= len(hypercall.ShareConfig{}.Path):
			return fmt.Errorf("%w: %q is no place for a directory of the host's: it must be an absolute path below / of less than %d bytes",
				ErrConfig, s.Path, len(hypercall.ShareConfig{}.Path))
		case s.Dir == nil:
			return fmt.Errorf("%w: there is no directory to be shared as %s", ErrConfig, s.Path)
		case s.Valid < 0 || s.Valid > maxValid:
			return fmt.Errorf("%w: attributes in %s cannot be valid for %v; it is 0 to %v", ErrConfig, s.Path, s.Valid, maxValid)
		case seen[path.Clean(s.Path)]:
			return fmt.Errorf("%w: two directories are to be shared as %s", ErrConfig, s.Path)
		}
		s.Path = path.Clean(s.Path)
		seen[s.Path] = true
	}
	return nil
}

const maxValid = 24 * time.Hour

// addShare makes device i, a shared directory.
func (vm *VM) addShare(i int, s *Share, d *hypercall.Device) error {
	d.Kind = hypercall.DeviceShare
	copy(d.Name[:], fmt.Sprintf("share%d", i-len(vm.config.NICs)))
	copy(d.Share.Path[:], s.Path)
	d.Share.Valid = uint32(s.Valid.Milliseconds())
	if s.Dir.ReadOnly() {
		d.Share.Flags |= hypercall.ShareReadOnly
	}
	slot, err := vm.reserveSlot(i)
	if err != nil {
		return err
	}
	vm.shares = append(vm.shares, share.New(s.Dir, slot[:hypercall.QueueSize], vm.space, fileMapper{vm}, vm.interrupt))
	return nil
}

// reserveSlot is the memory of a device's queues.
func (vm *VM) reserveSlot(device int) ([]byte, error) {
	return vm.space.reserve(hypercall.RingsVA+hypercall.GVA(device*hypercall.RingSlot), hypercall.RingSlot,
		hypercall.ProtRead|hypercall.ProtWrite)
}

// serveShares answers what the guest asks of shared directories.
func (vm *VM) serveShares() (moved bool, err error) {
	for i, d := range vm.shares {
		m, err := d.Serve()
		if err != nil {
			return false, vm.deviceFailure("shared directory "+vm.config.Shares[i].Path, err)
		}
		moved = moved || m
	}
	return moved, nil
}
