package monitor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/kvmtest"
)

// Vectors of exceptions.
const (
	vectorDE, vectorDB, vectorBP, vectorUD = 0, 1, 3, 6
	vectorSS, vectorGP, vectorMF           = 12, 13, 16
	vectorAC, vectorXF                     = 17, 19

	notrap = -1 // the instruction does something harmless
	ended  = -2 // it began anew, and its second start ended it
)

// trap runs an instruction in a started guest and returns the control page as the exception that it causes leaves it,
// with RIP relative to the instruction. The vector is notrap if there was none.
func trap(t *testing.T, name string, setup, instruction []byte) (vector int, c hypercall.Control, rip int64) {
	t.Helper()
	const noException = 99
	code := new(kvmtest.Code).Start("upcall").Raw(setup...).Label("here").Raw(instruction...).Halt(noException).
		Label("upcall").Halt(0)
	here := code.Address("here")
	vm := newGuest(t, code.Image(), Config{})
	err := runVM(t, vm)
	var exit *ExitError
	switch {
	case errors.As(err, &exit) && exit.Reason == Exited && exit.Code == noException:
		return notrap, c, 0
	case exit != nil && exit.Reason == Violation && exit.Text == violation("a second start").Error():
		return ended, c, 0
	case err != nil:
		t.Fatalf("%s: the guest ended with %v", name, err)
	}
	c = *vm.space.control
	return int(c.Vector), c, int64(c.Frame.RIP) - int64(here)
}

