package kernel

import (
	"runtime"
	"testing"
	"unsafe"

	"ukvm.dev/hypercall"
)

// TestGateRegisters makes system calls through the gate on the host's processor and compares all registers before and
// after with what SYSCALL promises (System V ABI AMD64 supplement §A.2.1).
func TestGateRegisters(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector keeps its state in g, and the kernel's has none")
	}
	boots(t)
	sharePages(t)
	c := newCode(t)
	gate := assembly(t, Gate, "Gate")
	after, fs := uint64(0), uint64(0)
	call := c.withRegisters(func() {
		// MOV RCX, after; JMP [RIP+0]
		c.movabs(rcx, 0)
		patch := c.n - 8
		c.emit(0xff, 0x25, 0, 0, 0, 0)
		c.emit(0, 0, 0, 0, 0, 0, 0, 0)
		after = c.here()
		*(*uint64)(unsafe.Pointer(&c.mem[c.n-8])) = gate
		*(*uint64)(unsafe.Pointer(&c.mem[patch])) = after
	})
	// The kernel's g: the bounds of its stack, as Start sets them.
	g, stack := kernelMemory(t, gate)
	*word(g), *word(g + 8), *word(g + 16), *word(g + 24) = stack-kernelStack, stack, stack-kernelStack+1024, stack-kernelStack+1024
	mask := word(uint64(hypercall.ControlVA))
	loadedFS, threads[1].fs = fs, fs
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := random(7)
	for i := range 2000 {
		var regs hypercall.Frame
		fill(r, &regs)
		regs.RCX, regs.R11 = r.Uint64(), r.Uint64()
		regs.RDI, regs.RSI, regs.RDX = r.Uint64(), r.Uint64(), r.Uint64()
		want := uint64(0)
		switch i % 3 {
		case 0:
			regs.RAX, want = nrGettid, 1
		case 1:
			regs.RAX, want = 511, fail(eNOSYS)
		case 2:
			regs.RAX, regs.RDI, want = nrClose, 77, fail(eBADF)
		}
		*mask = 0
		in := regs
		call(&regs)
		if *mask != 0 {
			t.Fatal("upcalls stay masked")
		}
		in.RAX, in.RSP = want, regs.RSP
		in.RCX, in.R11 = regs.RCX, regs.R11 // lost
		in.RFLAGS = regs.RFLAGS
		if regs != in {
			t.Fatalf("after the call\n%+v, want\n%+v", regs, in)
		}
		if regs.RFLAGS&(1<<10) != 0 {
			t.Fatal("the direction flag is set")
		}
		if f := &threads[1].frame; f.RCX != after || f.RSP != regs.RSP {
			t.Fatalf("the kernel saw RCX %#x, RSP %#x; they were %#x, %#x", f.RCX, f.RSP, after, regs.RSP)
		}
	}
	if got := control().Log.Gates; got < 2000 {
		t.Errorf("%d calls were counted", got)
	}
}

// kernelMemory finds the kernel's g and the end of its stack in the gate's instructions:
//
//	LEAQ ·stack+const_kernelStack(SB), SP   48 8d 25 rel32
//	LEAQ ·g(SB), R14                        4c 8d 35 rel32
func kernelMemory(t *testing.T, gate uint64) (g, stack uint64) {
	rip := func(at uint64) uint64 { return at + 7 + uint64(int64(int32(*word32(at + 3)))) }
	for at := gate; at < gate+256; at++ {
		switch *word32(at) & 0xffffff {
		case 0x258d48:
			stack = rip(at)
		case 0x358d4c:
			g = rip(at)
		}
	}
	if g == 0 || stack == 0 {
		t.Fatal("the gate does not load what it should")
	}
	return g, stack
}

// TestBoot runs boot and sees what it tells the monitor.
func TestBoot(t *testing.T) {
	boots(t)
	b := boot_()
	for i := range b.Seed {
		b.Seed[i] = byte(i)
	}
	entries = entryPoints{upcall: 0x401000, stack: 0x600000, gate: 0x402000, tail: uintptr(assembly(t, tail, "tail"))}
	regions().Count = 0
	running = 0
	clear(threads[:])
	live, lastTID, threadTop = 0, 0, 1
	boot()
	tail := hypercall.GVA(entries.tail)
	if s := monitor.start; s.Upcall != 0x401000 || s.UpcallStack != 0x600000 || s.Gate != 0x402000 || s.Return <= tail || s.Return > tail+16 {
		t.Errorf("%+v, tail at %#x", monitor.start, tail)
	}
	if at := uint64(monitor.start.Return); *word32(at)&0xffffff != 0x2524ff || *word32(at + 3) != uint32(controlResume) {
		t.Errorf("no jump through Control.Resume at StartArgs.Return: %#x", *word(at))
	}
	if running != mainThread || threads[mainThread].tid != 1 || lookup(0) == nil || lookup(2) == nil || lookup(3) != nil {
		t.Error("no first thread, or no standard streams")
	}
	if xsaveStride < 2696 || xsaveStride%64 != 0 || xsaveBase%64 != 0 || !userRange(xsaveBase, 2*maxThreads*xsaveStride, protRead|protWrite) {
		t.Errorf("vector states at %#x, %d bytes each", xsaveBase, xsaveStride)
	}
	if !randomReady || randomKey == [8]uint32{} || monitor.calls[hypercall.CallEntropy] != 0 {
		t.Error("the seed was not used")
	}

	// What is no monitor, and what the return path must look like.
	b.Version++
	if e := endOf(t, boot); e.status != 255 {
		t.Errorf("another version: %+v", e)
	}
	b.Version--
	entries.tail = uintptr(arena)
	if e := endOf(t, boot); e.text == "" {
		t.Errorf("a return path of another form: %+v", e)
	}
	entries = entryPoints{}
}

// TestComponents: of the state components that processors describe, those are saved that lie within an area.
func TestComponents(t *testing.T) {
	was := cpuidFunc
	t.Cleanup(func() { cpuidFunc = was })
	described := map[uint64]uint64{2: 576<<32 | 256, 5: 1088<<32 | 64, 6: 1152<<32 | 512, 7: 1664<<32 | 1024, 9: 2688<<32 | 8, 11: 16}
	cpuidFunc = func(_, sub uint64) uint64 { return described[sub] }
	const all = 1<<2 | 1<<5 | 1<<6 | 1<<7 | 1<<9 | 1<<11
	for _, c := range []struct {
		size uint64
		want uint32
	}{
		{576, 3},       // x87 and SSE
		{576 + 256, 7}, // AVX
		{1088, 7},
		{2688, 0xe7},  // AVX-512, and not the protection keys behind it
		{2696, 0x2e7}, // those too; component 11, which is for supervisors, has no place
	} {
		if got := componentsOf(all, c.size); got != c.want {
			t.Errorf("of %d bytes: %#x, want %#x", c.size, got, c.want)
		}
	}
	// A processor with AMX whose CPUID does not say so (KVM_SET_CPUID2), although XCR0 has it.
	delete(described, 9)
	if got := componentsOf(all, 2688); got != 0xe7 {
		t.Errorf("with AMX hidden: %#x", got)
	}
}
