package kvm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
	"golang.org/x/sys/unix"
)

// runArea is struct kvm_run (include/uapi/linux/kvm.h), as far as it is used. gokvm's ends before validRegs.
type runArea struct {
	requestInterruptWindow uint8
	immediateExit          uint8
	_                      [6]uint8
	exitReason             uint32
	_                      [20]uint8
	exit                   [256]byte // depends on exitReason
	validRegs              uint64    // register sets KVM stores at each exit
	dirtyRegs              uint64    // register sets KVM loads at the next entry
	regs                   Regs
	sregs                  Sregs
}

const (
	runAreaSize = unsafe.Sizeof(runArea{})

	syncRegs  = 1 // KVM_SYNC_X86_REGS
	syncSregs = 2 // KVM_SYNC_X86_SREGS

	ioctlRun           = 0xae80
	ioctlGetMSRs       = 0xc008ae88
	ioctlSetMSRs       = 0x4008ae89
	ioctlGetVCPUEvents = 0x8040ae9f
)

// Exit reasons.
const (
	ExitIO            = 2
	ExitDebug         = 4
	ExitHalt          = 5
	ExitMMIO          = 6
	ExitShutdown      = 8
	ExitFailEntry     = 9
	ExitInternalError = 17
	ExitMemoryFault   = 39
)

// Errors of Run that are not failures.
var ErrInterrupted = errors.New("vCPU was interrupted")

func runAreaOf(mem []byte) *runArea {
	// Safety: newVCPU has checked that the mapping is large enough; it is page-aligned, shared with the kernel, and
	// stays mapped as long as the VCPU.
	return (*runArea)(unsafe.Pointer(unsafe.SliceData(mem)))
}

// addressOf returns the address of memory that Go does not manage.
func addressOf(mem []byte) uint64 {
	// Safety: the address only goes to the kernel; the caller keeps the mapping.
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
}

// Run runs the vCPU until it exits, and returns the exit reason, or ErrInterrupted if it was kicked (or the thread got
// another signal). Before, Regs and Sregs that were marked as changed are loaded; after, both are those of the guest.
// The calling goroutine is the one that called Bind.
func (v *VCPU) Run() (reason uint32, err error) {
	// Safety: no memory of Go's is passed. syscall.Syscall tells the scheduler, so a guest that runs for long keeps no
	// other goroutine and no garbage collection waiting.
	_, _, e := unix.Syscall(unix.SYS_IOCTL, v.rawFD, ioctlRun, 0)
	v.run.dirtyRegs = 0
	switch e {
	case 0:
		return v.run.exitReason, nil
	case unix.EINTR, unix.EAGAIN:
		v.clearKick()
		return 0, ErrInterrupted
	case unix.EFAULT:
		return ExitMemoryFault, nil
	}
	return 0, fmt.Errorf("run vCPU: %w", e)
}

// Regs are the general registers at the last exit. SetRegs makes changes to them count.
func (v *VCPU) Regs() *Regs { return &v.run.regs }

// SregsAtExit are the special registers at the last exit.
func (v *VCPU) SregsAtExit() *Sregs { return &v.run.sregs }

// LoadRegs has Regs loaded when the vCPU runs next.
func (v *VCPU) LoadRegs() { v.run.dirtyRegs |= syncRegs }

// LoadSregs has SregsAtExit loaded when the vCPU runs next.
func (v *VCPU) LoadSregs() { v.run.dirtyRegs |= syncSregs }

// IO describes an ExitIO.
type IO struct {
	Out   bool
	Size  uint8 // bytes: 1, 2 or 4
	Port  uint16
	Count uint32 // repetitions
}

// IO returns what an ExitIO is about.
func (v *VCPU) IO() IO {
	e := &v.run.exit
	// Safety: the fields of kvm_run.io lie within the exit union, aligned as C aligns them.
	return IO{Out: e[0] == 1, Size: e[1],
		Port:  *(*uint16)(unsafe.Pointer(&e[2])),
		Count: *(*uint32)(unsafe.Pointer(&e[4]))}
}

// Failure describes the exit reasons ExitFailEntry and ExitInternalError: the hardware's or KVM's own number.
func (v *VCPU) Failure() (number uint64) {
	// Safety: as in IO; both structures begin with the number.
	return *(*uint64)(unsafe.Pointer(&v.run.exit[0]))
}

// ExceptionDue reports whether the vCPU has met an exception that it has not delivered yet, as may be when Run was
// interrupted just then. The next Run begins with that, at whatever RIP there is by then, so RIP must stay as it is.
func (v *VCPU) ExceptionDue() (bool, error) {
	var e gokvm.VCPUEvents
	// Safety: e is laid out as struct kvm_vcpu_events and lives across the call.
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, v.rawFD, ioctlGetVCPUEvents, uintptr(unsafe.Pointer(&e))); errno != 0 {
		return false, fmt.Errorf("get events of the vCPU: %w", errno)
	}
	return e.E.Inject != 0 || e.E.Pending != 0, nil
}

// requestExit makes the current or the next KVM_RUN return at once.
func (v *VCPU) requestExit() { atomic.StoreUint32(v.exitWord(), 1<<8) }

func (v *VCPU) clearKick() { atomic.StoreUint32(v.exitWord(), 0) }

// exitWord is the aligned word that holds immediate_exit in its second byte; the other bytes are input fields that are
// zero in a machine without interrupt controller.
func (v *VCPU) exitWord() *uint32 {
	// Safety: the structure is page-aligned and its first four bytes are input fields.
	return (*uint32)(unsafe.Pointer(&v.run.requestInterruptWindow))
}

type msr struct {
	index    uint32
	reserved uint32
	data     uint64
}

type msrs struct {
	count, _ uint32
	entry    [1]msr
}

// MSR reads a model-specific register.
func (v *VCPU) MSR(index uint32) (uint64, error) {
	m := msrs{count: 1, entry: [1]msr{{index: index}}}
	if err := v.msrs(ioctlGetMSRs, &m); err != nil {
		return 0, fmt.Errorf("read MSR %#x: %w", index, err)
	}
	return m.entry[0].data, nil
}

// SetMSR writes a model-specific register.
func (v *VCPU) SetMSR(index uint32, value uint64) error {
	m := msrs{count: 1, entry: [1]msr{{index: index, data: value}}}
	if err := v.msrs(ioctlSetMSRs, &m); err != nil {
		return fmt.Errorf("write MSR %#x: %w", index, err)
	}
	return nil
}

func (v *VCPU) msrs(request uintptr, m *msrs) error {
	// Safety: m is laid out as struct kvm_msrs with one entry and lives across the call.
	n, _, e := unix.Syscall(unix.SYS_IOCTL, v.rawFD, request, uintptr(unsafe.Pointer(m)))
	if e != 0 {
		return e
	}
	if n != 1 {
		return ErrUnfit // KVM says how many it has done
	}
	return nil
}