// TestTraps has every instruction that could tell a program about the machine below it, or change it, and every other
// way to an exception. Each becomes an upcall with the interrupted registers. Where processors differ, or a KVM that runs
// user mode with the host's own descriptor table and control registers, all that they may do is listed.
func TestTraps(t *testing.T) {
	type b = []byte
	data := rbx(uint64(kvmtest.DataVA))
	for _, c := range []struct {
		name        string
		setup       b
		instruction b
		vectors     []int
		code        int // the error code, if there is one to know
	}{
		{"hlt", nil, b{0xf4}, []int{vectorGP}, 0},
		{"cli", nil, b{0xfa}, []int{vectorGP}, 0},
		{"sti", nil, b{0xfb}, []int{vectorGP}, 0},
		{"clts", nil, b{0x0f, 0x06}, []int{vectorGP}, 0},
		{"invd", nil, b{0x0f, 0x08}, []int{vectorGP}, 0},
		{"wbinvd", nil, b{0x0f, 0x09}, []int{vectorGP}, 0},
		{"read CR0", nil, b{0x0f, 0x20, 0xc0}, []int{vectorGP}, 0},
		{"write CR0", nil, b{0x0f, 0x22, 0xc0}, []int{vectorGP}, 0},
		{"read CR2", nil, b{0x0f, 0x20, 0xd0}, []int{vectorGP}, 0},
		{"read CR3", nil, b{0x0f, 0x20, 0xd8}, []int{vectorGP}, 0},
		{"write CR3", nil, b{0x0f, 0x22, 0xd8}, []int{vectorGP}, 0},
		{"write CR4", nil, b{0x0f, 0x22, 0xe0}, []int{vectorGP}, 0},
		{"write CR8", nil, b{0x44, 0x0f, 0x22, 0xc0}, []int{vectorGP}, 0},
		{"read DR7", nil, b{0x0f, 0x21, 0xf8}, []int{vectorGP}, 0},
		{"write DR0", nil, b{0x0f, 0x23, 0xc0}, []int{vectorGP}, 0},
		{"lgdt", data, b{0x0f, 0x01, 0x13}, []int{vectorGP}, 0},
		{"lidt", data, b{0x0f, 0x01, 0x1b}, []int{vectorGP}, 0},
		{"lldt", nil, b{0x0f, 0x00, 0xd0}, []int{vectorGP}, 0},
		{"ltr", nil, b{0x0f, 0x00, 0xd8}, []int{vectorGP}, 0},
		{"lmsw", nil, b{0x0f, 0x01, 0xf0}, []int{vectorGP}, 0},
		{"invlpg", data, b{0x0f, 0x01, 0x3b}, []int{vectorGP}, 0},
		{"rdmsr", b{0xb9, 0x80, 0, 0, 0xc0}, b{0x0f, 0x32}, []int{vectorGP}, 0},
		{"wrmsr", b{0xb9, 0x82, 0, 0, 0xc0}, b{0x0f, 0x30}, []int{vectorGP}, 0},
		{"rdpmc", b{0x31, 0xc9}, b{0x0f, 0x33}, []int{vectorGP}, 0},
		{"xsetbv", b{0x31, 0xc9}, b{0x0f, 0x01, 0xd1}, []int{vectorGP}, 0},
		{"swapgs", nil, b{0x0f, 0x01, 0xf8}, []int{vectorGP}, 0},
		{"monitor", nil, b{0x0f, 0x01, 0xc8}, []int{vectorUD, vectorGP}, 0},
		{"mwait", nil, b{0x0f, 0x01, 0xc9}, []int{vectorUD, vectorGP}, 0},
		{"stac", nil, b{0x0f, 0x01, 0xcb}, []int{vectorUD}, 0},
		{"invpcid", data, b{0x66, 0x0f, 0x38, 0x82, 0x03}, []int{vectorGP, vectorUD}, 0},
		{"rsm", nil, b{0x0f, 0xaa}, []int{vectorUD}, 0},

		// What UMIP keeps from telling where the monitor's tables lie.
		{"sgdt", data, b{0x0f, 0x01, 0x03}, []int{vectorGP}, 0},
		{"sidt", data, b{0x0f, 0x01, 0x0b}, []int{vectorGP}, 0},
		{"sldt", nil, b{0x0f, 0x00, 0xc0}, []int{vectorGP}, 0},
		{"str", nil, b{0x0f, 0x00, 0xc8}, []int{vectorGP}, 0},
		{"smsw", nil, b{0x0f, 0x01, 0xe0}, []int{vectorGP}, 0},

		// Ways into another mode or another machine.
		{"sysenter", nil, b{0x0f, 0x34}, []int{vectorGP, vectorUD}, 0},
		{"sysexit", nil, b{0x0f, 0x35}, []int{vectorGP, vectorUD}, 0},
		{"sysret", nil, b{0x48, 0x0f, 0x07}, []int{vectorUD, vectorGP}, 0},
		{"vmcall", nil, b{0x0f, 0x01, 0xc1}, []int{vectorGP, vectorUD, notrap}, 0},
		// KVM on Intel, or the KVM below this one, writes its own instruction over AMD's (KVM_X86_QUIRK_FIX_HYPERCALL_INSN), and the
		// text is not for writing.
		{"vmmcall", nil, b{0x0f, 0x01, 0xd9}, []int{notrap, vectorUD, vectorGP, vectorPage}, 0},
		{"vmlaunch", nil, b{0x0f, 0x01, 0xc2}, []int{vectorUD, vectorGP}, 0},
		{"vmxoff", nil, b{0x0f, 0x01, 0xc4}, []int{vectorUD, vectorGP}, 0},
		{"vmrun", nil, b{0x0f, 0x01, 0xd8}, []int{vectorGP, vectorUD}, 0},
		{"vmload", nil, b{0x0f, 0x01, 0xda}, []int{vectorGP, vectorUD}, 0},
		{"stgi", nil, b{0x0f, 0x01, 0xdc}, []int{vectorGP, vectorUD}, 0},
		{"clgi", nil, b{0x0f, 0x01, 0xdd}, []int{vectorGP, vectorUD}, 0},
		{"skinit", nil, b{0x0f, 0x01, 0xde}, []int{vectorUD, vectorGP}, 0},
		{"invlpga", nil, b{0x0f, 0x01, 0xdf}, []int{vectorGP, vectorUD}, 0},
		{"encls", nil, b{0x0f, 0x01, 0xcf}, []int{vectorUD, vectorGP}, 0},
		{"int 0x80", nil, b{0xcd, 0x80}, []int{vectorUD, vectorGP}, 0x80<<3 | 2},
		{"int 3 in two bytes", nil, b{0xcd, 0x03}, []int{vectorBP, vectorUD, vectorGP}, 3<<3 | 2},
		{"int 14", nil, b{0xcd, 14}, []int{vectorUD, vectorGP}, 14<<3 | 2},
		{"into", nil, b{0xce}, []int{vectorUD}, 0},

		// Segments that are not a program's.
		{"kernel data in DS", b{0xb8, 0x10, 0, 0, 0}, b{0x8e, 0xd8}, []int{vectorGP}, 0x10},
		{"the TSS in FS", b{0xb8, 0x30, 0, 0, 0}, b{0x8e, 0xe0}, []int{notrap, vectorGP}, 0x30},
		{"no stack segment", b{0x31, 0xc0}, b{0x8e, 0xd0}, []int{vectorGP}, 0},
		{"kernel data in SS", b{0xb8, 0x10, 0, 0, 0}, b{0x8e, 0xd0}, []int{vectorGP}, 0x10},
		{"beyond the GDT in ES", b{0xb8, 0x83, 0, 0, 0}, b{0x8e, 0xc0}, []int{vectorGP}, 0x80},
		{"write CS", nil, b{0x8e, 0xc8}, []int{vectorUD}, 0},
		{"return to kernel code", slices.Concat(push(0x08), push(uint32(kvmtest.CodeVA))), b{0x48, 0xcb}, []int{vectorGP}, 0x08},
		{"return to compatibility mode", slices.Concat(push(0x23), push(uint32(kvmtest.CodeVA))), b{0x48, 0xcb}, []int{vectorGP}, 0x20},
		{"return through the TSS", slices.Concat(push(0x33), push(uint32(kvmtest.CodeVA))), b{0x48, 0xcb}, []int{ended, vectorGP}, 0x30},
		{"interrupt return to kernel code",
			slices.Concat(push(0x10), push(uint32(kvmtest.UpcallStack)), push(2), push(0x08), push(uint32(kvmtest.CodeVA))), b{0x48, 0xcf}, []int{vectorGP}, 0x08},

		{"division by zero", b{0x31, 0xc9}, b{0xf7, 0xf1}, []int{vectorDE}, 0},
		{"icebp", nil, b{0xf1}, []int{vectorDB}, 0},
		{"trap flag", b{0x9c, 0x48, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d}, b{0x90}, []int{vectorDB}, 0},
		{"int3", nil, b{0xcc}, []int{vectorBP}, 0},
		{"ud2", nil, b{0x0f, 0x0b}, []int{vectorUD}, 0},
		{"lock without memory", nil, b{0xf0, 0x90}, []int{vectorUD}, 0},
		{"16 bytes of instruction", nil, append(bytes.Repeat(b{0x66}, 15), 0x90), []int{vectorGP}, 0},
		{"stack not canonical", append(rax(1<<47), 0x48, 0x89, 0xc4), b{0x50}, []int{vectorPage, vectorSS}, 0},
		{"x87", append(data, 0xdb, 0xe3, 0xc7, 0x03, 0, 0, 0, 0, 0xd9, 0x2b, 0xd9, 0xee, 0xd9, 0xee, 0xde, 0xf9), b{0x9b}, []int{vectorMF}, 0},
		{"SSE", append(data, 0xc7, 0x03, 0, 0, 0, 0, 0x0f, 0xae, 0x13, 0x66, 0x0f, 0xef, 0xc0), b{0xf3, 0x0f, 0x5e, 0xc0}, []int{vectorXF}, 0},
		{"odd address with AC", append(append(b{0x9c, 0x48, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d}, data...), 0x48, 0xff, 0xc3), b{0x8b, 0x03}, []int{vectorAC, notrap}, 0},
	} {
		vector, control, rip := trap(t, c.name, c.setup, c.instruction)
		if !slices.Contains(c.vectors, vector) {
			t.Errorf("%s: vector %d, want one of %d", c.name, vector, c.vectors)
			continue
		}
		if vector < 0 {
			continue
		}
		want := int64(0)
		if vector == vectorDB || vector == vectorBP { // traps, which come behind the instruction
			want = int64(len(c.instruction))
		}
		if rip != want && c.name != "icebp" { // which KVM may report as a fault
			t.Errorf("%s: RIP %d bytes from the instruction, want %d", c.name, rip, want)
		}
		if vector == vectorGP && control.Error != uint64(c.code) {
			t.Errorf("%s: error code %#x, want %#x", c.name, control.Error, c.code)
		}
	}
}

