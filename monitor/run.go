package monitor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"ukvm.dev/devices/clock"
	"ukvm.dev/devices/share"
	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/kvm"
)

// Errors of Run that say nothing about the guest.
var (
	ErrStarted = errors.New("this VM has run already")
	ErrClosed  = errors.New("this VM is closed")
)

// Run runs the program to its end. It returns nil if the program ends with status 0, an *ExitError if it ends otherwise,
// and the context's error if that ends first: the guest is then stopped where it is. To let it end in order, send it a
// signal. Run may be called once. The calling goroutine keeps its thread to itself meanwhile.
func (vm *VM) Run(ctx context.Context) error {
	if err := vm.begin(); err != nil {
		return err
	}
	defer close(vm.ended)
	// KVM ties a vCPU to the thread that runs it, and kicks are signals to that thread. It is the caller's, and no new
	// one, because to start and end a thread costs a guest's start a twentieth of its time.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := vm.vcpu.Bind(); err != nil {
		return hostFailure("cannot start the vCPU", err)
	}
	defer vm.vcpu.Unbind()
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		vm.stop()
	})
	err := vm.loop()
	if !errors.Is(err, errStopped) {
		vm.console.Drain(vm.quit)
		vm.drainLinks()
	}
	if !stop() {
		<-stopped // so that nothing is left running
	}
	switch {
	case errors.Is(err, errEnded):
		return nil
	case errors.Is(err, errStopped) && ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errStopped):
		return ErrClosed
	}
	return err
}

// begin notes that Run was called, which may happen once.
func (vm *VM) begin() error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	switch {
	case vm.closed:
		return ErrClosed
	case vm.ended != nil:
		return ErrStarted
	}
	vm.ended = make(chan struct{})
	return nil
}

var errStopped = errors.New("stopped")

// loop runs the vCPU until the guest ends.
func (vm *VM) loop() (err error) {
	// A file that the guest's memory shows may be cut short by someone: touching that memory is then a fault, which
	// must end this guest and not the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface {
				error
				Addr() uintptr
			})
			if !ok {
				panic(r)
			}
			err = hostFailure("guest memory is not there any more; has the image been changed, or a file that the guest has mapped been cut short?", fault)
		}
	}()
	for {
		if vm.stopping.Load() {
			return errStopped
		}
		if vm.space.settle() {
			if err := vm.machine.Forget(); err != nil {
				return hostFailure("cannot change guest memory", err)
			}
		}
		vm.yield(clock.Monotonic())
		vm.enter()
		reason, err := vm.vcpu.Run()
		if errors.Is(err, kvm.ErrInterrupted) {
			vm.stats.interrupts.Add(1)
			if err := vm.interrupted(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return hostFailure("cannot run the vCPU", err)
		}
		vm.stats.exits.Add(1)
		if err := vm.handle(reason); err != nil {
			return err
		}
	}
}

// enter does what is due before the guest runs on: the time of the next interruption. The kernel's own work cannot be
// interrupted, and it says when it wants something at its end.
func (vm *VM) enter() {
	if vm.stage == stageBoot {
		return
	}
	if vm.space.control.Mask == 0 {
		vm.armDeadline()
	}
	if len(vm.nics) > 0 {
		vm.vcpu.KickAt(vm.busyIO)
	}
	if vm.console.Awaits() {
		vm.vcpu.KickAt(clock.Monotonic() + retryConsole)
	}
	armed := uint64(0)
	if at := vm.vcpu.KicksAt(); at != 0 {
		armed = vm.clock.Guest(at)
	}
	vm.space.control.Armed = armed
}

// retryConsole is how often a stream without room is looked at while the guest is busy, in ns.
const retryConsole = 2_000_000

// consoleReady returns the console's news as Ready bits.
func (vm *VM) consoleReady() (bits uint64) {
	input, room := vm.console.Events()
	if input {
		bits |= hypercall.ReadyConsole
	}
	if room {
		bits |= hypercall.ReadyOutput
	}
	return bits
}

// armDeadline sees to it that the guest is interrupted at the time it wants.
func (vm *VM) armDeadline() {
	if d := vm.space.control.Deadline; d != 0 {
		vm.vcpu.KickAt(vm.clock.Host(d))
	}
}

// handle acts on an exit. An error ends the guest.
func (vm *VM) handle(reason uint32) error {
	e, number := decode(reason, vm.vcpu.IO())
	switch e {
	case eventCall:
		vm.stats.calls.Add(1)
		return vm.call(number)
	case eventException:
		return vm.exception(number)
	case eventBadIO:
		return violation("access to I/O port %#x at %s", number, vm.where())
	case eventShutdown:
		return violation("triple fault at %s", vm.where())
	case eventFailure:
		return hostFailure("KVM cannot run the guest", fmt.Errorf("exit reason %d, %#x at %s", number, vm.vcpu.Failure(), vm.where()))
	case eventMemory:
		if some, err := vm.space.forgetFiles(); some && err == nil {
			return nil
		}
		return hostFailure("the host cannot provide the guest's memory", fmt.Errorf("at %s", vm.where()))
	}
	return hostFailure("KVM cannot run the guest", fmt.Errorf("unexpected exit reason %d at %s", number, vm.where()))
}

// interrupted looks for what a kick was for.
func (vm *VM) interrupted() error {
	now := clock.Monotonic()
	vm.vcpu.Kicked(now)
	if vm.stage == stageBoot {
		return nil
	}
	if vm.clock.Due(now) {
		if err := vm.clock.Update(); err != nil {
			return hostFailure("cannot keep the guest's time", err)
		}
	}
	want := vm.takeSignals() || vm.space.control.Pending != 0
	if bits := vm.consoleReady(); bits != 0 {
		vm.space.control.Ready |= bits
		want = true
	}
	if d := vm.space.control.Deadline; d != 0 && vm.clock.Host(d) <= now+upcallEarly {
		want = true
	}
	if slices.ContainsFunc(vm.shares, (*share.Device).Finished) {
		moved, err := vm.serveShares()
		if err != nil {
			return err
		}
		want = want || moved
	}
	// Rings that are due soon are served now: that saves an interruption.
	if len(vm.nics) > 0 && now >= vm.busyIO-vm.pace/2 {
		moved, err := vm.serveRings()
		if err != nil {
			return err
		}
		vm.pacing(now, moved)
	}
	if want {
		return vm.upcall(now)
	}
	if vm.space.control.Mask != 0 {
		// The kernel may have seen Armed, and be about to clear Mask.
		vm.armDeadline()
	}
	return nil
}

// takeSignals passes on signals that were sent to the guest.
func (vm *VM) takeSignals() bool {
	s := vm.signals.Swap(0)
	if s == 0 {
		return false
	}
	vm.space.control.Signals |= s
	return true
}
