package monitor

import (
	"encoding/binary"
	"fmt"
	"ukvm.dev/hypercall"
)

func (vm *VM) Debug() string {
	c := vm.space.control
	r := vm.vcpu.Regs()
	s := fmt.Sprintf("rip %#x rsp %#x mask %d pending %d deadline %d vector %#x resume %#x signals %#x log %+v entry %+v guestclock %+v stats %+v\n", r.RIP, r.RSP, c.Mask, c.Pending, c.Deadline, c.Vector, c.Resume, c.Signals, c.Log.Switches, vm.entry, *vm.space.clock, vm.Stats())
	return s
}

func (vm *VM) Peek(a uint64) uint64 {
	var b [8]byte
	if err := vm.space.read(b[:], hypercall.GVA(a)); err != nil {
		return 0xdead
	}
	return binary.LittleEndian.Uint64(b[:])
}

func (vm *VM) MapDump() string {
	f := vm.space.control.Frame
	s := fmt.Sprintf("frame %+v\n", f)
	tab := f.RDX
	groups, mask := vm.Peek(tab+0x10), vm.Peek(tab+0x18)
	s += fmt.Sprintf("table %#x word0 %#x word1 %#x groups %#x mask %#x\n", tab, vm.Peek(tab), vm.Peek(tab+8), groups, mask)
	gs := vm.Peek(f.RBX + 0x50)
	empties, full := 0, 0
	if mask < 1<<20 {
		for i := uint64(0); i <= mask; i++ {
			c := vm.Peek(groups + i*gs)
			if c == 0 {
				s += fmt.Sprintf(" zero@%d(%#x)", i, groups+i*gs)
			}
			for j := 0; j < 8; j++ {
				if byte(c>>(8*j)) == 0x80 {
					empties++
				} else if byte(c>>(8*j)) < 0x80 {
					full++
				}
			}
		}
	}
	s += fmt.Sprintf("groupsize %d empties %d full %d\n", gs, empties, full)
	return s
}