// TestSyscall checks that a SYSCALL instruction that nobody has patched goes to the gate, or is an exception that the
// kernel can make it of.
func TestSyscall(t *testing.T) {
	const gate, upcall = 1, 2
	code := new(kvmtest.Code)
	code.StoreLabel(kvmtest.Arg(0), "upcall").Store(kvmtest.Arg(1), uint64(kvmtest.UpcallStack)).StoreLabel(kvmtest.Arg(2), "gate").
		Store(kvmtest.Arg(3), uint64(kvmtest.TextVA)).Out(hypercall.PortCall+uint16(hypercall.CallStart)).Store(kvmtest.Mask, 0).
		Raw(0x0f, 0x05).Halt(3).
		Label("gate").Halt(gate).
		Label("upcall").Halt(upcall)
	vm := newGuest(t, code.Image(), Config{})
	var exit *ExitError
	if err := runVM(t, vm); !errors.As(err, &exit) || exit.Code != gate && (exit.Code != upcall || vm.space.control.Vector != vectorUD) {
		t.Errorf("ended with %v, vector %d", err, vm.space.control.Vector)
	}
}

// TestAddresses reads, writes and runs addresses of every kind that a guest has no right to.
func TestAddresses(t *testing.T) {
	var (
		read  = []byte{0x8a, 0x00} // MOV AL, [RAX]
		write = []byte{0x88, 0x00} // MOV [RAX], AL
		run   = []byte{0xff, 0xe0} // JMP RAX
	)
	const noncanonical = hypercall.GVA(1 << 47)
	for _, c := range []struct {
		name string
		at   hypercall.GVA
		how  string
	}{
		{"nil", 0, "rwx"},
		{"the end of page 0", page - 1, "rwx"},
		{"where programs of Linux begin", 0x10000, "rwx"},
		{"below the shared range", hypercall.SharedBase - 1, "rwx"},
		{"control page", hypercall.ControlVA, "x"},
		{"clock page", hypercall.ClockVA, "wx"},
		{"boot information", hypercall.BootVA, "wx"},
		{"behind the boot information", hypercall.RegionsVA - 1, "rwx"},
		{"region table", hypercall.RegionsVA, "x"},
		{"rings without a device", hypercall.RingsVA, "rwx"},
		{"end of the shared range", hypercall.SharedEnd - 1, "rwx"},
		{"text", kvmtest.TextVA, "w"},
		{"between segments", kvmtest.RodataVA - page, "rwx"},
		{"read-only data", kvmtest.RodataVA, "wx"},
		{"data", kvmtest.DataVA, "x"},
		{"behind the image", kvmtest.DataVA + page, "rwx"},
		{"heap that nobody has mapped", heap, "rwx"},
		{"archive without files", hypercall.ArchiveVA, "rwx"},
		{"below the stack", hypercall.StackTop - hypercall.StackSize - 1, "rwx"},
		{"stack", hypercall.StackTop - 8, "x"},
		{"last page of user space", hypercall.UserEnd - 1, "rwx"},
		{"behind user space", hypercall.UserEnd, "rwx"},
		{"not canonical", noncanonical, "rwx"},
		{"last that is not canonical", hypercall.MonitorBase - 1, "rwx"},
		{"descriptor tables", hypercall.MonitorBase, "rwx"},
		{"TSS", hypercall.MonitorBase + page, "rwx"},
		{"exit stubs", hypercall.MonitorBase + 2*page, "rwx"},
		{"exception stack", hypercall.MonitorBase + 4*page - 8, "rwx"},
		{"behind the monitor's pages", hypercall.MonitorBase + 4*page, "rwx"},
		{"where Linux has its vsyscalls", 0xffff_ffff_ff60_0000, "rwx"},
		{"last byte of all", ^hypercall.GVA(0), "rwx"},
	} {
		for _, how := range c.how {
			instruction, code := read, uint64(0)
			switch how {
			case 'w':
				instruction, code = write, faultWrite
			case 'x':
				instruction, code = run, faultFetch
			}
			name := fmt.Sprintf("%s (%#x), %c", c.name, c.at, how)
			vector, control, rip := trap(t, name, rax(uint64(c.at)), instruction)
			if c.at >= noncanonical && c.at < hypercall.MonitorBase {
				if vector != vectorGP || control.Error != 0 {
					t.Errorf("%s: vector %d, error code %#x", name, vector, control.Error)
				}
				continue
			}
			if vector != vectorPage || hypercall.GVA(control.Address) != c.at {
				t.Errorf("%s: vector %d, address %#x", name, vector, control.Address)
			}
			if c.at < noncanonical && control.Error&(faultWrite|faultFetch) != code {
				t.Errorf("%s: error code %#x", name, control.Error)
			}
			if how == 'x' && hypercall.GVA(control.Frame.RIP) != c.at || how != 'x' && rip != 0 {
				t.Errorf("%s: RIP %#x", name, control.Frame.RIP)
			}
		}
	}
}

