package monitor

import (
	"errors"
	"sync"

	"ukvm.dev/monitor/kvm"
)

// Machine is an empty virtual machine, made before the VM that it is for. KVM takes the larger part of a millisecond to
// make one: a program can do something else meanwhile, or keep some in store. A Machine serves one VM. It is safe for
// concurrent use.
type Machine struct {
	made chan struct{} // closed when the rest is set
	err  error

	mu      sync.Mutex
	system  *kvm.System
	machine *kvm.Machine
	taken   bool
}

// ErrMachineTaken means that a Machine has been used or closed before.
var ErrMachineTaken = errors.New("this machine has been used already")

// Prepare begins to make a machine and does not wait for it. If that fails, New with it says why.
func Prepare() *Machine {
	m := &Machine{made: make(chan struct{})}
	go func() {
		defer close(m.made)
		if m.system, m.err = kvm.Open(); m.err == nil {
			m.machine, m.err = m.system.NewMachine()
		}
	}()
	return m
}

// take waits until the machine is made and hands it out, once; on an error there may be a System to be closed.
func (m *Machine) take() (*kvm.System, *kvm.Machine, error) {
	<-m.made
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken {
		return nil, nil, ErrMachineTaken
	}
	m.taken = true
	return m.system, m.machine, m.err
}

// Close releases a machine that no VM has used, waiting until it is made. It is idempotent.
func (m *Machine) Close() error {
	system, machine, _ := m.take()
	return closeMachine(system, machine)
}

// closeMachine closes what there is of a machine.
func closeMachine(system *kvm.System, machine *kvm.Machine) error {
	var errs []error
	if machine != nil {
		errs = append(errs, machine.Close())
	}
	if system != nil {
		errs = append(errs, system.Close())
	}
	return errors.Join(errs...)
}
