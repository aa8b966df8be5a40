package monitor

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ukvm.dev/devices/clock"
	"ukvm.dev/devices/console"
	"ukvm.dev/devices/share"
	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/monitor/loader"
	"ukvm.dev/monitor/paging"
)

// VM is one virtual machine with its program. Run may be called once. The other methods may be called at any time by any
// goroutine, but for Close: not by what Run itself calls, a stream of the console or a link.
type VM struct {
	config  Config
	system  *kvm.System
	machine *kvm.Machine
	vcpu    *kvm.VCPU
	space   *space
	stack   hypercall.GVA // the guest's first stack pointer
	image   *os.File
	desc    *paging.Descriptors
	clock   *clock.Clock
	console *console.Console
	nics    []*nic
	shares  []*share.Device
	wakeFD  int // eventfd: ends the guest's sleep in Poll

	stopping atomic.Bool
	quit     chan struct{} // closed when stopping is set
	signals  atomic.Uint64 // to be sent to the guest: bit n-1 is signal n
	stats    counters

	entry   hypercall.StartArgs // where upcalls go, once the guest has said so
	stage   stage
	retries int // page faults in a row that changed nothing
	pieces  [][]byte
	polls   []unix.PollFd
	busyIO  int64 // when the rings are served next if the guest stays busy, CLOCK_MONOTONIC ns
	pace    int64 // ns between such services
	halting haltPolling
	yielded int64 // when the vCPU's goroutine last went through Go's scheduler, CLOCK_MONOTONIC ns

	mu       sync.Mutex
	ended    chan struct{} // made by Run, closed when it returns
	closed   bool          // Close was called
	released bool          // nothing is left that a kick could reach
}

// stage is how far a guest has come.
type stage int

const (
	stageBoot    stage = iota // before CallStart
	stageRunning              // upcalls are possible
)

// New makes a VM ready to run. Errors wrap kvm.ErrMissing, kvm.ErrPermission or kvm.ErrUnfit if there is no usable KVM,
// one of package loader's if the image cannot be run, ErrConfig if the configuration makes no sense, and the
// file system's if the image cannot be opened.
func New(config Config) (*VM, error) {
	vm := &VM{config: config, wakeFD: -1, quit: make(chan struct{})}
	err := vm.config.check()
	if err == nil {
		err = vm.build()
	}
	if err != nil {
		if config.Machine != nil {
			config.Machine.Close()
		}
		vm.Close()
		return nil, err
	}
	return vm, nil
}

// build makes the parts of a VM. KVM takes about as long to make a machine as it takes to fill the guest's memory, so
// that goes on meanwhile.
func (vm *VM) build() error {
	image, err := vm.openImage()
	if err != nil {
		return err
	}
	machine := vm.config.Machine
	if machine == nil {
		machine = Prepare()
	}
	err = vm.fillMemory(image)
	var machineErr error
	if vm.system, vm.machine, machineErr = machine.take(); machineErr != nil {
		return machineErr
	}
	vm.vcpu = vm.machine.VCPU()
	if err != nil {
		return tooSmall(err, vm.config.Memory)
	}
	for _, s := range vm.space.ram.Slots() {
		if err := vm.machine.AddMemory(uint64(s.GPA), s.Mem); err != nil {
			return err
		}
	}
	if vm.wakeFD, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("make eventfd: %w", err)
	}
	vm.console = console.New(vm.config.Stdin, vm.config.Stdout, vm.config.Stderr, vm.interrupt)
	return vm.startProcessor(image.Entry)
}

// tooSmall explains an error that comes from too little guest memory.
func tooSmall(err error, size uint64) error {
	if errors.Is(err, paging.ErrNoMemory) {
		return fmt.Errorf("%w: the image and its files do not fit into %d MiB of memory", ErrConfig, size>>20)
	}
	return err
}

func (vm *VM) openImage() (*loader.Image, error) {
	f, err := os.Open(vm.config.Image)
	if err != nil {
		return nil, err
	}
	vm.image = f
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, fmt.Errorf("%s: %w", vm.config.Image, loader.ErrNotELF)
	}
	m, err := loader.Load(f, st.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", vm.config.Image, err)
	}
	return m, nil
}

// Signal sends the program a signal, as kill(2) would from outside. SIGKILL ends it at once.
func (vm *VM) Signal(s unix.Signal) error {
	if s < 1 || s > 64 {
		return fmt.Errorf("%w: signal %d", ErrConfig, int(s))
	}
	vm.signals.Or(1 << (s - 1))
	vm.interrupt()
	return nil
}

// stop ends the guest where it is.
func (vm *VM) stop() {
	if vm.stopping.CompareAndSwap(false, true) {
		close(vm.quit)
	}
	vm.interrupt()
}

// interrupt makes the vCPU's thread look around: whether it sleeps for the guest or the guest runs.
func (vm *VM) interrupt() {
	vm.wake()
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.ended != nil && !vm.released {
		vm.vcpu.Kick()
	}
}

// wake ends the guest's sleep in Poll.
func (vm *VM) wake() {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.released {
		return // the descriptor may be someone else's by now
	}
	// Full (EAGAIN) means that a wake-up is under way already.
	_, _ = unix.Write(vm.wakeFD, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// Close releases everything the VM holds. If Run is running it stops the guest where it is and waits until Run has
// returned, with ErrClosed. Close is idempotent.
func (vm *VM) Close() error {
	vm.mu.Lock()
	if vm.closed {
		vm.mu.Unlock()
		return nil
	}
	vm.closed = true
	ended := vm.ended
	vm.mu.Unlock()
	if ended != nil {
		vm.stop()
		<-ended
	}
	vm.mu.Lock()
	vm.released = true
	vm.mu.Unlock()
	var errs []error
	if vm.console != nil {
		vm.console.Close()
	}
	for _, d := range vm.shares {
		d.Close()
	}
	errs = append(errs, closeMachine(vm.system, vm.machine))
	for _, n := range vm.nics {
		errs = append(errs, n.closeRing()) // after the machine, or the guest would see what comes to lie there
	}
	if vm.space != nil {
		errs = append(errs, vm.space.close())
	}
	if vm.image != nil {
		errs = append(errs, vm.image.Close())
	}
	if vm.wakeFD >= 0 {
		errs = append(errs, unix.Close(vm.wakeFD))
	}
	return errors.Join(errs...)
}
