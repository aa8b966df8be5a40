package monitor

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/loader"
)

// call makes a hypercall with an argument block.
func call(vm *VM, n hypercall.Call, args ...uint64) error {
	copy(vm.space.control.Args[:], args)
	return vm.call(int(n))
}

// result is word i of the argument block.
func result(vm *VM, i int) uint64 { return vm.space.control.Args[i] }

// mapped is a region of the guest's with 16 pages to read and write, with one to read only and one of code behind it.
const mapped = heap

func withMemory(t testing.TB, c Config) *VM {
	t.Helper()
	vm := withoutKVM(t, c)
	setRegions(vm.space, region(mapped, mapped+16*page, readWrite), region(mapped+16*page, mapped+17*page, readOnly),
		region(mapped+17*page, mapped+18*page, readExec))
	return vm
}

// TestViolations makes every call in every way that only a broken or hostile guest does. Each ends the guest, with a
// sentence that says what it did.
func TestViolations(t *testing.T) {
	const all = ^uint64(0)
	ops := uint64(mapped)
	for _, c := range []struct {
		name string
		op   *hypercall.MemoryOp // stored at mapped
		call hypercall.Call
		args []uint64
		says string
	}{
		{name: "a call that does not exist", call: hypercall.CallMax, says: "unknown call 10"},
		{name: "halt with a large status", call: hypercall.CallHalt, args: []uint64{256, 0}, says: "exit status 256"},
		{name: "halt with a larger status", call: hypercall.CallHalt, args: []uint64{all, 0}, says: "exit status 18446744073709551615"},
		{name: "halt with signal 65", call: hypercall.CallHalt, args: []uint64{0, 65}, says: "signal 65, which does not exist"},
		{name: "halt with a large signal", call: hypercall.CallHalt, args: []uint64{0, all}, says: "which does not exist"},
		{name: "abort with a long text", call: hypercall.CallAbort, args: []uint64{ops, 4097}, says: "text of 4097 bytes"},
		{name: "abort with no text", call: hypercall.CallAbort, args: []uint64{0, 8}, says: "not there"},
		{name: "abort across the end of memory", call: hypercall.CallAbort, args: []uint64{uint64(hypercall.UserEnd) - 4, 8}, says: "not there"},
		{name: "start again", call: hypercall.CallStart, says: "second start"},

		{name: "write to standard input", call: hypercall.CallConsoleWrite, args: []uint64{0, ops, 1}, says: "to stream 0"},
		{name: "write to stream 3", call: hypercall.CallConsoleWrite, args: []uint64{3, ops, 1}, says: "to stream 3"},
		{name: "write too much", call: hypercall.CallConsoleWrite, args: []uint64{1, ops, hypercall.MaxConsole + 1}, says: "write of 1048577 bytes"},
		{name: "write everything", call: hypercall.CallConsoleWrite, args: []uint64{1, ops, all}, says: "bytes to stream 1"},
		{name: "write from nowhere", call: hypercall.CallConsoleWrite, args: []uint64{1, 8, 8}, says: "8 bytes at 0x8, which are not mapped"},
		{name: "write across the end of a region", call: hypercall.CallConsoleWrite, args: []uint64{1, ops + 18*page - 1, 2}, says: "not mapped"},
		{name: "write what is the monitor's", call: hypercall.CallConsoleWrite, args: []uint64{1, uint64(hypercall.MonitorBase), 8}, says: "not mapped"},
		{name: "write from the last byte", call: hypercall.CallConsoleWrite, args: []uint64{2, all, 2}, says: "not mapped"},
		{name: "read too much", call: hypercall.CallConsoleRead, args: []uint64{ops, hypercall.MaxConsole + 1}, says: "read of 1048577 bytes"},
		{name: "read to nowhere", call: hypercall.CallConsoleRead, args: []uint64{0, 1}, says: "not mapped"},
		{name: "read to read-only memory", call: hypercall.CallConsoleRead, args: []uint64{ops + 16*page, 1}, says: "not mapped for it"},
		{name: "read to code", call: hypercall.CallConsoleRead, args: []uint64{ops + 17*page, 1}, says: "not mapped for it"},
		{name: "read to the clock page", call: hypercall.CallConsoleRead, args: []uint64{uint64(hypercall.ClockVA), 1}, says: "not mapped for it"},

		{name: "entropy beyond the limit", call: hypercall.CallEntropy, args: []uint64{ops, 257}, says: "257 bytes of entropy"},
		{name: "entropy for all", call: hypercall.CallEntropy, args: []uint64{ops, all}, says: "bytes of entropy"},
		{name: "entropy for nobody", call: hypercall.CallEntropy, args: []uint64{8, 32}, says: "entropy for 0x8, which is not mapped"},
		{name: "entropy for read-only memory", call: hypercall.CallEntropy, args: []uint64{ops + 16*page, 32}, says: "not mapped"},

		{name: "too many operations", call: hypercall.CallMemory, args: []uint64{ops, hypercall.MaxMemoryOps + 1}, says: "65 memory operations"},
		{name: "all operations", call: hypercall.CallMemory, args: []uint64{ops, all}, says: "memory operations in a call"},
		{name: "operations nowhere", call: hypercall.CallMemory, args: []uint64{8, 1}, says: "operations at 0x8 are not mapped"},
		{name: "operations across the end", call: hypercall.CallMemory, args: []uint64{uint64(hypercall.UserEnd) - 8, 1}, says: "not mapped"},
		{name: "operations that wrap round", call: hypercall.CallMemory, args: []uint64{all - 7, 2}, says: "not mapped"},
		{name: "operation 0", op: op(0, readOnly, mapped, mapped+page), says: "memory operation 0"},
		{name: "operation 4", op: op(4, readOnly, mapped, mapped+page), says: "memory operation 4"},
		{name: "writable and executable", op: op(hypercall.MemoryProtect, writeBit|execBit, mapped, mapped+page), says: "memory protection 0x6"},
		{name: "committed writable and executable", op: op(hypercall.MemoryCommit, 7, mapped, mapped+page), says: "memory protection 0x7"},
		{name: "unknown protection", op: op(hypercall.MemoryProtect, 8, mapped, mapped+page), says: "memory protection 0x8"},
		{name: "odd beginning", op: op(hypercall.MemoryDrop, 0, mapped+1, mapped+page), says: "memory operation on"},
		{name: "odd end", op: op(hypercall.MemoryDrop, 0, mapped, mapped+page+8), says: "memory operation on"},
		{name: "end before beginning", op: op(hypercall.MemoryDrop, 0, mapped+page, mapped), says: "memory operation on"},
		{name: "drop the control page", op: op(hypercall.MemoryDrop, 0, hypercall.ControlVA, hypercall.ClockVA), says: "memory operation on 0x200000"},
		{name: "make the clock page writable", op: op(hypercall.MemoryProtect, readWrite, hypercall.ClockVA, hypercall.BootVA), says: "memory operation on 0x201000"},
		{name: "drop everything", op: op(hypercall.MemoryDrop, 0, 0, hypercall.UserEnd), says: "memory operation on 0x0"},
		{name: "drop what is behind the end", op: op(hypercall.MemoryDrop, 0, mapped, hypercall.UserEnd+page), says: "memory operation on"},
		{name: "drop the monitor's pages", op: op(hypercall.MemoryDrop, 0, hypercall.MonitorBase, hypercall.MonitorBase+page), says: "memory operation on"},
		{name: "to the end of addresses", op: op(hypercall.MemoryProtect, readOnly, mapped, ^hypercall.GVA(page-1)), says: "memory operation on"},
	} {
		vm := withMemory(t, Config{})
		if c.op != nil {
			storeOps(t, vm, *c.op)
			c.call, c.args = hypercall.CallMemory, []uint64{ops, 1}
		}
		checkExit(t, c.name, call(vm, c.call, c.args...), Violation, c.says)
	}
}

