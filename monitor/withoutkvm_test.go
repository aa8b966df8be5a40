package monitor

import (
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/devices/clock"
	"ukvm.dev/devices/console"
	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/monitor/loader"
)

// withoutKVM makes a VM whose vCPU cannot run, without an image, for what needs neither. Its guest kernel has started.
func withoutKVM(t testing.TB, c Config) *VM {
	t.Helper()
	if c.Image == "" {
		c.Image = "app"
	}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	vm := &VM{config: c, space: newTestSpace(t, c.Memory), stage: stageRunning, vcpu: new(kvm.VCPU)}
	var err error
	if vm.wakeFD, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	vm.console = console.New(c.Stdin, c.Stdout, c.Stderr, vm.wake)
	// A counter of nanoseconds.
	vm.clock, err = clock.New(vm.space.clock, 1_000_000, func() (uint64, error) { return uint64(clock.Monotonic()), nil })
	if err != nil {
		t.Fatal(err)
	}
	image := &loader.Image{Segments: []loader.Segment{{Start: hypercall.ImageBase, Size: 5 * page}}}
	if err := vm.writeBoot(image); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		vm.console.Close()
		unix.Close(vm.wakeFD)
	})
	return vm
}
