package monitor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/kvmtest"
	"ukvm.dev/netif"
)

const kick = hypercall.PortCall + uint16(hypercall.CallKick)

// jumpResume jumps through Control.Resume, as the return path of a kernel ends.
var jumpResume = binary.LittleEndian.AppendUint32([]byte{0xff, 0x24, 0x25}, uint32(kvmtest.Resume)) // JMP [Resume]

// TestReturnAnywhere has the kernel's return path go to every kind of address. That is an upcall, and where upcalls are
// masked the end of the guest.
func TestReturnAnywhere(t *testing.T) {
	for _, to := range []hypercall.GVA{
		0, 1, page, hypercall.ControlVA, hypercall.BootVA, kvmtest.RodataVA, kvmtest.DataVA, heap, hypercall.StackTop - 64,
		hypercall.UserEnd - 1, hypercall.UserEnd, 1 << 47, 1 << 63, hypercall.MonitorBase, hypercall.MonitorBase + 0x2000, ^hypercall.GVA(0),
	} {
		for _, mask := range []uint64{0, 1} {
			code := new(kvmtest.Code).Start("upcall").Store(kvmtest.Mask, mask).Store(kvmtest.Resume, uint64(to)).
				Raw(jumpResume...).Label("upcall").Halt(0)
			name := fmt.Sprintf("return to %#x with mask %d", to, mask)
			vm := newGuest(t, code.Image(), Config{})
			err := runVM(t, vm)
			if mask != 0 {
				checkExit(t, name, err, KernelFault, "exception 1")
				continue
			}
			if v := vm.space.control.Vector; err != nil || v != vectorPage && v != vectorGP {
				t.Errorf("%s: %v, vector %d", name, err, v)
			}
		}
	}
}

// TestUpcallOnReturn interrupts the kernel on the last jump of its return path: what it returns to counts as
// interrupted, and is not looked at.
func TestUpcallOnReturn(t *testing.T) {
	for _, resume := range []uint64{uint64(kvmtest.CodeVA), 0, 1 << 47, ^uint64(0)} {
		code := new(kvmtest.Code).
			StoreLabel(kvmtest.Arg(0), "upcall").Store(kvmtest.Arg(1), uint64(kvmtest.UpcallStack)).StoreLabel(kvmtest.Arg(2), "upcall").
			StoreLabel(kvmtest.Arg(3), "return").Store(kvmtest.Deadline, 1).Store(kvmtest.Resume, resume).
			Out(hypercall.PortCall+uint16(hypercall.CallStart)).Store(kvmtest.Mask, 0).Out(kick).
			Label("return").Spin().
			Label("upcall").Expect(kvmtest.Vector, hypercall.NoException, 1).Expect(kvmtest.FrameRIP, resume, 2).Halt(0)
		if err := runGuest(t, code, Config{}); err != nil {
			t.Errorf("return to %#x: %v", resume, err)
		}
	}
}

// TestUpcallsAnywhere interrupts a guest whose registers make no sense. They come back as they were.
func TestUpcallsAnywhere(t *testing.T) {
	const odd = 0xdead_beef_0000_0001
	code := new(kvmtest.Code).Store(kvmtest.Deadline, 1).Start("upcall").Out(kick).
		Raw(rax(odd)...).Raw(0x48, 0x89, 0xc4). // MOV RSP, RAX
		Raw(0xfd).                              // STD
		Spin().
		Label("upcall").Expect(kvmtest.FrameRSP, odd, 1).Halt(0)
	if err := runGuest(t, code, Config{}); err != nil {
		t.Error(err)
	}
}

