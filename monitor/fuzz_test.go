package monitor

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
)

// FuzzCalls makes hypercalls with arbitrary numbers and argument blocks, over a region table that changes in between. A
// call is served, or it ends the guest with a sentence; never anything else, and never with more memory than there is.
func FuzzCalls(f *testing.F) {
	const base = uint64(mapped)
	places := []uint64{
		0, 1, base, base + 1, base + page - 8, base + 16*page - 1, base + 16*page, base + 17*page + 8, base + 18*page - 4,
		uint64(hypercall.ControlVA), uint64(hypercall.ClockVA), uint64(hypercall.BootVA), uint64(hypercall.RegionsVA), uint64(hypercall.RingsVA),
		uint64(hypercall.SharedEnd) - 1, uint64(hypercall.ImageBase), uint64(hypercall.ArchiveVA), uint64(hypercall.StackTop) - 16,
		uint64(hypercall.UserEnd) - 1, uint64(hypercall.MonitorBase), 1 << 47, 1 << 63, ^uint64(0) - 4095, ^uint64(0),
	}
	sizes := []uint64{0, 1, 2, 8, 24, 255, 256, 257, page, page + 1, 64, 65, 5 * page, hypercall.MaxConsole, hypercall.MaxConsole + 1, 1 << 32, 1 << 63, ^uint64(0)}
	f.Fuzz(func(t *testing.T, b []byte) {
		vm := withMemory(t, Config{Stdout: io.Discard, Stdin: strings.NewReader("some input")})
		word := func() (w uint64) {
			if len(b) == 0 {
				return 0
			}
			kind := b[0]
			b = b[1:]
			switch {
			case kind < 100:
				return places[int(kind)%len(places)]
			case kind < 220:
				return sizes[int(kind)%len(sizes)]
			}
			var raw [8]byte
			b = b[copy(raw[:], b):]
			return binary.LittleEndian.Uint64(raw[:])
		}
		for len(b) > 0 {
			switch n := b[0]; n % 16 {
			case 14: // another region
				b = b[1:]
				r := region(hypercall.GVA(word()), hypercall.GVA(word()), uint32(word()))
				i := word() % 8
				vm.space.regions.Table[i] = r
				vm.space.regions.Count = max(vm.space.regions.Count%16, i)
			case 15: // memory operations
				b = b[1:]
				o := [1]hypercall.MemoryOp{{Op: uint32(word()) % 5, Prot: uint32(word()) % 9, Start: hypercall.GVA(word()), End: hypercall.GVA(word())}}
				vm.space.write(mapped, bytesOf(&o)) // fails if nothing is mapped there any more
				serve(t, vm, hypercall.CallMemory, base, 1, 0)
			default:
				b = b[1:]
				call := hypercall.Call(n % 16)
				args := [4]uint64{word(), word(), word(), word()}
				if call == hypercall.CallPoll {
					args[0] = 1 // long past
				}
				serve(t, vm, call, args[:]...)
			}
		}
	})
}

func serve(t *testing.T, vm *VM, n hypercall.Call, args ...uint64) {
	t.Helper()
	vm.space.control.Deadline = 0 // there is no vCPU to interrupt then
	err := call(vm, n, args...)
	var e *ExitError
	if err != nil && !errors.Is(err, errEnded) && !errors.As(err, &e) {
		t.Fatalf("call %d, %#x: %v", n, args, err)
	}
	if e != nil && strings.ContainsAny(e.Error(), "\n\x00") {
		t.Fatalf("call %d: %q is no sentence", n, e.Error())
	}
	if used := vm.space.ram.Used(); used > vm.config.Memory {
		t.Fatalf("call %d: %d bytes of memory are in use, there are %d", n, used, vm.config.Memory)
	}
}