func op(op uint32, prot uint32, start, end hypercall.GVA) *hypercall.MemoryOp {
	return &hypercall.MemoryOp{Op: op, Prot: prot, Start: start, End: end}
}

// storeOps lays operations at mapped.
func storeOps(t testing.TB, vm *VM, ops ...hypercall.MemoryOp) {
	t.Helper()
	for i := range ops {
		one := [1]hypercall.MemoryOp{ops[i]}
		if err := vm.space.write(mapped+hypercall.GVA(uint64(i)*memoryOpSize), bytesOf(&one)); err != nil {
			t.Fatal(err)
		}
	}
}

// checkExit checks that an error is an ExitError with a reason and a sentence.
func checkExit(t *testing.T, name string, err error, reason Reason, says string) {
	t.Helper()
	var e *ExitError
	if !errors.As(err, &e) || e.Reason != reason || !strings.Contains(e.Error(), says) {
		t.Errorf("%s: %v; want reason %d about %q", name, err, reason, says)
		return
	}
	if s := e.Error(); strings.ContainsAny(s, "\n\x00") || strings.HasSuffix(s, ".") {
		t.Errorf("%s: %q is not a sentence", name, s)
	}
}

// TestBeforeStart checks that a kernel which has not started can only end, or start.
func TestBeforeStart(t *testing.T) {
	for n := range hypercall.CallMax + 1 {
		switch n {
		case hypercall.CallStart, hypercall.CallHalt, hypercall.CallAbort:
			continue
		}
		vm := withMemory(t, Config{})
		vm.stage = stageBoot
		checkExit(t, "call", call(vm, n), Violation, "before the guest kernel has started")
	}
}

