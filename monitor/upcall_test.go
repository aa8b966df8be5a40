package monitor

import (
	"errors"
	"testing"
	"time"

	"ukvm.dev/internal/kvmtest"
)

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
