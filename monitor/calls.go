package monitor

import (
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ukvm.dev/devices/clock"
	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/monitor/paging"
)

// call serves a hypercall. An error ends the guest.
func (vm *VM) call(number int) error {
	c := vm.space.control
	n := hypercall.Call(number)
	if vm.config.Trace != nil {
		vm.config.Trace.Info("call", "number", number, "args", fmt.Sprintf("%#x", c.Args[:4]))
	}
	if vm.stage == stageBoot && n != hypercall.CallStart && n != hypercall.CallHalt && n != hypercall.CallAbort {
		return violation("call %d before the guest kernel has started", number)
	}
	switch n {
	case hypercall.CallHalt:
		return vm.halt(argsOf[hypercall.HaltArgs](c))
	case hypercall.CallAbort:
		return vm.abort(argsOf[hypercall.AbortArgs](c))
	case hypercall.CallStart:
		return vm.start(argsOf[hypercall.StartArgs](c))
	case hypercall.CallPoll:
		return vm.poll(argsOf[hypercall.PollArgs](c), resultOf[hypercall.PollArgs](c))
	case hypercall.CallConsoleWrite:
		return vm.consoleWrite(argsOf[hypercall.ConsoleWriteArgs](c), resultOf[hypercall.ConsoleWriteArgs](c))
	case hypercall.CallConsoleRead:
		return vm.consoleRead(argsOf[hypercall.ConsoleReadArgs](c), resultOf[hypercall.ConsoleReadArgs](c))
	case hypercall.CallMemory:
		return vm.memory(argsOf[hypercall.MemoryArgs](c), resultOf[hypercall.MemoryArgs](c))
	case hypercall.CallTime:
		if err := vm.clock.Update(); err != nil {
			return hostFailure("cannot keep the guest's time", err)
		}
		return nil
	case hypercall.CallEntropy:
		return vm.entropy(argsOf[hypercall.EntropyArgs](c))
	case hypercall.CallKick:
		moved, err := vm.serveRings()
		vm.pacing(clock.Monotonic(), moved)
		vm.armDeadline()
		return err
	}
	return violation("unknown call %d", number)
}

// errEnded ends the loop of a guest that has ended with status 0.
var errEnded = errors.New("ended")

func (vm *VM) halt(a hypercall.HaltArgs) error {
	vm.sendLast()
	if a.Signal != 0 {
		if a.Signal > 64 {
			return violation("ended by signal %d, which does not exist", a.Signal)
		}
		return signaled(unix.Signal(a.Signal))
	}
	if a.Status > 255 {
		return violation("exit status %d", a.Status)
	}
	if err := exited(int(a.Status)); err != nil {
		return err
	}
	return errEnded
}

func (vm *VM) abort(a hypercall.AbortArgs) error {
	const most = 4096
	if a.Len > most {
		return violation("abort with a text of %d bytes", a.Len)
	}
	text := make([]byte, a.Len)
	if err := vm.space.read(text, a.Text); err != nil {
		return vm.noAccess(err, "abort with a text that is not there")
	}
	return kernelFault("%s", printable(string(text)))
}

// start takes the addresses for upcalls, once.
func (vm *VM) start(a hypercall.StartArgs) error {
	if vm.stage != stageBoot {
		return violation("a second start")
	}
	for _, va := range []hypercall.GVA{a.Upcall, a.Gate, a.Return} {
		if s := vm.space.image.Find(va); s == nil || s.Prot&hypercall.ProtExec == 0 {
			return violation("start with %#x, which is not code of the image", va)
		}
	}
	if s := vm.space.image.Find(a.UpcallStack - 8); s == nil || s.Prot&hypercall.ProtWrite == 0 {
		return violation("start with a stack at %#x, which is not data of the image", a.UpcallStack)
	}
	// Where SYSCALL does not fault although EFER.SCE is clear, it goes here.
	if err := vm.vcpu.SetMSR(kvm.MSRLSTAR, uint64(a.Gate)); err != nil {
		return hostFailure("cannot set up the vCPU", err)
	}
	vm.entry, vm.stage = a, stageRunning
	if vm.signals.Load() != 0 {
		vm.vcpu.Kick() // they came too early for an upcall
	}
	return nil
}