// TestStart checks the addresses a kernel may give for upcalls. A good set needs a vCPU.
func TestStart(t *testing.T) {
	const code, rodata, data = hypercall.ImageBase, hypercall.ImageBase + 4*page, hypercall.ImageBase + 8*page
	image := &loader.Image{Segments: []loader.Segment{
		{Start: code, Size: page, Prot: readExec}, {Start: rodata, Size: page, Prot: readOnly}, {Start: data, Size: page, Prot: readWrite},
	}}
	for _, c := range []struct {
		name string
		args [4]hypercall.GVA // upcall, its stack, gate, return
		says string
	}{
		{"upcalls to data", [4]hypercall.GVA{data, data + page, code, code}, "not code"},
		{"upcalls to read-only data", [4]hypercall.GVA{rodata, data + page, code, code}, "not code"},
		{"upcalls to nowhere", [4]hypercall.GVA{0, data + page, code, code}, "start with 0x0"},
		{"upcalls to the monitor", [4]hypercall.GVA{hypercall.MonitorBase + 0x2000, data + page, code, code}, "not code"},
		{"upcalls behind the code", [4]hypercall.GVA{code + page, data + page, code, code}, "not code"},
		{"gate not canonical", [4]hypercall.GVA{code, data + page, 1 << 47, code}, "not code"},
		{"return to the end of addresses", [4]hypercall.GVA{code, data + page, code, ^hypercall.GVA(0)}, "not code"},
		{"stack in code", [4]hypercall.GVA{code, code + page, code, code}, "stack at"},
		{"stack in read-only data", [4]hypercall.GVA{code, rodata + page, code, code}, "stack at"},
		{"stack that begins at its end", [4]hypercall.GVA{code, data, code, code}, "stack at"},
		{"stack behind the data", [4]hypercall.GVA{code, data + page + 9, code, code}, "stack at"},
		{"no stack", [4]hypercall.GVA{code, 0, code, code}, "stack at 0x0"},
		{"stack at 1", [4]hypercall.GVA{code, 1, code, code}, "stack at 0x1"},
	} {
		vm := withMemory(t, Config{})
		vm.stage = stageBoot
		vm.space.image = image
		err := call(vm, hypercall.CallStart, uint64(c.args[0]), uint64(c.args[1]), uint64(c.args[2]), uint64(c.args[3]))
		checkExit(t, c.name, err, Violation, c.says)
		if vm.stage != stageBoot {
			t.Errorf("%s: the kernel has started", c.name)
		}
	}
}

func TestHalt(t *testing.T) {
	vm := withMemory(t, Config{})
	if err := call(vm, hypercall.CallHalt, 0, 0); !errors.Is(err, errEnded) {
		t.Errorf("status 0: %v", err)
	}
	var e *ExitError
	if err := call(vm, hypercall.CallHalt, 255, 0); !errors.As(err, &e) || e.Reason != Exited || e.Code != 255 {
		t.Errorf("status 255: %v", err)
	}
	if err := call(vm, hypercall.CallHalt, 7, 15); !errors.As(err, &e) || e.Reason != Signaled || e.Signal != unix.SIGTERM || e.Code != 143 {
		t.Errorf("signal 15: %v", err)
	}
	if err := call(vm, hypercall.CallHalt, 0, 64); !errors.As(err, &e) || e.Code != 192 {
		t.Errorf("signal 64: %v", err)
	}
}

