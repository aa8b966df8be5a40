package kvm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"

	"ukvm.dev/hypercall"
)

// layout is what this package believes of the kernel's headers: a C expression, the value in use here, and the one the
// headers have on x86-64, for machines without a compiler.
var layout = []struct {
	c    string
	got  uintptr
	want uintptr
}{
	{"offsetof(struct kvm_run, request_interrupt_window)", unsafe.Offsetof(runArea{}.requestInterruptWindow), 0},
	{"offsetof(struct kvm_run, immediate_exit)", unsafe.Offsetof(runArea{}.immediateExit), 1},
	{"offsetof(struct kvm_run, exit_reason)", unsafe.Offsetof(runArea{}.exitReason), 8},
	{"offsetof(struct kvm_run, io)", unsafe.Offsetof(runArea{}.exit), 32},
	{"offsetof(struct kvm_run, kvm_valid_regs)", unsafe.Offsetof(runArea{}.validRegs), 288},
	{"offsetof(struct kvm_run, kvm_dirty_regs)", unsafe.Offsetof(runArea{}.dirtyRegs), 296},
	{"offsetof(struct kvm_run, s.regs.regs)", unsafe.Offsetof(runArea{}.regs), 304},
	{"offsetof(struct kvm_run, s.regs.sregs)", unsafe.Offsetof(runArea{}.sregs), 448},
	{"offsetof(struct kvm_run, s.regs.events)", runAreaSize, 760},
	{"KVM_SYNC_X86_REGS", syncRegs, 1},
	{"KVM_SYNC_X86_SREGS", syncSregs, 2},

	// IO reads these from the exit union.
	{"offsetof(struct kvm_run, io.direction) - offsetof(struct kvm_run, io)", 0, 0},
	{"offsetof(struct kvm_run, io.size) - offsetof(struct kvm_run, io)", 1, 1},
	{"offsetof(struct kvm_run, io.port) - offsetof(struct kvm_run, io)", 2, 2},
	{"offsetof(struct kvm_run, io.count) - offsetof(struct kvm_run, io)", 4, 4},
	{"KVM_EXIT_IO_OUT", 1, 1},
	{"offsetof(struct kvm_run, fail_entry.hardware_entry_failure_reason) - offsetof(struct kvm_run, io)", 0, 0},
	{"offsetof(struct kvm_run, internal.suberror) - offsetof(struct kvm_run, io)", 0, 0},

	{"KVM_EXIT_IO", ExitIO, 2},
	{"KVM_EXIT_DEBUG", ExitDebug, 4},
	{"KVM_EXIT_HLT", ExitHalt, 5},
	{"KVM_EXIT_MMIO", ExitMMIO, 6},
	{"KVM_EXIT_SHUTDOWN", ExitShutdown, 8},
	{"KVM_EXIT_FAIL_ENTRY", ExitFailEntry, 9},
	{"KVM_EXIT_INTERNAL_ERROR", ExitInternalError, 17},

	{"KVM_RUN", ioctlRun, 0xae80},
	{"KVM_GET_MSRS", ioctlGetMSRs, 0xc008ae88},
	{"KVM_SET_MSRS", ioctlSetMSRs, 0x4008ae89},
	{"sizeof(struct kvm_msr_entry)", unsafe.Sizeof(msr{}), 16},
	{"offsetof(struct kvm_msr_entry, data)", unsafe.Offsetof(msr{}.data), 8},
	{"offsetof(struct kvm_msrs, entries)", unsafe.Offsetof(msrs{}.entry), 8},

	{"sizeof(struct kvm_regs)", unsafe.Sizeof(Regs{}), 144},
	{"sizeof(struct kvm_sregs)", unsafe.Sizeof(Sregs{}), 312},
	{"offsetof(struct kvm_sregs, tr)", unsafe.Offsetof(Sregs{}.TR), 144},
	{"offsetof(struct kvm_sregs, gdt)", unsafe.Offsetof(Sregs{}.GDT), 192},
	{"offsetof(struct kvm_sregs, idt)", unsafe.Offsetof(Sregs{}.IDT), 208},
	{"offsetof(struct kvm_sregs, cr0)", unsafe.Offsetof(Sregs{}.CR0), 224},
	{"offsetof(struct kvm_sregs, cr2)", unsafe.Offsetof(Sregs{}.CR2), 232},
	{"offsetof(struct kvm_sregs, cr3)", unsafe.Offsetof(Sregs{}.CR3), 240},
	{"offsetof(struct kvm_sregs, cr4)", unsafe.Offsetof(Sregs{}.CR4), 248},
	{"offsetof(struct kvm_sregs, efer)", unsafe.Offsetof(Sregs{}.EFER), 264},
	{"offsetof(struct kvm_segment, limit)", unsafe.Offsetof(Segment{}.Limit), 8},
	{"offsetof(struct kvm_segment, selector)", unsafe.Offsetof(Segment{}.Selector), 12},
	{"offsetof(struct kvm_segment, type)", unsafe.Offsetof(Segment{}.Typ), 14},
	{"offsetof(struct kvm_segment, present)", unsafe.Offsetof(Segment{}.Present), 15},
	{"offsetof(struct kvm_segment, dpl)", unsafe.Offsetof(Segment{}.DPL), 16},
	{"offsetof(struct kvm_segment, db)", unsafe.Offsetof(Segment{}.DB), 17},
	{"offsetof(struct kvm_segment, s)", unsafe.Offsetof(Segment{}.S), 18},
	{"offsetof(struct kvm_segment, l)", unsafe.Offsetof(Segment{}.L), 19},
	{"offsetof(struct kvm_segment, g)", unsafe.Offsetof(Segment{}.G), 20},
	{"KVM_GET_VCPU_EVENTS", ioctlGetVCPUEvents, 0x8040ae9f},
	{"sizeof(struct kvm_vcpu_events)", unsafe.Sizeof(gokvm.VCPUEvents{}), 64},
	{"offsetof(struct kvm_vcpu_events, exception.injected)", unsafe.Offsetof(gokvm.VCPUEvents{}.E) + unsafe.Offsetof(gokvm.Exception{}.Inject), 0},
	{"offsetof(struct kvm_vcpu_events, exception.pending)", unsafe.Offsetof(gokvm.VCPUEvents{}.E) + unsafe.Offsetof(gokvm.Exception{}.Pending), 3},
	{"sizeof(struct kvm_userspace_memory_region)", unsafe.Sizeof(gokvm.UserspaceMemoryRegion{}), 32},
	{"offsetof(struct kvm_cpuid2, entries)", unsafe.Offsetof(cpuid{}.entry), 8},
	{"KVM_GET_SUPPORTED_CPUID", ioctlGetSupportedCPUID, 0xc008ae05},
	{"KVM_SET_CPUID2", ioctlSetCPUID2, 0x4008ae90},
	{"sizeof(struct kvm_cpuid_entry2)", unsafe.Sizeof(gokvm.CPUIDEntry2{}), 40},

	{"sizeof(struct sigevent)", unsafe.Sizeof(sigevent{}), 64},
	{"offsetof(struct sigevent, sigev_signo)", unsafe.Offsetof(sigevent{}.signo), 8},
	{"offsetof(struct sigevent, sigev_notify)", unsafe.Offsetof(sigevent{}.notify), 12},
	{"offsetof(struct sigevent, _sigev_un._tid)", unsafe.Offsetof(sigevent{}.tid), 16},
	{"SIGURG", uintptr(kickSignal), 23},
}