// TestDeadlines sets every kind of deadline. Times in the past interrupt at once, and none disturbs anything else.
func TestDeadlines(t *testing.T) {
	const max = 1<<63 - 1
	for _, deadline := range []uint64{1, hypercall.ClockStart, 1 << 62, max, max + 1, ^uint64(0)} {
		code := new(kvmtest.Code).Store(kvmtest.Deadline, deadline).Start("upcall")
		repeat(code, "loop", 200, func() {
			code.Call(hypercall.CallKick).Call(hypercall.CallPoll, 1)
		})
		code.Halt(0).Label("upcall").Halt(0)
		if err := runGuest(t, code, Config{}); err != nil {
			t.Errorf("deadline %#x: %v", deadline, err)
		}
	}
	for _, deadline := range []uint64{1, 1 << 40, max, max + 1, ^uint64(0)} {
		code := new(kvmtest.Code).Start("upcall").Call(hypercall.CallPoll, deadline).Halt(0).Label("upcall").Halt(1)
		vm := newGuest(t, code.Image(), Config{})
		timeout := 20 * time.Millisecond
		if deadline == 1 {
			timeout = hang
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		err := vm.Run(ctx)
		cancel()
		if future := deadline > 1; future && !errors.Is(err, context.DeadlineExceeded) || !future && err != nil {
			t.Errorf("sleep until %#x: %v", deadline, err)
		}
	}
}

// TestStop checks that a guest ends with its context, whatever it does.
func TestStop(t *testing.T) {
	upcall := func(c *kvmtest.Code) *kvmtest.Code { return c.Label("upcall").Store(kvmtest.Mask, 0).Spin() }
	storm := new(kvmtest.Code).Start("upcall").Label("loop").Call(hypercall.CallKick).Jump("loop")
	faults := new(kvmtest.Code).Start("upcall").Raw(0x0f, 0x0b).Label("upcall").Store(kvmtest.Mask, 0).Raw(0x0f, 0x0b)
	deadlines := new(kvmtest.Code).Start("upcall").Store(kvmtest.Deadline, 1).Call(hypercall.CallKick).Spin()
	for name, code := range map[string]*kvmtest.Code{
		"spins before the start":        new(kvmtest.Code).Spin(),
		"spins":                         upcall(new(kvmtest.Code).Start("upcall").Spin()),
		"spins with upcalls masked":     upcall(new(kvmtest.Code).Start("upcall").Store(kvmtest.Mask, 1).Spin()),
		"sleeps":                        upcall(new(kvmtest.Code).Start("upcall").Call(hypercall.CallPoll, 0).Spin()),
		"calls without end":             upcall(storm),
		"faults without end":            faults,
		"wants upcalls all the time":    upcall(deadlines),
		"wants upcalls, but masks them": upcall(new(kvmtest.Code).Store(kvmtest.Deadline, 1).Start("upcall").Store(kvmtest.Mask, 1).Out(kick).Spin()),
	} {
		vm := newGuest(t, code.Image(), Config{})
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("enough")
		time.AfterFunc(10*time.Millisecond, func() { cancel(reason) })
		begin := time.Now()
		if err := vm.Run(ctx); !errors.Is(err, reason) {
			t.Errorf("a guest that %s ended with %v", name, err)
		}
		if d := time.Since(begin); d > hang {
			t.Errorf("a guest that %s ended after %v", name, d)
		}
		cancel(nil)
	}
}

// TestMappingStorm maps, touches, protects and drops pages again and again. What it has used at most is what it used at
// once, and the host's mappings do not become more.
func TestMappingStorm(t *testing.T) {
	const rounds, pages = 300, 16
	before := mappings(t)
	code := regionTable(new(kvmtest.Code).Start("upcall"), region(heap, heap+pages*page, readWrite))
	repeat(code, "loop", rounds, func() {
		for i := range hypercall.GVA(pages) {
			code.Store(heap+i*page, uint64(i))
		}
		memoryOps(code,
			hypercall.MemoryOp{Op: hypercall.MemoryProtect, Prot: readOnly, Start: heap, End: heap + pages*page},
			hypercall.MemoryOp{Op: hypercall.MemoryProtect, Prot: none, Start: heap + 2*page, End: heap + 4*page},
			hypercall.MemoryOp{Op: hypercall.MemoryProtect, Prot: readWrite, Start: heap, End: heap + pages*page})
		code.Expect(kvmtest.Arg(2), 3, 1).Expect(heap+3*page, 3, 2)
		memoryOps(code,
			hypercall.MemoryOp{Op: hypercall.MemoryDrop, Start: heap, End: heap + pages*page},
			hypercall.MemoryOp{Op: hypercall.MemoryCommit, Prot: readWrite, Start: heap + page, End: heap + 5*page},
			hypercall.MemoryOp{Op: hypercall.MemoryDrop, Start: heap, End: hypercall.MmapEnd})
		code.Expect(kvmtest.Arg(2), 3, 3).Expect(heap+3*page, 0, 4)
	})
	code.Halt(0).Label("upcall").Halt(5)
	vm := newGuest(t, code.Image(), Config{})
	used := vm.space.ram.Used()
	if err := runVM(t, vm); err != nil {
		t.Fatalf("%v: vector %d, address %#x", err, vm.space.control.Vector, vm.space.control.Address)
	}
	if after := vm.space.ram.Used(); after > used+(pages+8)*page {
		t.Errorf("%d bytes in use, %d before", after, used)
	}
	if after := mappings(t); after > before+64 {
		t.Errorf("%d mappings of the process, %d before", after, before)
	}
}

// mappings is how many the process has.
func mappings(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// TestAllMemory has guests use up their memory in every way there is. They end, with a sentence.
func TestAllMemory(t *testing.T) {
	const everything = uint64(hypercall.MmapEnd - heap)
	all := region(heap, hypercall.MmapEnd, readWrite)
	touch := func(c *kvmtest.Code, step uint32) *kvmtest.Code { // RBX walks
		c.Raw(rbx(uint64(heap))...).Label("loop").Raw(0x88, 0x03, 0x48, 0x81, 0xc3). // MOV [RBX], AL; ADD RBX, step
												Raw(byte(step), byte(step>>8), byte(step>>16), byte(step>>24))
		return c.Jump("loop").Label("upcall").Halt(1)
	}
	start := func() *kvmtest.Code { return regionTable(new(kvmtest.Code).Start("upcall"), all) }
	for name, code := range map[string]*kvmtest.Code{
		"page after page":           touch(start(), page),
		"a page in every table":     touch(start(), 2<<20),
		"a page in every directory": touch(start(), 1<<30),
	} {
		checkExit(t, name, runGuest(t, code, Config{}), OutOfMemory, "8 MiB of memory; give it more with -m")
	}
	// Commit says how far it came.
	code := start()
	memoryOps(code, hypercall.MemoryOp{Op: hypercall.MemoryCommit, Prot: readWrite, Start: heap, End: heap + hypercall.GVA(everything)})
	code.Expect(kvmtest.Arg(2), 0, 2).Halt(0).Label("upcall").Halt(1)
	if err := runGuest(t, code, Config{}); err != nil {
		t.Errorf("commit all there is: %v", err)
	}
}

// TestSpoiledRegions has guests write nonsense into the region table, and touch what it says.
func TestSpoiledRegions(t *testing.T) {
	for name, r := range map[string]hypercall.Region{
		"shared range":            region(hypercall.ImageBase-page, heap+page, readWrite),
		"everything":              region(0, ^hypercall.GVA(0), readWrite),
		"writable and executable": region(heap, heap+page, 7),
		"unknown bits":            region(heap, heap+page, 1<<31|readWrite),
		"odd":                     region(heap+1, heap+page, readWrite),
		"no pages":                region(heap, heap, readWrite),
		"backwards":               region(heap+page, heap, readWrite),
		"beyond the end":          region(heap, hypercall.MonitorBase, readWrite),
	} {
		code := regionTable(new(kvmtest.Code).Start("upcall"), r).Store(heap, 1).Halt(1).Label("upcall").Halt(0)
		vm := newGuest(t, code.Image(), Config{})
		if err := runVM(t, vm); err != nil || vm.space.control.Vector != vectorPage {
			t.Errorf("%s: %v, vector %d", name, err, vm.space.control.Vector)
		}
	}
	for _, count := range []uint64{hypercall.MaxRegions, hypercall.MaxRegions + 1, 1 << 63, ^uint64(0)} {
		code := new(kvmtest.Code).Start("upcall").Store(hypercall.RegionsVA, count).Store(heap, 1).Halt(1).Label("upcall").Halt(0)
		if err := runGuest(t, code, Config{}); err != nil {
			t.Errorf("%#x regions: %v", count, err)
		}
	}
}

// TestCallsByGuests makes calls that TestViolations has too, in guests, where the arguments lie at the ends of memory.
func TestCallsByGuests(t *testing.T) {
	for _, c := range []struct {
		name string
		code *kvmtest.Code
		says string
	}{
		{"poll before the start", new(kvmtest.Code).Call(hypercall.CallPoll, 0), "call 3 before the guest kernel has started"},
		{"start twice", new(kvmtest.Code).Start("upcall").Start("upcall"), "a second start"},
		{"write from the end of user space", new(kvmtest.Code).Start("upcall").
			Call(hypercall.CallConsoleWrite, 1, uint64(hypercall.UserEnd)-4, 8), "8 bytes at 0x7fff7ffffffc"},
		{"write from the end of the data", new(kvmtest.Code).Start("upcall").
			Call(hypercall.CallConsoleWrite, 1, uint64(kvmtest.DataVA)+page-4, 8), "not mapped"},
		{"write what the monitor keeps", new(kvmtest.Code).Start("upcall").
			Call(hypercall.CallConsoleWrite, 1, uint64(hypercall.MonitorBase), 8), "not mapped"},
		{"entropy into the text", new(kvmtest.Code).Start("upcall").
			Call(hypercall.CallEntropy, uint64(kvmtest.TextVA), 8), "not mapped"},
		{"entropy over the end of the shared page", new(kvmtest.Code).Start("upcall").
			Call(hypercall.CallEntropy, uint64(hypercall.ClockVA)-4, 8), "not mapped"},
		{"operations over the end of the data", new(kvmtest.Code).Start("upcall").
			Call(hypercall.CallMemory, uint64(kvmtest.DataVA)+page-8, 1), "not mapped"},
		{"abort from nowhere", new(kvmtest.Code).Start("upcall").Call(hypercall.CallAbort, 1<<63, 8), "not there"},
	} {
		c.code.Label("upcall").Halt(1)
		checkExit(t, c.name, runGuest(t, c.code, Config{}), Violation, c.says)
	}
}

// TestAbortText checks that a guest's last words cannot do anything to the terminal that they are printed on.
func TestAbortText(t *testing.T) {
	image := new(kvmtest.Code).Call(hypercall.CallAbort, uint64(kvmtest.DataVA), 17).Image()
	image.Data = []byte("a\x1b[2Jb\r\n\x00\u202e\xff\xfec\u0085")
	err := runVM(t, newGuest(t, image, Config{}))
	var e *ExitError
	if !errors.As(err, &e) || e.Reason != KernelFault || e.Text != "guest kernel stopped: a?[2Jb?????c?" {
		t.Errorf("%q", err)
	}
}

// TestSpoiledRings has guests with a network card write nonsense into its queues.
func TestSpoiledRings(t *testing.T) {
	const (
		receive, transmit = hypercall.RingsVA, hypercall.RingsVA + hypercall.QueueSize
		avail             = 16 * hypercall.QueueLen // offset of the available ring
		next, write       = hypercall.DescNext, hypercall.DescWrite
	)
	type desc struct {
		addr  hypercall.GVA
		size  uint32
		flags uint16
		next  uint16
	}
	good := hypercall.GVA(kvmtest.DataVA)
	for _, c := range []struct {
		name  string
		queue hypercall.GVA
		index uint16
		head  uint16
		desc  []desc
		says  string // "" if the guest may go on
	}{
		{"nothing", transmit, 0, 0, nil, ""},
		{"a frame", transmit, 1, 0, []desc{{good, 80, 0, 0}}, ""},
		{"a frame in pieces", transmit, 1, 1, []desc{{good + 40, 40, 0, 0}, {good, 5, next, 2}, {good, 35, next, 0}}, ""},
		{"room", receive, 1, 0, []desc{{good, 2048, write, 0}}, ""},
		{"more chains than there are", transmit, hypercall.QueueLen + 1, 0, []desc{{good, 80, 0, 0}}, "index out of range"},
		{"index that has gone back", receive, ^uint16(0), 0, []desc{{good, 80, write, 0}}, "index out of range"},
		{"head beyond the table", transmit, 1, hypercall.QueueLen, nil, "bad descriptor chain"},
		{"head at the end of numbers", receive, 1, ^uint16(0), nil, "bad descriptor chain"},
		{"next beyond the table", transmit, 1, 0, []desc{{good, 80, next, 300}}, "bad descriptor chain"},
		{"endless chain", transmit, 1, 0, []desc{{good, 1, next, 1}, {good, 1, next, 0}}, "bad descriptor chain"},
		{"endless chain to receive", receive, 1, 0, []desc{{good, 1, write | next, 0}}, "bad descriptor chain"},
		{"unknown flags", transmit, 1, 0, []desc{{good, 80, 4, 0}}, "bad descriptor chain"},
		{"transmit from what is to be written", transmit, 1, 0, []desc{{good, 80, write, 0}}, "bad descriptor chain"},
		{"receive to what is to be read", receive, 1, 0, []desc{{good, 2048, 0, 0}}, "bad descriptor chain"},
		{"transmit from nowhere", transmit, 1, 0, []desc{{8, 80, 0, 0}}, "transmit buffer at 0x8: address is not mapped"},
		{"transmit the monitor", transmit, 1, 0, []desc{{hypercall.MonitorBase, 80, 0, 0}}, "address is not mapped"},
		{"transmit over the end of the data", transmit, 1, 0, []desc{{good + page - 40, 80, 0, 0}}, "address is not mapped"},
		{"transmit to the end of addresses", transmit, 1, 0, []desc{{^hypercall.GVA(0) - 40, 80, 0, 0}}, "address is not mapped"},
		{"receive into the text", receive, 1, 0, []desc{{kvmtest.TextVA, 2048, write, 0}}, "receive buffer at 0x401000: address is not mapped"},
		{"receive into the clock page", receive, 1, 0, []desc{{hypercall.ClockVA, 2048, write, 0}}, "address is not mapped"},
		{"receive into 4 GiB", receive, 1, 0, []desc{{heap, ^uint32(0), write, 0}}, "chain of"},
		{"transmit 4 GiB", transmit, 1, 0, []desc{{heap, ^uint32(0), 0, 0}}, "chain of"},
		{"transmit more and more", transmit, 1, 0, []desc{{good, 65536, next, 1}, {good, 65536, 0, 0}}, "chain of"},
		{"no frame", transmit, 1, 0, []desc{{good, 0, 0, 0}}, "chain of 0 bytes"},
		{"half a header", transmit, 1, 0, []desc{{good, 11, 0, 0}}, "chain of 11 bytes"},
		{"no room", receive, 1, 0, []desc{{good, 11, write, 0}}, "chain of 11 bytes"},
	} {
		code := regionTable(new(kvmtest.Code).Start("upcall"), region(heap, heap+4<<30, readWrite))
		for i, d := range c.desc {
			at := c.queue + hypercall.GVA(16*i)
			code.Store(at, uint64(d.addr)).Store(at+8, uint64(d.size)|uint64(d.flags)<<32|uint64(d.next)<<48)
		}
		code.Store(c.queue+avail, uint64(c.index)<<16|uint64(c.head)<<32).Call(hypercall.CallKick).Call(hypercall.CallPoll, 1).Halt(0).
			Label("upcall").Halt(1)
		err := runGuest(t, code, Config{NICs: []NIC{{Link: newLink(t), Config: netif.Config{MTU: 1500}}}})
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		checkExit(t, c.name, err, Violation, c.says)
		if err != nil && !strings.Contains(err.Error(), "network card eth0: ") {
			t.Errorf("%s: %v does not name the card", c.name, err)
		}
	}
}
