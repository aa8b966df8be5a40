package monitor

import (
	"errors"

	"golang.org/x/sys/unix"

	"ukvm.dev/devices/clock"
	"ukvm.dev/hypercall"
)

// poll lets the guest sleep. First it moves what the rings hold; only if nothing came in and nothing is pending does
// the thread sleep, until a link has frames, the console input, a signal or the deadline.
func (vm *VM) poll(a hypercall.PollArgs, out *hypercall.PollArgs) error {
	vm.stats.polls.Add(1)
	deadline := int64(0)
	if a.Deadline != 0 {
		deadline = vm.clock.Host(a.Deadline)
	}
	for rang := false; ; {
		if vm.stopping.Load() {
			return errStopped
		}
		_, err := vm.serveRings()
		if err != nil {
			return err
		}
		now := clock.Monotonic()
		ready := uint64(0)
		if vm.takeSignals() || vm.space.control.Signals != 0 {
			ready |= hypercall.ReadySignal
		}
		ready |= vm.consoleReady()
		if ready != 0 || rang || vm.ringsMoved() || a.Deadline != 0 && deadline <= now {
			out.Ready = ready
			vm.pacing(now, true)
			if !vm.clock.Due(now) {
				return nil
			}
			if err := vm.clock.Update(); err != nil {
				return hostFailure("cannot keep the guest's time", err)
			}
			return nil
		}
		if rang, err = vm.sleep(now, deadline); err != nil {
			return err
		}
		woken := clock.Monotonic()
		vm.slept(now, woken)
		vm.halting.slept(woken - now)
		if len(vm.nics) == 0 { // else there is busyIO
			vm.vcpu.KickAt(woken + nextUpcall) // cheaper than the call by which the kernel would ask for it
		}
	}
}

// sleep waits for descriptors, or for a deadline unless that is 0. What was arranged for a busy guest would only wake the thread.
//
// rang says that a link woke it whose frames the guest takes itself. If the guest does not, because it is where none is, or says
// that it is busy, this is nothing to wait here for: its own time goes on.
func (vm *VM) sleep(now, deadline int64) (rang bool, err error) {
	vm.vcpu.CancelKick()
	vm.polls = append(vm.polls[:0], unix.PollFd{Fd: int32(vm.wakeFD), Events: unix.POLLIN})
	for _, n := range vm.nics {
		if n.arm() {
			return n.ring.mem != nil, nil
		}
		vm.polls = append(vm.polls, unix.PollFd{Fd: int32(n.fd()), Events: unix.POLLIN})
	}
	vm.polls = vm.console.Await(vm.polls)
	ready := false
	if window := vm.halting.window; window > 0 {
		until := now + window
		if deadline != 0 {
			until = min(until, deadline)
		}
		ready, err = spin(vm.polls, clock.Monotonic, until)
	}
	if !ready {
		var timeout *unix.Timespec
		if deadline != 0 {
			t := unix.NsecToTimespec(max(deadline-clock.Monotonic(), 0))
			timeout = &t
		}
		_, err = unix.Ppoll(vm.polls, timeout, nil)
	}
	switch {
	case errors.Is(err, unix.EINTR):
	case err != nil:
		return false, hostFailure("cannot wait", err)
	case vm.polls[0].Revents != 0:
		var b [8]byte
		_, _ = unix.Read(vm.wakeFD, b[:]) // whoever has called has left what it was for elsewhere
	}
	for i, n := range vm.nics {
		rang = rang || n.ring.mem != nil && vm.polls[1+i].Revents != 0
	}
	return rang, nil
}
