package monitor

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/cpu"

	"ukvm.dev/devices/clock"
	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/monitor/loader"
	"ukvm.dev/monitor/paging"
)

// fillMemory makes the guest's memory and puts everything into it that the guest finds there when it starts.
func (vm *VM) fillMemory(image *loader.Image) error {
	var err error
	if vm.space, err = newSpace(vm.config.Memory); err != nil {
		return err
	}
	s := vm.space
	if vm.desc, err = paging.NewDescriptors(s.ram, s.tables, openPorts()); err != nil {
		return err
	}
	if err := s.loadImage(image, vm.image); err != nil {
		return err
	}
	if err := vm.loadArchive(); err != nil {
		return err
	}
	s.addRegion(hypercall.StackTop-hypercall.StackSize, hypercall.StackTop, hypercall.ProtRead|hypercall.ProtWrite)
	if vm.stack, err = vm.buildStack(); err != nil {
		return err
	}
	if err := vm.writeBoot(image); err != nil {
		return err
	}
	s.control.Mask = 1
	s.control.Vector = hypercall.NoException
	s.control.Resident = s.used()
	return nil
}

// startProcessor starts the guest's clock and sets the registers for its first instruction.
func (vm *VM) startProcessor(entry hypercall.GVA) error {
	if err := vm.startClock(); err != nil {
		return err
	}
	return vm.setRegisters(entry, vm.stack)
}

func openPorts() []uint16 {
	ports := make([]uint16, hypercall.CallMax)
	for i := range ports {
		ports[i] = hypercall.PortCall + uint16(i)
	}
	return ports
}

// loadArchive maps the archive with the guest's files, read-only.
func (vm *VM) loadArchive() error {
	files := vm.config.Files
	if len(files) == 0 {
		return nil
	}
	end := hypercall.ArchiveVA + hypercall.GVA(roundUp(uint64(len(files))))
	if end > hypercall.StackTop-hypercall.StackSize {
		return paging.ErrNoMemory
	}
	s := vm.space
	s.addRegion(hypercall.ArchiveVA, end, hypercall.ProtRead)
	if err := s.commit(hypercall.ArchiveVA, end, hypercall.ProtRead); err != nil {
		return err
	}
	to, err := s.slices(nil, hypercall.ArchiveVA, uint64(len(files)), hypercall.ProtRead)
	if err != nil {
		return err
	}
	for _, b := range to {
		files = files[copy(b, files):]
	}
	return nil
}

func roundUp(n uint64) uint64 { return (n + hypercall.PageSize - 1) &^ (hypercall.PageSize - 1) }

// Auxiliary vector entries (System V ABI, AMD64 supplement, §3.4.3).
const (
	auxNull     = 0
	auxPageSize = 6
	auxRandom   = 25
	auxExecName = 31
)

// buildStack lays out a process stack as Linux does: argc, argv, envp and the auxiliary vector at RSP, and the strings
// above. It returns RSP.
func (vm *VM) buildStack() (hypercall.GVA, error) {
	var strs []byte // what lies above; addresses are known when its size is
	var random [16]byte
	rand.Read(random[:])
	strs = append(strs, random[:]...)
	offset := func(v string) uint64 {
		at := uint64(len(strs))
		strs = append(append(strs, v...), 0)
		return at
	}
	var args, env []uint64
	for _, a := range vm.config.Args {
		args = append(args, offset(a))
	}
	for _, e := range vm.environment() {
		env = append(env, offset(e))
	}
	name := offset(vm.config.Args[0])
	words := 1 + len(args) + 1 + len(env) + 1 + 2*4
	if uint64(len(strs)+8*words) > hypercall.StackSize/2 {
		return 0, fmt.Errorf("%w: arguments and environment are larger than %d KiB", ErrConfig, hypercall.StackSize>>11)
	}
	base := (hypercall.StackTop - hypercall.GVA(len(strs))) &^ 15
	sp := (base - hypercall.GVA(8*words)) &^ 15
	b := make([]byte, 0, hypercall.StackTop-sp)
	word := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	word(uint64(len(args)))
	for _, list := range [][]uint64{args, env} {
		for _, at := range list {
			word(uint64(base) + at)
		}
		word(0)
	}
	word(auxPageSize)
	word(hypercall.PageSize)
	word(auxRandom)
	word(uint64(base))
	word(auxExecName)
	word(uint64(base) + name)
	word(auxNull)
	word(0)
	b = append(b, make([]byte, int(base-sp)-len(b))...)
	return sp, vm.space.write(sp, append(b, strs...))
}

// environment is the program's, with a memory limit for Go's garbage collector that leaves room for what the runtime
// does not count: the image, stacks of threads, page tables.
func (vm *VM) environment() []string {
	for _, e := range vm.config.Env {
		if strings.HasPrefix(e, "GOMEMLIMIT=") {
			return vm.config.Env
		}
	}
	free := vm.config.Memory - min(max(vm.space.used(), vm.space.imageSize), vm.config.Memory/2)
	limit := free - free/16 - min(2<<20, free/8)
	return append(vm.config.Env[:len(vm.config.Env):len(vm.config.Env)], fmt.Sprintf("GOMEMLIMIT=%d", limit))
}