func TestLayout(t *testing.T) {
	for _, l := range layout {
		if l.got != l.want {
			t.Errorf("%s: %d here, want %d", l.c, l.got, l.want)
		}
	}
}

// TestKernelHeaders has the C compiler say what the expressions are.
func TestKernelHeaders(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler; TestLayout compares with what one has said")
	}
	if _, err := os.Stat("/usr/include/linux/kvm.h"); err != nil {
		t.Skip(err)
	}
	var src strings.Builder
	src.WriteString("#include <stddef.h>\n#include <stdio.h>\n#include <linux/kvm.h>\n#include <asm/siginfo.h>\n#include <asm/signal.h>\nint main(void) {\n")
	for _, l := range layout {
		fmt.Fprintf(&src, "printf(\"%%lu\\n\", (unsigned long)(%s));\n", l.c)
	}
	src.WriteString("return 0;\n}\n")
	dir := t.TempDir()
	file, program := filepath.Join(dir, "layout.c"), filepath.Join(dir, "layout")
	if err := os.WriteFile(file, []byte(src.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-o", program, file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(out))
	if len(lines) != len(layout) {
		t.Fatalf("%d values, want %d", len(lines), len(layout))
	}
	for i, l := range layout {
		if v, err := strconv.ParseUint(lines[i], 10, 64); err != nil || uintptr(v) != l.got {
			t.Errorf("%s: %d here, %s in the kernel's headers", l.c, l.got, lines[i])
		}
	}
}

// TestFrameIsRegs checks that the frame the guest sees and KVM's registers have the same layout, register by register.
func TestFrameIsRegs(t *testing.T) {
	if unsafe.Sizeof(hypercall.Frame{}) != unsafe.Sizeof(Regs{}) {
		t.Fatalf("%d bytes, want %d", unsafe.Sizeof(hypercall.Frame{}), unsafe.Sizeof(Regs{}))
	}
	var (
		f hypercall.Frame
		r Regs
	)
	for _, reg := range []struct {
		name        string
		frame, regs uintptr
	}{
		{"RAX", unsafe.Offsetof(f.RAX), unsafe.Offsetof(r.RAX)}, {"RBX", unsafe.Offsetof(f.RBX), unsafe.Offsetof(r.RBX)},
		{"RCX", unsafe.Offsetof(f.RCX), unsafe.Offsetof(r.RCX)}, {"RDX", unsafe.Offsetof(f.RDX), unsafe.Offsetof(r.RDX)},
		{"RSI", unsafe.Offsetof(f.RSI), unsafe.Offsetof(r.RSI)}, {"RDI", unsafe.Offsetof(f.RDI), unsafe.Offsetof(r.RDI)},
		{"RSP", unsafe.Offsetof(f.RSP), unsafe.Offsetof(r.RSP)}, {"RBP", unsafe.Offsetof(f.RBP), unsafe.Offsetof(r.RBP)},
		{"R8", unsafe.Offsetof(f.R8), unsafe.Offsetof(r.R8)}, {"R9", unsafe.Offsetof(f.R9), unsafe.Offsetof(r.R9)},
		{"R10", unsafe.Offsetof(f.R10), unsafe.Offsetof(r.R10)}, {"R11", unsafe.Offsetof(f.R11), unsafe.Offsetof(r.R11)},
		{"R12", unsafe.Offsetof(f.R12), unsafe.Offsetof(r.R12)}, {"R13", unsafe.Offsetof(f.R13), unsafe.Offsetof(r.R13)},
		{"R14", unsafe.Offsetof(f.R14), unsafe.Offsetof(r.R14)}, {"R15", unsafe.Offsetof(f.R15), unsafe.Offsetof(r.R15)},
		{"RIP", unsafe.Offsetof(f.RIP), unsafe.Offsetof(r.RIP)}, {"RFLAGS", unsafe.Offsetof(f.RFLAGS), unsafe.Offsetof(r.RFLAGS)},
	} {
		if reg.frame != reg.regs {
			t.Errorf("%s: at %d in the frame, %d in KVM's registers", reg.name, reg.frame, reg.regs)
		}
	}
}
