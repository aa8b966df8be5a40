package monitor

import (
	"errors"
	"testing"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/kvmtest"
)

// TestDeadlineBehindKernel: an interruption that comes while the kernel is on its way out, and has seen that one is due
// before its deadline, does not leave that deadline to nobody.
func TestDeadlineBehindKernel(t *testing.T) {
	const early, late = hypercall.ClockStart + 30e6, hypercall.ClockStart + 1000e6
	c := new(kvmtest.Code).Start("upcall").Store(kvmtest.Mask, 1).Store(kvmtest.Deadline, early).Out(kick).
		Store(kvmtest.Deadline, late)
	repeat(c, "delay", 300_000_000, func() {}) // 70 ms or more
	c.Store(kvmtest.Mask, 0).Spin().Label("upcall").Expect(kvmtest.Vector, hypercall.NoException, 1).Halt(0)
	if err := runGuest(t, c, Config{}); err != nil {
		t.Error(err)
	}
}

// TestUpcallsAmongExceptions interrupts a program all the time that does nothing but fault. An exception that the vCPU
// has met but not yet delivered when it is interrupted belongs to the program, and must not hit the guest kernel.
func TestUpcallsAmongExceptions(t *testing.T) {
	const upcalls, nowhere = 20_000, 1 << 40
	c := new(kvmtest.Code).Start("upcall").Store(kvmtest.Deadline, 1)
	repeat(c, "again", upcalls, func() {
		c.Store(kvmtest.Mask, 0).Load(nowhere).Halt(1).Label("upcall")
	})
	vm := newGuest(t, c.Halt(0).Image(), Config{})
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(20 * time.Microsecond); ; {
			select {
			case <-tick.C:
				vm.interrupt()
			case <-stop:
				return
			}
		}
	}()
	err := runVM(t, vm)
	close(stop)
	<-stopped
	var exit *ExitError
	if errors.As(err, &exit) {
		t.Errorf("%v, after %d upcalls", err, vm.Stats().Upcalls)
	}
}