// TestKernelFaults checks that what happens where no upcall can be, ends the guest with a sentence about it.
func TestKernelFaults(t *testing.T) {
	masked := func(code ...byte) *kvmtest.Code {
		return new(kvmtest.Code).Start("upcall").Store(kvmtest.Mask, 1).Raw(code...).Label("upcall").Halt(0)
	}
	for _, c := range []struct {
		name string
		code *kvmtest.Code
		says string
	}{
		{"before the start", new(kvmtest.Code).Raw(0x0f, 0x0b), "exception 6 (#UD) at 0x401040"},
		{"page fault before the start", new(kvmtest.Code).Load(0x18), "exception 14 (#PF) at 0x401040, address 0x18"},
		{"jump out of the world before the start", new(kvmtest.Code).Raw(append(rax(1<<63), 0xff, 0xe0)...), "exception 13 (#GP)"},
		{"end of the text", new(kvmtest.Code).Raw(bytes.Repeat([]byte{0x90}, int(page-hypercall.HeaderSize))...), "exception 14 (#PF) at 0x402000, address 0x402000"},
		{"while upcalls are masked", masked(0x0f, 0x0b), "exception 6 (#UD)"},
		{"jump to nil while masked", masked(0x31, 0xc0, 0xff, 0xe0), "exception 14 (#PF) at 0x0, address 0x0"},
		{"jump out of the world while masked", masked(append(rax(1<<62), 0xff, 0xe0)...), "exception 13 (#GP)"},
		{"in the upcall", new(kvmtest.Code).Start("upcall").Raw(0x0f, 0x0b).Label("upcall").Raw(0xcc), "exception 3 (#BP)"},
	} {
		err := runGuest(t, c.code, Config{})
		checkExit(t, c.name, err, KernelFault, c.says)
	}
}

