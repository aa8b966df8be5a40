package paging

import (
	"encoding/binary"
	"errors"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
)

func newDescriptors(t testing.TB, ports []uint16) (*Descriptors, *Tables, *guestmem.RAM) {
	t.Helper()
	tables, ram := newTables(t, 1<<20)
	d, err := NewDescriptors(ram, tables, ports)
	if err != nil {
		t.Fatal(err)
	}
	return d, tables, ram
}

// at is the memory behind an address of the monitor's.
func at(t testing.TB, ram *guestmem.RAM, tables *Tables, va hypercall.GVA, n uint64) []byte {
	t.Helper()
	p := walk(t, ram, tables.Root(), va)
	b, ok := ram.Bytes(p.gpa, n)
	if !p.present || !ok {
		t.Fatalf("nothing at %#x", va)
	}
	return b
}

// TestMonitorPages checks that no monitor page is the guest's, and that none is both writable and executable.
func TestMonitorPages(t *testing.T) {
	d, tables, ram := newDescriptors(t, []uint16{0x500})
	for _, p := range []struct {
		name           string
		va             hypercall.GVA
		write, execute bool
	}{
		{"GDT", d.GDT, false, false},
		{"IDT", d.IDT, false, false},
		{"TSS", d.TSS, false, false},
		{"stubs", hypercall.MonitorBase + 0x2000, false, true},
		{"exception stack", hypercall.MonitorBase + 0x3000, true, false},
	} {
		got := walk(t, ram, tables.Root(), p.va)
		want := translation{gpa: got.gpa, present: true, write: p.write, execute: p.execute}
		if got != want {
			t.Errorf("%s: %+v, want %+v", p.name, got, want)
		}
	}
	if below, above := walk(t, ram, tables.Root(), hypercall.MonitorBase-page), walk(t, ram, tables.Root(), hypercall.MonitorBase+0x4000); below.present || above.present {
		t.Error("something is mapped beside the monitor's pages")
	}
}

// segment is a descriptor taken apart (AMD APM vol. 2 §4.7 and §4.8).
type segment struct {
	base, limit       uint32
	typ, dpl          uint8
	s, p, l, db, g    bool
	availableToSystem bool
}

func parseSegment(b []byte) segment {
	return segment{
		limit: uint32(b[0]) | uint32(b[1])<<8 | uint32(b[6]&15)<<16,
		base:  uint32(b[2]) | uint32(b[3])<<8 | uint32(b[4])<<16 | uint32(b[7])<<24,
		typ:   b[5] & 15, s: b[5]&0x10 != 0, dpl: b[5] >> 5 & 3, p: b[5]&0x80 != 0,
		availableToSystem: b[6]&0x10 != 0, l: b[6]&0x20 != 0, db: b[6]&0x40 != 0, g: b[6]&0x80 != 0,
	}
}

func TestGDT(t *testing.T) {
	d, tables, ram := newDescriptors(t, []uint16{0x500})
	gdt := at(t, ram, tables, d.GDT, uint64(d.GDTLimit)+1)
	const (
		code = 11 // execute, read, accessed
		data = 3  // read, write, accessed
		tss  = 9  // available 64-bit TSS
	)
	for selector, want := range map[int]segment{
		0:             {},
		KernelCode:    {limit: 0xfffff, typ: code, s: true, p: true, l: true, g: true},
		KernelData:    {limit: 0xfffff, typ: data, s: true, p: true, db: true, g: true},
		0x18:          {},
		UserData:      {limit: 0xfffff, typ: data, s: true, p: true, db: true, g: true, dpl: 3},
		UserCode:      {limit: 0xfffff, typ: code, s: true, p: true, l: true, g: true, dpl: 3},
		taskState:     {base: uint32(d.TSS & 0xffff_ffff), limit: d.TSSLimit, typ: tss, p: true},
		taskState | 8: {}, // upper half, below
	} {
		b := gdt[selector&^7:][:8]
		if selector == taskState|8 {
			if got := binary.LittleEndian.Uint64(b); got != uint64(d.TSS>>32) {
				t.Errorf("upper half of the TSS descriptor: %#x, want %#x", got, d.TSS>>32)
			}
			continue
		}
		if got := parseSegment(b); got != want {
			t.Errorf("selector %#x: %+v, want %+v", selector, got, want)
		}
	}
	if d.GDTLimit != 63 || d.TSSSelector != taskState {
		t.Errorf("limit %d, task selector %#x", d.GDTLimit, d.TSSSelector)
	}
}