func (vm *VM) consoleWrite(a hypercall.ConsoleWriteArgs, out *hypercall.ConsoleWriteArgs) error {
	if a.Stream != 1 && a.Stream != 2 || a.Len > hypercall.MaxConsole {
		return violation("console write of %d bytes to stream %d", a.Len, a.Stream)
	}
	pieces, err := vm.guest(a.Addr, a.Len, hypercall.ProtRead)
	if err != nil {
		return err
	}
	n, errno := vm.console.Write(int(a.Stream), pieces)
	out.N, out.Errno = uint64(n), uint64(errno)
	return nil
}

func (vm *VM) consoleRead(a hypercall.ConsoleReadArgs, out *hypercall.ConsoleReadArgs) error {
	if a.Len > hypercall.MaxConsole {
		return violation("console read of %d bytes", a.Len)
	}
	pieces, err := vm.guest(a.Addr, a.Len, hypercall.ProtWrite)
	if err != nil {
		return err
	}
	n, end, errno := vm.console.Read(pieces)
	out.N, out.End, out.Errno = uint64(n), 0, uint64(errno)
	if end {
		out.End = 1
	}
	return nil
}

// guest returns the memory that a call names. The slices are valid until the next use of guest.
func (vm *VM) guest(va hypercall.GVA, n uint64, access uint32) ([][]byte, error) {
	var err error
	vm.pieces, err = vm.space.slices(vm.pieces[:0], va, n, access)
	if err != nil {
		return nil, vm.noAccess(err, "a call names %d bytes at %#x, which are not mapped for it", n, va)
	}
	return vm.pieces, nil
}

// noAccess ends a guest because memory it has named cannot be used: the format says what it did wrong if it is not
// mapped.
func (vm *VM) noAccess(err error, format string, args ...any) error {
	switch {
	case errors.Is(err, errBadAddress):
		return violation(format, args...)
	case errors.Is(err, paging.ErrNoMemory):
		return outOfMemory(vm.config.Memory)
	}
	return hostFailure("cannot provide guest memory", err)
}

func (vm *VM) memory(a hypercall.MemoryArgs, out *hypercall.MemoryArgs) error {
	if a.Count > hypercall.MaxMemoryOps {
		return violation("%d memory operations in a call", a.Count)
	}
	var op [1]hypercall.MemoryOp
	for i := range a.Count {
		if err := vm.space.read(bytesOf(&op), a.Ops+hypercall.GVA(i*memoryOpSize)); err != nil {
			return vm.noAccess(err, "memory operations at %#x are not mapped", a.Ops)
		}
		switch err := vm.memoryOp(op[0]); {
		case errors.Is(err, paging.ErrNoMemory) && op[0].Op == hypercall.MemoryCommit:
			out.Done = i
			return nil
		case errors.Is(err, paging.ErrNoMemory):
			return outOfMemory(vm.config.Memory)
		case err != nil:
			return err
		}
	}
	out.Done = a.Count
	vm.stats.resident.Store(vm.space.used())
	return nil
}

func (vm *VM) memoryOp(op hypercall.MemoryOp) error {
	const page = hypercall.PageSize - 1
	if op.Start > op.End || op.Start&page != 0 || op.End&page != 0 || op.Start < hypercall.ImageBase || op.End > hypercall.UserEnd {
		return violation("memory operation on %#x to %#x", op.Start, op.End)
	}
	if op.Op != hypercall.MemoryDrop && !validProt(op.Prot) {
		return violation("memory protection %#x", op.Prot)
	}
	var err error
	switch op.Op {
	case hypercall.MemoryDrop:
		err = vm.space.drop(op.Start, op.End)
	case hypercall.MemoryProtect:
		err = vm.space.protect(op.Start, op.End, op.Prot)
	case hypercall.MemoryCommit:
		if uint64(op.End-op.Start) > vm.config.Memory {
			return paging.ErrNoMemory
		}
		err = vm.space.commit(op.Start, op.End, op.Prot)
	default:
		return violation("memory operation %d", op.Op)
	}
	if err != nil && !errors.Is(err, paging.ErrNoMemory) {
		return hostFailure("cannot change guest memory", err)
	}
	return err
}

func (vm *VM) entropy(a hypercall.EntropyArgs) error {
	var b [256]byte
	if a.Len > uint64(len(b)) {
		return violation("%d bytes of entropy in a call", a.Len)
	}
	rand.Read(b[:a.Len])
	if err := vm.space.write(a.Addr, b[:a.Len]); err != nil {
		return vm.noAccess(err, "entropy for %#x, which is not mapped", a.Addr)
	}
	return nil
}
