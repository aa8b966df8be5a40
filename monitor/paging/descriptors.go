package paging

import (
	"encoding/binary"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
)

// The monitor's pages at hypercall.MonitorBase, all supervisor pages:
//
//	+0x0000  GDT, IDT        r--
//	+0x1000  TSS             r--   with the I/O permission bitmap
//	+0x2000  exit stubs      r-x
//	+0x3000  exception stack rw-   the processor pushes the frame here
const (
	gdtVA   = hypercall.MonitorBase
	idtVA   = hypercall.MonitorBase + 0x800
	tssVA   = hypercall.MonitorBase + 0x1000
	stubsVA = hypercall.MonitorBase + 0x2000
	stackVA = hypercall.MonitorBase + 0x3000

	// Vectors is the number of exception vectors.
	Vectors = 32

	stubSize = 16
	tssBase  = 104 // bytes before the I/O bitmap (AMD APM vol. 2 §12.2.5)
)

// Selectors. The order is the one SYSCALL and SYSRET would want; the guest sees only the user ones.
const (
	KernelCode = 0x08
	KernelData = 0x10
	UserData   = 0x20 | 3
	UserCode   = 0x28 | 3
	taskState  = 0x30
)

// Descriptors is the monitor's part of a guest's address space.
type Descriptors struct {
	GDT, IDT           hypercall.GVA
	GDTLimit, IDTLimit uint16
	TSS                hypercall.GVA
	TSSLimit           uint32
	TSSSelector        uint16

	stack []byte // the exception stack page
}

// NewDescriptors builds the descriptor tables, the task state and the exit stubs, and maps them. openPorts lists the
// 32-bit ports the guest may access, each four bytes wide and below 0x7c00, where the TSS's page ends; all others fault.
func NewDescriptors(ram *guestmem.RAM, t *Tables, openPorts []uint16) (*Descriptors, error) {
	tables, tss, stubs, stack, err := pages(ram, t)
	if err != nil {
		return nil, err
	}
	d := &Descriptors{
		GDT: gdtVA, GDTLimit: 8*8 - 1, IDT: idtVA, IDTLimit: Vectors*16 - 1,
		TSS: tssVA, TSSSelector: taskState, stack: stack,
	}
	writeTSS(tss, openPorts)
	d.TSSLimit = uint32(tssBase+bitmapSize(openPorts)) - 1
	writeGDT(tables, d.TSSLimit)
	writeIDT(tables[idtVA-gdtVA:])
	for v := range Vectors {
		writeStub(stubs[v*stubSize:], v)
	}
	return d, nil
}

func pages(ram *guestmem.RAM, t *Tables) (tables, tss, stubs, stack []byte, err error) {
	for _, p := range []struct {
		va   hypercall.GVA
		prot uint32
		to   *[]byte
	}{
		{gdtVA, hypercall.ProtRead, &tables},
		{tssVA, hypercall.ProtRead, &tss},
		{stubsVA, hypercall.ProtRead | hypercall.ProtExec, &stubs},
		{stackVA, hypercall.ProtRead | hypercall.ProtWrite, &stack},
	} {
		gpa, ok := ram.Alloc(0)
		if !ok {
			return nil, nil, nil, nil, ErrNoMemory
		}
		if err := t.MapSupervisor(p.va, gpa, hypercall.PageSize, p.prot); err != nil {
			return nil, nil, nil, nil, err
		}
		*p.to = t.table(gpa)
	}
	return tables, tss, stubs, stack, nil
}

// writeGDT writes flat 64-bit segments (AMD APM vol. 2 §4.8) and the TSS descriptor, which takes two entries.
func writeGDT(b []byte, tssLimit uint32) {
	entry := func(selector int, e uint64) { binary.LittleEndian.PutUint64(b[selector&^7:], e) }
	const (
		code = 0x00af_9b00_0000_ffff // present, DPL 0, code, accessed, long mode
		data = 0x00cf_9300_0000_ffff // present, DPL 0, data, accessed
		dpl3 = 0x6000_0000_0000
	)
	entry(KernelCode, code)
	entry(KernelData, data)
	entry(UserData, data|dpl3)
	entry(UserCode, code|dpl3)
	const available = 0x89 << 40 // present, 64-bit TSS
	base := uint64(tssVA)
	entry(taskState, available|uint64(tssLimit&0xffff)|uint64(tssLimit>>16)<<48|base&0xffffff<<16|base>>24&0xff<<56)
	entry(taskState+8, base>>32)
}

// writeIDT points every vector at its stub, through interrupt gates that user code cannot call (DPL 0).
func writeIDT(b []byte) {
	for v := range uint64(Vectors) {
		to := uint64(stubsVA) + v*stubSize
		const gate = 0x8e << 40 // present, 64-bit interrupt gate
		binary.LittleEndian.PutUint64(b[16*v:], to&0xffff|KernelCode<<16|gate|to>>16&0xffff<<48)
		binary.LittleEndian.PutUint64(b[16*v+8:], to>>32)
	}
}

// writeStub writes OUT imm8, EAX, which exits to the monitor, and an endless loop that is never reached: the monitor
// continues the guest elsewhere.
func writeStub(b []byte, vector int) {
	copy(b, []byte{0xe7, byte(hypercall.PortException + vector), 0xeb, 0xfe})
}

// writeTSS sets the stack for exceptions and the I/O bitmap: a clear bit opens a port.
func writeTSS(b []byte, ports []uint16) {
	binary.LittleEndian.PutUint64(b[4:], uint64(stackVA)+hypercall.PageSize) // RSP0
	binary.LittleEndian.PutUint16(b[102:], tssBase)
	bitmap := b[tssBase : tssBase+bitmapSize(ports)]
	for i := range bitmap {
		bitmap[i] = 0xff
	}
	for _, p := range ports {
		for i := p; i < p+4; i++ {
			bitmap[i/8] &^= 1 << (i % 8)
		}
	}
}

// bitmapSize is how many bytes of bitmap the highest open port needs, and one more that the processor demands. Ports
// beyond it are closed.
func bitmapSize(ports []uint16) int {
	highest := uint16(0)
	for _, p := range ports {
		highest = max(highest, p+3)
	}
	return int(highest)/8 + 2
}

// ExceptionFrame is what the processor pushed for an exception that came from CPL 3.
type ExceptionFrame struct {
	Error                    uint64 // 0 for vectors without error code
	RIP, CS, RFLAGS, RSP, SS uint64
}

// hasErrorCode are the vectors that push an error code (AMD APM vol. 2 §8.2): 8, 10 to 14, 17, 21, 29, 30.
const hasErrorCode = 1<<8 | 1<<10 | 1<<11 | 1<<12 | 1<<13 | 1<<14 | 1<<17 | 1<<21 | 1<<29 | 1<<30

// Exception reads the frame of an exception that a stub has just reported.
func (d *Descriptors) Exception(vector int) ExceptionFrame {
	top := d.stack[hypercall.PageSize-40:]
	f := ExceptionFrame{
		RIP: get(top, 0), CS: get(top, 1), RFLAGS: get(top, 2), RSP: get(top, 3), SS: get(top, 4),
	}
	if hasErrorCode>>vector&1 != 0 {
		f.Error = get(d.stack[hypercall.PageSize-48:], 0)
	}
	return f
}