func (vm *VM) writeBoot(image *loader.Image) error {
	page, err := vm.space.reserve(hypercall.BootVA, roundUp(bootSize), hypercall.ProtRead)
	if err != nil {
		return err
	}
	b := bootOf(page)
	*b = hypercall.Boot{
		Magic: hypercall.BootMagic, Version: hypercall.Version, Devices: uint32(len(vm.config.NICs) + len(vm.config.Shares)),
		Memory: vm.config.Memory, ImageStart: image.Start(), ImageEnd: image.End(), Archive: uint64(len(vm.config.Files)),
	}
	if err := vm.writeFirewall(b); err != nil {
		return err
	}
	rand.Read(b.Seed[:])
	copy(b.Hostname[:], vm.config.Hostname)
	copy(b.WorkDir[:], vm.config.Dir)
	b.Console = [3]uint32{streamKind(vm.config.Stdin), streamKind(vm.config.Stdout), streamKind(vm.config.Stderr)}
	for i := range vm.config.NICs {
		n := &vm.config.NICs[i]
		d := &b.Device[i]
		features, err := agree(n.Link)
		if err != nil {
			return fmt.Errorf("set up network card %s: %w", n.Name, err)
		}
		d.Kind, d.Net = hypercall.DeviceNet, netConfig(&n.Config, features)
		copy(d.Name[:], n.Name)
		slot, err := vm.reserveSlot(i)
		if err != nil {
			return err
		}
		card := newNIC(n, features, slot, vm.space)
		vm.nics = append(vm.nics, card)
		if err := card.reserveRing(i, vm.space); err != nil {
			return err
		}
	}
	for i := range vm.config.Shares {
		device := len(vm.config.NICs) + i
		if err := vm.addShare(device, &vm.config.Shares[i], &b.Device[device]); err != nil {
			return err
		}
	}
	return nil
}

// writeFirewall puts the rules of the packet filter behind the boot information.
func (vm *VM) writeFirewall(b *hypercall.Boot) error {
	if vm.config.Firewall == nil {
		return nil
	}
	code := vm.config.Firewall.Code()
	page, err := vm.space.reserve(hypercall.FirewallVA, roundUp(uint64(len(code))), hypercall.ProtRead)
	if err != nil {
		return err
	}
	b.Firewall = uint32(copy(page, code))
	return nil
}

// streamKind says what a stream is, as far as programs can tell.
func streamKind(s any) uint32 {
	if s == nil || s == io.Reader(nil) || s == io.Writer(nil) {
		return hypercall.ConsoleNull
	}
	if f, ok := s.(*os.File); ok && isTerminal(f) {
		return hypercall.ConsoleTTY
	}
	return hypercall.ConsolePipe
}

func (vm *VM) startClock() error {
	khz, err := vm.vcpu.TSCFrequency()
	if err != nil {
		return err
	}
	vm.clock, err = clock.New(vm.space.clock, khz, func() (uint64, error) { return vm.vcpu.MSR(kvm.MSRTSC) })
	return err
}

// Control register and EFER bits (AMD APM vol. 2 §3.1, Intel SDM vol. 3 §2.5).
const (
	cr0 = 1<<0 | 1<<1 | 1<<4 | 1<<5 | 1<<16 | 1<<31 // PE MP ET NE WP PG
	cr4 = 1<<5 |                                    // PAE
		1<<9 | 1<<10 | // OSFXSR, OSXMMEXCPT: SSE
		1<<11 | // UMIP: SGDT and its kin trap
		1<<16 | // FSGSBASE: WRFSBASE works at CPL 3
		1<<18 // OSXSAVE
	efer = 1<<8 | 1<<10 | 1<<11 // LME LMA NXE; not SCE: SYSCALL traps
)

// xcr0 are the state components of the processor that a guest can use (Intel SDM vol. 1 §13.1).
func xcr0() uint64 {
	const (
		x87, sse = 1 << 0, 1 << 1
		avx      = 1 << 2
		avx512   = 1<<5 | 1<<6 | 1<<7 // opmask, ZMM_Hi256, Hi16_ZMM
	)
	x := uint64(x87 | sse)
	if cpu.X86.HasAVX {
		x |= avx
	}
	if cpu.X86.HasAVX512F {
		x |= avx512
	}
	return x
}

// setRegisters sets the vCPU to 64-bit mode at CPL 3, at the guest's entry.
func (vm *VM) setRegisters(entry, sp hypercall.GVA) error {
	s, err := vm.vcpu.Sregs()
	if err != nil {
		return err
	}
	s.CR0, s.CR3, s.CR4, s.EFER = cr0, uint64(vm.space.tables.Root()), cr4, efer
	s.GDT.Base, s.GDT.Limit = uint64(vm.desc.GDT), vm.desc.GDTLimit
	s.IDT.Base, s.IDT.Limit = uint64(vm.desc.IDT), vm.desc.IDTLimit
	s.TR = kvm.Segment{Base: uint64(vm.desc.TSS), Limit: vm.desc.TSSLimit, Selector: vm.desc.TSSSelector, Typ: 11, Present: 1}
	s.DS, s.ES, s.FS, s.GS = userData(), userData(), userData(), userData()
	userMode(&s)
	if err := vm.vcpu.SetSregs(&s); err != nil {
		return err
	}
	if err := vm.vcpu.SetXCR0(xcr0()); err != nil {
		return err
	}
	r := vm.vcpu.Regs()
	*r = kvm.Regs{RIP: uint64(entry), RSP: uint64(sp), RFLAGS: rflagsFixed}
	vm.vcpu.LoadRegs()
	return nil
}

// rflagsFixed is the flag that is always set.
const rflagsFixed = 2

// userMode sets the segments that make the privilege level 3.
func userMode(s *kvm.Sregs) {
	s.CS = kvm.Segment{Limit: 0xffffffff, Selector: paging.UserCode, Typ: 11, Present: 1, DPL: 3, S: 1, L: 1, G: 1}
	s.SS = userData()
}

func userData() kvm.Segment {
	return kvm.Segment{Limit: 0xffffffff, Selector: paging.UserData, Typ: 3, Present: 1, DPL: 3, DB: 1, S: 1, G: 1}
}
