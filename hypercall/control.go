package hypercall

// Frame is the state of interrupted guest code, all but vector registers, which the guest saves itself. It is laid out
// like struct kvm_regs (Documentation/virt/kvm/api.rst, KVM_GET_REGS).
type Frame struct {
	RAX, RBX, RCX, RDX uint64
	RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11   uint64
	R12, R13, R14, R15 uint64
	RIP, RFLAGS        uint64
}

// Control is the control page of the vCPU at ControlVA.
//
// An upcall is how the monitor gets the guest kernel's attention while other guest code runs. If Mask is 0 the monitor
// stores the interrupted registers in Frame and the reason in Vector, Error and Address, sets Mask to 1, and continues
// the vCPU at StartArgs.Upcall on StartArgs.UpcallStack. If Mask is 1 the kernel is at work already; the monitor then
// sets Pending to 1 and tries again a little later. The kernel looks at Pending before it clears Mask.
//
// The monitor looks at Deadline when it lets code run that can be interrupted (Mask is 0), and when it interrupts. A
// kernel that sets a Deadline before Armed says so with CallKick; otherwise that time would pass unnoticed.
//
// The kernel goes back to interrupted code by clearing Mask and then jumping through Resume with all other registers
// in place, at the instruction StartArgs.Return. An upcall that hits on exactly that instruction takes Resume for the
// interrupted RIP, since Resume would be overwritten by the next return.
type Control struct {
	Mask     uint64 // IN, OUT: 1 while the kernel must not be interrupted
	Pending  uint64 // OUT: an upcall was wanted while Mask was 1; the kernel clears it
	Resume   uint64 // IN: where the return path jumps to
	Deadline uint64 // IN: guest monotonic time in ns of the next upcall wanted, 0 means none
	Signals  uint64 // OUT: bit n-1 is set when signal n has been sent from outside; the kernel clears what it takes
	Vector   uint64 // OUT: exception vector that caused the upcall, or NoException
	Error    uint64 // OUT: its error code
	Address  uint64 // OUT: the faulting address (CR2) of a page fault
	Resident uint64 // OUT: bytes of guest RAM in use, page tables included
	Frame    Frame  // OUT: the interrupted registers
	Armed    uint64 // OUT: guest monotonic time in ns of the next interruption, 0 means none is due

	Ready uint64 // OUT: Ready bits that the kernel has not heard of; it clears what it takes

	_ [3]uint64

	Args [16]uint64 // the argument block of a Call: one of the Args structs
	Log  Log        // what the monitor reads for its reports; nothing depends on it
}

// NoException is Control.Vector of an upcall that no exception caused.
const NoException = ^uint64(0)

// Log is counted by the guest kernel and read by the monitor for --trace and reports.
type Log struct {
	Switches uint64              // IN: thread switches
	Upcalls  uint64              // IN: upcalls taken
	Gates    uint64              // IN: system calls through the gate
	Unserved [UnservedMax]uint32 // IN: system calls answered with ENOSYS, by number

	Counters     GVA    // IN: array of Counter, for --stats; 0 if there is none
	CounterCount uint64 // IN: its length, CountersMax at most
}

// Counter is a counter that the monitor may read when the guest has ended, and what it is called.
type Counter struct {
	Name  [48]byte // IN: NUL-terminated, printable
	Value GVA      // IN: a 64-bit number, little-endian
}

// CountersMax bounds the counters a guest can name.
const CountersMax = 1024

// UnservedMax bounds the system call numbers counted one by one.
const UnservedMax = 512