// TestPorts reaches open ports with every instruction that is not a call. The guest ends. (An OUTSD is a call: nothing
// tells it from an OUT.)
func TestPorts(t *testing.T) {
	const first, calls, open = hypercall.PortCall, int(hypercall.CallMax), int(hypercall.CallMax) + 3 // bytes the last call's OUT covers
	for _, form := range []struct {
		name        string
		instruction []byte
		width       int
	}{
		{"in al", []byte{0xec}, 1}, {"in ax", []byte{0x66, 0xed}, 2}, {"in eax", []byte{0xed}, 4},
		{"out al", []byte{0xee}, 1}, {"out ax", []byte{0x66, 0xef}, 2}, {"out eax", []byte{0xef}, 4},
		{"insb", []byte{0x6c}, 1}, {"insd", []byte{0x6d}, 4}, {"outsb", []byte{0x6e}, 1}, {"outsw", []byte{0x66, 0x6f}, 2},
		{"rep insb", []byte{0xf3, 0x6c}, 1}, {"rep insd", []byte{0xf3, 0x6d}, 4}, {"rep outsw", []byte{0xf3, 0x66, 0x6f}, 2},
	} {
		for _, n := range []int{0, int(hypercall.CallPoll), calls - 1, calls, open - 1} {
			if n+form.width > open || n < calls && form.name == "out eax" {
				continue // partly closed, or a call
			}
			port := uint16(first + n)
			code := new(kvmtest.Code).Start("upcall").Raw(rbx(uint64(kvmtest.DataVA))...).
				Raw(0x48, 0x89, 0xde, 0x48, 0x89, 0xdf, 0xb9, 3, 0, 0, 0). // RSI = RDI = RBX, RCX = 3
				Raw(0x66, 0xba, byte(port), byte(port>>8)).Raw(form.instruction...).Halt(1).Label("upcall").Halt(2)
			name := fmt.Sprintf("%s, port %#x", form.name, port)
			checkExit(t, name, runGuest(t, code, Config{}), Violation, fmt.Sprintf("access to I/O port %#x at ", port))
		}
	}
	code := new(kvmtest.Code).Start("upcall").Raw(0x31, 0xc9, 0x66, 0xba, 0, 5, 0xf3, 0x6f).Halt(0).Label("upcall").Halt(2)
	if err := runGuest(t, code, Config{}); err != nil {
		t.Errorf("rep outsd of nothing: %v", err)
	}
}