func TestAbort(t *testing.T) {
	vm := withMemory(t, Config{})
	text := "no \xff way\x00out"
	if err := vm.space.write(mapped+page-3, []byte(text)); err != nil {
		t.Fatal(err)
	}
	var e *ExitError
	err := call(vm, hypercall.CallAbort, uint64(mapped)+page-3, uint64(len(text)))
	if !errors.As(err, &e) || e.Reason != KernelFault || e.Code != 134 || !strings.HasPrefix(e.Error(), "guest kernel stopped: no ? way") {
		t.Errorf("%v", err)
	}
	if err := call(vm, hypercall.CallAbort, 0, 0); !errors.As(err, &e) || e.Reason != KernelFault {
		t.Errorf("without a text: %v", err)
	}
}

// limited is a stream that takes so many bytes and then fails.
type limited struct {
	bytes.Buffer
	left int
	err  error
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	l.Buffer.Write(b[:n])
	if n < len(b) {
		return n, l.err
	}
	return n, nil
}

func TestConsoleWrite(t *testing.T) {
	out, diskFull := &bytes.Buffer{}, &limited{left: page + 5, err: unix.ENOSPC}
	vm := withMemory(t, Config{Stdout: out, Stderr: diskFull})
	text := bytes.Repeat([]byte("console!"), 2*page/8)
	if err := vm.space.write(mapped+100, text); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		stream, at, len uint64
		n, errno        uint64
	}{
		{"all", 1, 100, 2 * page, 2 * page, 0},
		{"nothing", 1, 0, 0, 0, 0},
		{"nothing from page 0", 1, 8 + ^uint64(mapped) + 1, 0, 0, 0},
		{"until the disk is full", 2, 100, 2 * page, page + 5, uint64(unix.ENOSPC)},
		{"to the full disk", 2, 100, 10, 0, uint64(unix.ENOSPC)},
	} {
		if err := call(vm, hypercall.CallConsoleWrite, c.stream, uint64(mapped)+c.at, c.len, 77, 77); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if n, errno := result(vm, 3), result(vm, 4); n != c.n || errno != c.errno {
			t.Errorf("%s: %d bytes, errno %d; want %d, %d", c.name, n, errno, c.n, c.errno)
		}
	}
	if !bytes.Equal(out.Bytes(), text) || !bytes.Equal(diskFull.Bytes(), text[:page+5]) {
		t.Error("what arrived is not what was written")
	}
}

