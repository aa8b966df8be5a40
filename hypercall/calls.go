package hypercall

// Version is the version of this contract. An image carries the one it was built for in its header, and the monitor
// refuses any other.
const Version = 7

// Call is the number of a synchronous call. The guest makes it with a 32-bit OUT of any value to the port
// PortCall + Call, after filling the argument block in the control page; when the OUT retires, the call is done and
// the OUT fields are valid. Registers are untouched. Only Poll blocks. A call the monitor cannot serve as specified
// (bad address, unknown number, out of range) ends the guest: there are no error codes for what only a broken or
// hostile guest does.
type Call uint16

// The calls and their argument blocks.
const (
	CallHalt         Call = iota // HaltArgs: the program has ended
	CallAbort                    // AbortArgs: the guest kernel cannot go on
	CallStart                    // StartArgs: fixes the upcall entry, once, before anything else
	CallPoll                     // PollArgs: sleep until something is to be done
	CallConsoleWrite             // ConsoleWriteArgs
	CallConsoleRead              // ConsoleReadArgs
	CallMemory                   // MemoryArgs: change mappings that may be present
	CallTime                     // no arguments: bring the clock page up to date
	CallEntropy                  // EntropyArgs
	CallKick                     // no arguments: serve all rings now, and look at Deadline again

	CallMax
)

// Ports a guest can write to. The I/O bitmap opens those of the calls and no others, but it cannot tell OUT from IN, nor widths: the
// monitor accepts 32-bit OUTs with a count of one and ends the guest at anything else.
const (
	PortCall = 0x500 // + Call

	// PortException is where the exit stubs, which run at CPL 0, report exceptions: + vector, below 32. Not open to the
	// guest. The ports fit the instruction OUT imm8, which needs no register.
	PortException = 0xa0
)

// HaltArgs ends the guest in an orderly way.
type HaltArgs struct {
	Status uint64 // IN: exit code, 0 to 255
	Signal uint64 // IN: the signal that ended the program, or 0
}

// AbortArgs ends the guest because its kernel met something it cannot handle.
type AbortArgs struct {
	Text GVA    // IN: one sentence, UTF-8
	Len  uint64 // IN: at most 4096
}

// StartArgs tells the monitor the addresses it needs for upcalls (see Control). It takes them once, checks that they
// lie in the image (code in an executable segment), and never reads them again.
type StartArgs struct {
	Upcall      GVA // IN: entry of upcalls
	UpcallStack GVA // IN: initial RSP there
	Gate        GVA // IN: entry of system calls, where a stray SYSCALL instruction is sent
	Return      GVA // IN: the jump through Control.Resume that ends the return to an interrupted thread
}

// PollArgs waits. The monitor first sends what the rings hold, then sleeps until a device has something, a signal
// arrives or the deadline passes. It also brings the clock page up to date.
type PollArgs struct {
	Deadline uint64 // IN: guest monotonic time in ns, 0 means none, any time in the past means do not sleep
	Ready    uint64 // OUT: Ready bits
}

// Ready bits of PollArgs and Control.Ready. Devices are not among them: their rings tell. Those of the console are said
// once for each call that had to be answered with "not yet".
const (
	ReadySignal  = 1 << iota // Control.Signals is not empty
	ReadyConsole             // since ConsoleRead returned nothing: it would return something, or the end of input
	ReadyOutput              // since ConsoleWrite returned EAGAIN: it would take something
)

// ConsoleWriteArgs writes to the guest's standard output or standard error. It does not wait for whoever reads that.
type ConsoleWriteArgs struct {
	Stream uint64 // IN: 1 or 2
	Addr   GVA    // IN
	Len    uint64 // IN: at most MaxConsole
	N      uint64 // OUT: bytes taken; less than Len if there is no room yet (EAGAIN), or the other end is gone (EPIPE) or full (EIO, ENOSPC)
	Errno  uint64 // OUT: Linux errno if N < Len
}

// ConsoleReadArgs takes what has arrived on standard input; it does not wait. A Len of 0 asks for ReadyConsole.
type ConsoleReadArgs struct {
	Addr  GVA    // IN
	Len   uint64 // IN: at most MaxConsole
	N     uint64 // OUT: bytes stored
	End   uint64 // OUT: 1 when N is 0 and no more will come
	Errno uint64 // OUT: Linux errno if the host could not read
}

// MaxConsole is the most one console call carries.
const MaxConsole = 1 << 20

// MemoryArgs changes present mappings. The operations are done in order.
type MemoryArgs struct {
	Ops   GVA    // IN: array of MemoryOp
	Count uint64 // IN: at most MaxMemoryOps
	Done  uint64 // OUT: how many were done; less than Count only when guest memory is used up (MemoryCommit)
}

// EntropyArgs fetches random bytes from the host.
type EntropyArgs struct {
	Addr GVA    // IN
	Len  uint64 // IN: at most 256
}