// TestIDT checks every gate (AMD APM vol. 2 §4.8.4) and the stub it leads to.
func TestIDT(t *testing.T) {
	d, tables, ram := newDescriptors(t, []uint16{0x500})
	if d.IDTLimit != 32*16-1 {
		t.Errorf("limit %d, want 32 gates", d.IDTLimit)
	}
	idt := at(t, ram, tables, d.IDT, 32*16)
	for v := range 32 {
		g := idt[16*v:][:16]
		target := uint64(binary.LittleEndian.Uint16(g)) | uint64(binary.LittleEndian.Uint16(g[6:]))<<16 |
			uint64(binary.LittleEndian.Uint32(g[8:]))<<32
		selector := binary.LittleEndian.Uint16(g[2:])
		const presentInterruptGate = 0x8e // DPL 0: INT n at CPL 3 is a fault
		if selector != KernelCode || g[4] != 0 || g[5] != presentInterruptGate || binary.LittleEndian.Uint32(g[12:]) != 0 {
			t.Errorf("vector %d: selector %#x, stack table %d, type %#x", v, selector, g[4], g[5])
		}
		stub := at(t, ram, tables, hypercall.GVA(target), 4)
		// OUT imm8, EAX; JMP to itself
		if want := [4]byte{0xe7, byte(0xa0 + v), 0xeb, 0xfe}; [4]byte(stub) != want {
			t.Errorf("vector %d leads to % x, want % x", v, stub, want)
		}
	}
}

func TestTSS(t *testing.T) {
	d, tables, ram := newDescriptors(t, []uint16{0x500, 0x509})
	tss := at(t, ram, tables, d.TSS, uint64(d.TSSLimit)+1)
	if rsp0 := binary.LittleEndian.Uint64(tss[4:]); rsp0 != uint64(hypercall.MonitorBase)+0x4000 {
		t.Errorf("exceptions use a stack at %#x, want the end of its page", rsp0)
	}
	if base := binary.LittleEndian.Uint16(tss[102:]); base != 104 {
		t.Errorf("the I/O bitmap is at %d, want 104", base)
	}
	for i, b := range tss[:104] {
		if b != 0 && (i < 4 || i >= 12) && i != 102 {
			t.Errorf("byte %d is %#x, want 0", i, b)
		}
	}
}

// allowed is the processor's check of an access at CPL 3 (AMD APM vol. 2 §12.2.5, Intel SDM vol. 1 §19.5.2): it reads two
// bytes of the bitmap, which must both lie within the TSS, and all bits must be clear.
func allowed(tss []byte, port, width int) bool {
	at := 104 + port/8
	if at+1 >= len(tss) {
		return false
	}
	bits := binary.LittleEndian.Uint16(tss[at:]) >> (port % 8)
	return bits&(1<<width-1) == 0
}

// TestIOBitmap tries every port with every width.
func TestIOBitmap(t *testing.T) {
	for _, ports := range [][]uint16{{0x500}, {0x500, 0x501, 0x502, 0x503}, {0}, {5}, {7}, {0x3f8, 0x7bff}, {0x500, 0x600}} {
		d, tables, ram := newDescriptors(t, ports)
		tss := at(t, ram, tables, d.TSS, uint64(d.TSSLimit)+1)
		open := map[int]bool{}
		for _, p := range ports {
			for i := range 4 {
				open[int(p)+i] = true
			}
		}
		for port := range 1 << 16 {
			for _, width := range []int{1, 2, 4} {
				want := true
				for i := range width {
					want = want && open[port+i]
				}
				if got := allowed(tss, port, width); got != want {
					t.Fatalf("ports %#x: access of %d bytes to %#x allowed: %v", ports, width, port, got)
				}
			}
		}
	}
}

// TestException lays frames on the exception stack as the processor does (AMD APM vol. 2 §8.9.3) and reads them back.
func TestException(t *testing.T) {
	d, tables, ram := newDescriptors(t, nil)
	stack := at(t, ram, tables, hypercall.MonitorBase+0x3000, page)
	// AMD APM vol. 2 §8.2, table of exceptions
	withCode := map[int]bool{8: true, 10: true, 11: true, 12: true, 13: true, 14: true, 17: true, 21: true, 29: true, 30: true}
	for v := range 32 {
		clear(stack)
		sp := len(stack)
		push := func(x uint64) { sp -= 8; binary.LittleEndian.PutUint64(stack[sp:], x) }
		want := ExceptionFrame{RIP: 0x401000, CS: UserCode, RFLAGS: 0x202, RSP: 0x7ffe0000, SS: UserData}
		push(want.SS)
		push(want.RSP)
		push(want.RFLAGS)
		push(want.CS)
		push(want.RIP)
		if withCode[v] {
			want.Error = 0xc0de
			push(want.Error)
		} else {
			binary.LittleEndian.PutUint64(stack[sp-8:], 0xbad) // left by an earlier one
		}
		if got := d.Exception(v); got != want {
			t.Errorf("vector %d: %+v, want %+v", v, got, want)
		}
	}
}

func TestDescriptorsOutOfMemory(t *testing.T) {
	for frames := uint64(1); frames < 8; frames++ { // root, three more tables, four pages
		tables, ram := newTables(t, frames*page)
		if _, err := NewDescriptors(ram, tables, nil); !errors.Is(err, ErrNoMemory) {
			t.Errorf("with %d frames: %v, want ErrNoMemory", frames, err)
		}
	}
}