// TestClosedPorts writes to all other ports. Each is an exception.
func TestClosedPorts(t *testing.T) {
	const unexpected = 7
	for _, c := range []struct{ first, last uint32 }{
		{0, hypercall.PortCall - 3}, {hypercall.PortCall + uint32(hypercall.CallMax) + 3, 1 << 16},
	} {
		le := binary.LittleEndian
		code := new(kvmtest.Code).Start("upcall").Raw(le.AppendUint32([]byte{0x41, 0xbc}, c.first)...) // MOV R12D, first
		code.Label("next").Raw(0x44, 0x89, 0xe2, 0xef).Halt(unexpected)                                // MOV EDX, R12D; OUT DX, EAX
		code.Label("upcall").Expect(kvmtest.Vector, vectorGP, unexpected).Store(kvmtest.Mask, 0)
		code.Raw(0x41, 0xff, 0xc4, 0x41, 0x81, 0xfc).Raw(le.AppendUint32(nil, c.last)...) // INC R12D; CMP R12D, last
		code.Raw(0x73, 5).Jump("next").Halt(0)                                            // JAE over
		vm := newGuest(t, code.Image(), Config{})
		err := runVM(t, vm)
		if n := vm.Stats().Upcalls; err != nil || n != uint64(c.last-c.first) {
			t.Errorf("%d exceptions for %d ports, %v", n, c.last-c.first, err)
		}
	}
}