func TestConsoleRead(t *testing.T) {
	vm := withMemory(t, Config{Stdin: strings.NewReader("line\n")})
	read := func(at, n uint64) (got, end, errno uint64) {
		t.Helper()
		if err := call(vm, hypercall.CallConsoleRead, uint64(mapped)+at, n, 77, 77, 77); err != nil {
			t.Fatal(err)
		}
		return result(vm, 2), result(vm, 3), result(vm, 4)
	}
	got, end, errno := read(page-2, 3)
	for got == 0 && end == 0 && errno == 0 { // the first call starts reading; poll would say when
		if err := call(vm, hypercall.CallPoll, 0); err != nil {
			t.Fatal(err)
		}
		got, end, errno = read(page-2, 3)
	}
	if got != 3 || end != 0 || errno != 0 {
		t.Fatalf("%d bytes, end %d, errno %d; want 3", got, end, errno)
	}
	var b [3]byte
	if err := vm.space.read(b[:], mapped+page-2); err != nil || string(b[:]) != "lin" {
		t.Errorf("read %q, %v", b, err)
	}
	if got, end, errno := read(0, 100); got != 2 || end != 0 || errno != 0 {
		t.Errorf("%d bytes, end %d, errno %d; want the rest", got, end, errno)
	}
	for {
		if got, end, errno = read(0, 100); end == 1 {
			break
		}
		if got != 0 || errno != 0 {
			t.Fatalf("%d bytes, errno %d; want the end", got, errno)
		}
		if err := call(vm, hypercall.CallPoll, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got != 0 || errno != 0 {
		t.Errorf("at the end: %d bytes, errno %d", got, errno)
	}
}

func TestEntropy(t *testing.T) {
	vm := withMemory(t, Config{})
	for _, n := range []uint64{0, 1, 32, 256} {
		if err := vm.space.write(mapped+page-16, make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
		if err := call(vm, hypercall.CallEntropy, uint64(mapped)+page-16, n); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 512)
		if err := vm.space.read(b, mapped+page-16); err != nil {
			t.Fatal(err)
		}
		if n >= 32 && bytes.Count(b[:n], []byte{0}) > int(n)/4 {
			t.Errorf("%d bytes of entropy: % x", n, b[:n])
		}
		if !bytes.Equal(b[n:], make([]byte, 512-n)) {
			t.Errorf("more than %d bytes were written", n)
		}
	}
}

func TestMemory(t *testing.T) {
	vm := withMemory(t, Config{})
	const at = mapped + 8*page
	storeOps(t, vm,
		*op(hypercall.MemoryCommit, readWrite, at, at+4*page),
		*op(hypercall.MemoryProtect, readOnly, at, at+page),
		*op(hypercall.MemoryDrop, ^uint32(0), at+2*page, at+3*page), // its protection does not matter
		*op(hypercall.MemoryProtect, none, at+3*page, at+4*page),
	)
	if err := call(vm, hypercall.CallMemory, uint64(mapped), 4); err != nil {
		t.Fatal(err)
	}
	if done := result(vm, 2); done != 4 {
		t.Errorf("%d operations done", done)
	}
	for i, want := range []struct {
		prot uint32
		ok   bool
	}{{readOnly, true}, {readWrite, true}, {0, false}, {0, false}} {
		if _, prot, ok := vm.space.tables.Lookup(at + hypercall.GVA(i*page)); prot != want.prot || ok != want.ok {
			t.Errorf("page %d: %v, protection %d; want %v, %d", i, ok, prot, want.ok, want.prot)
		}
	}
	if vm.Stats().Resident != vm.space.ram.Used() {
		t.Errorf("%d bytes are said to be in use, %d are", vm.Stats().Resident, vm.space.ram.Used())
	}
	if err := call(vm, hypercall.CallMemory, 0, 0); err != nil || result(vm, 2) != 0 {
		t.Errorf("no operations, nowhere: %v", err)
	}
}

// TestMemoryUsedUp checks that a guest learns which operation there was no memory for.
func TestMemoryUsedUp(t *testing.T) {
	vm := withMemory(t, Config{Memory: MinMemory})
	for _, size := range []hypercall.GVA{MinMemory, MinMemory + page, 1 << 40} {
		storeOps(t, vm,
			*op(hypercall.MemoryCommit, readWrite, mapped+8*page, mapped+9*page),
			*op(hypercall.MemoryCommit, readWrite, heap+1<<30, heap+1<<30+size),
			*op(hypercall.MemoryDrop, 0, mapped+8*page, mapped+9*page),
		)
		if err := call(vm, hypercall.CallMemory, uint64(mapped), 3); err != nil || result(vm, 2) != 1 {
			t.Errorf("committing %d bytes: %v, %d operations done; want 1", size, err, result(vm, 2))
		}
		if present(vm.space, mapped+8*page, mapped+9*page) != 1 {
			t.Error("an operation behind the one that failed was done")
		}
		if err := vm.space.drop(heap+1<<30, heap+1<<30+size); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCallOutOfMemory names memory in a call that is mapped but that there is no room for.
func TestCallOutOfMemory(t *testing.T) {
	vm := withMemory(t, Config{Memory: MinMemory, Stdout: io.Discard})
	for ok := true; ok; {
		_, ok = vm.space.ram.Alloc(0)
	}
	checkExit(t, "console write", call(vm, hypercall.CallConsoleWrite, 1, uint64(mapped), 8), OutOfMemory, "8 MiB")
	checkExit(t, "entropy", call(vm, hypercall.CallEntropy, uint64(mapped), 8), OutOfMemory, "8 MiB")
	checkExit(t, "abort", call(vm, hypercall.CallAbort, uint64(mapped), 8), OutOfMemory, "8 MiB")
	checkExit(t, "memory", call(vm, hypercall.CallMemory, uint64(mapped), 1), OutOfMemory, "8 MiB")
}
