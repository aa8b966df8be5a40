package policy

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf/asm"
)

// assembler appends instructions. Labels are unique names.
type assembler struct {
	insns   asm.Instructions
	pending string // label of the next instruction
	labels  int
}

func (a *assembler) add(insns ...asm.Instruction) {
	for _, i := range insns {
		if a.pending != "" {
			i = i.WithSymbol(a.pending)
			a.pending = ""
		}
		a.insns = append(a.insns, i)
	}
}

// label makes a name for a place further on.
func (a *assembler) label() string {
	a.labels++
	return fmt.Sprintf("l%d", a.labels)
}

// mark gives the next instruction a name. One that has a name already is followed by another.
func (a *assembler) mark(label string) {
	if a.pending != "" {
		a.add(asm.Mov.Reg(asm.R0, asm.R0)) // does nothing
	}
	a.pending = label
}

// The program's stack, downwards from the frame pointer. Everything is aligned as the verifier wants it.
const (
	event   = -eventSize   // what the ring buffer gets
	headers = event - 48   // of Ethernet, then of ARP or IP, then of neighbour discovery
	ports   = headers - 16 // the beginning of TCP, UDP or ICMP
	mapKey  = ports - 8
)

// Registers that are kept over calls.
const (
	context  = asm.R6 // of the packet
	fragment = asm.R7 // nonzero: a later one, without ports; the reason, on the way out
	protocol = asm.R8
	opening  = asm.R9 // nonzero: the packet begins a flow; the place of the transport header, before that
)

// drop ends the program for a reason.
func (a *assembler) drop(why Reason) {
	a.add(asm.Mov.Imm(fragment, int32(why)), asm.Ja.Label("drop"))
}

// load copies n bytes of the packet to the stack, from an offset on; loadAt from one in a register. A packet that is shorter
// is malformed.
func (a *assembler) load(offset, to, n int32) {
	a.add(asm.Mov.Imm(asm.R2, offset))
	a.loadR2(to, n)
}

func (a *assembler) loadAt(offset asm.Register, to, n int32) {
	a.add(asm.Mov.Reg(asm.R2, offset))
	a.loadR2(to, n)
}

func (a *assembler) loadR2(to, n int32) {
	ok := a.label()
	a.add(
		asm.Mov.Reg(asm.R1, context),
		asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, to), asm.Mov.Imm(asm.R4, n),
		asm.FnSkbLoadBytes.Call(),
		asm.JEq.Imm(asm.R0, 0, ok),
	)
	a.drop(Malformed)
	a.mark(ok)
}

// copyHalves moves bytes on the stack, two at a time.
func (a *assembler) copyHalves(from, to int16, n int) {
	for i := int16(0); i < int16(n); i += 2 {
		a.add(asm.LoadMem(asm.R0, asm.RFP, from+i, asm.Half), asm.StoreMem(asm.RFP, to+i, asm.R0, asm.Half))
	}
}

// equalMAC goes to otherwise unless the address on the stack is mac.
func (a *assembler) equalMAC(at int16, mac [6]byte, otherwise string) {
	for i := 0; i < len(mac); i += 2 {
		a.add(asm.LoadMem(asm.R0, asm.RFP, at+int16(i), asm.Half),
			asm.JNE.Imm(asm.R0, int32(binary.LittleEndian.Uint16(mac[i:])), otherwise))
	}
}

// within goes to otherwise unless the address on the stack is in p.
func (a *assembler) within(at int16, p netip.Prefix, otherwise string) {
	addr := p.Masked().Addr().AsSlice()
	bits := p.Bits()
	for i := 0; i < len(addr) && bits > 0; i += 4 {
		mask := ^uint32(0)
		if bits < 32 {
			mask <<= 32 - bits
		}
		bits -= 32
		var wire [4]byte
		binary.BigEndian.PutUint32(wire[:], mask)
		a.add(asm.LoadMem(asm.R0, asm.RFP, at+int16(i), asm.Word))
		if mask != ^uint32(0) {
			a.add(asm.And.Imm32(asm.R0, int32(binary.LittleEndian.Uint32(wire[:]))))
		}
		a.add(asm.JNE.Imm32(asm.R0, int32(binary.LittleEndian.Uint32(addr[i:])), otherwise))
	}
}

// lookup leaves a pointer to an array's element in R0 and goes to otherwise if there is none. The key is in R1.
func (a *assembler) lookup(fd int, otherwise string) {
	a.add(
		asm.StoreMem(asm.RFP, mapKey, asm.R1, asm.Word),
		asm.LoadMapPtr(asm.R1, fd),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, mapKey),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, otherwise),
	)
}

// spend takes a token of a bucket and goes to otherwise if it is empty. A bucket is the time, in nanoseconds, at which it
// would be full (the generic cell rate algorithm, ITU-T I.371): each packet moves that on by interval, and it must not be
// further than slack ahead.
func (a *assembler) spend(fd int, place int16, interval, slack int64, otherwise string) {
	later, skip := a.label(), a.label()
	a.add(asm.Mov.Imm(asm.R1, 0))
	a.lookup(fd, skip)
	a.add(
		asm.Mov.Reg(opening, asm.R0),
		asm.FnKtimeGetNs.Call(),
		asm.LoadMem(asm.R1, opening, place, asm.DWord),
		asm.JGE.Reg(asm.R1, asm.R0, later),
		asm.Mov.Reg(asm.R1, asm.R0),
	)
	a.mark(later)
	a.add(
		asm.Mov.Reg(asm.R2, asm.R1), asm.Sub.Reg(asm.R2, asm.R0),
		asm.LoadImm(asm.R3, slack, asm.DWord),
		asm.JGT.Reg(asm.R2, asm.R3, otherwise),
		asm.LoadImm(asm.R3, interval, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R3),
		asm.StoreMem(opening, place, asm.R1, asm.DWord),
	)
	a.mark(skip)
}

// count adds the packet to a counter; its number is in R1.
func (a *assembler) count(fd int) {
	skip := a.label()
	a.lookup(fd, skip)
	a.add(
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord), asm.Add.Imm(asm.R1, 1), asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.R0, 8, asm.DWord),
		asm.LoadMem(asm.R2, asm.RFP, event+atLength, asm.Word), asm.Add.Reg(asm.R1, asm.R2),
		asm.StoreMem(asm.R0, 8, asm.R1, asm.DWord),
	)
	a.mark(skip)
}

// prune removes what cannot be reached, which the verifier would refuse. So parts that a policy does not need can be left
// without a way to them.
func prune(insns asm.Instructions) (kept asm.Instructions) {
	places := map[string]int{}
	for i := range insns {
		if label := insns[i].Symbol(); label != "" {
			places[label] = i
		}
	}
	reached := make([]bool, len(insns))
	for next := []int{0}; len(next) > 0; {
		i := next[len(next)-1]
		next = next[:len(next)-1]
		if reached[i] {
			continue
		}
		reached[i] = true
		op := insns[i].OpCode
		if label := insns[i].Reference(); label != "" {
			next = append(next, places[label])
		}
		if op.JumpOp() != asm.Exit && op.JumpOp() != asm.Ja {
			next = append(next, i+1)
		}
	}
	for i := range insns {
		if reached[i] {
			kept = append(kept, insns[i])
		}
	}
	return kept
}
