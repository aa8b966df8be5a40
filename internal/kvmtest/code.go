package kvmtest

import (
	"encoding/binary"
	"fmt"

	"ukvm.dev/hypercall"
)

// Arg is the address of word i of the argument block.
func Arg(i int) hypercall.GVA { return Args + hypercall.GVA(8*i) }

// Code is the text of an image under construction. Its methods append instructions, and use RAX, RCX and RDX as they
// like; they return the Code, so that a program reads as a chain. The zero Code is empty.
type Code struct {
	bytes  []byte
	labels map[string]int
	uses   []use
}

// use is a place where a label's address belongs.
type use struct {
	at       int
	label    string
	relative bool // 32 bits, from the end of the field; else 64 bits, absolute
}

// Raw appends instructions as they are.
func (c *Code) Raw(b ...byte) *Code {
	c.bytes = append(c.bytes, b...)
	return c
}

// Label gives the present position a name.
func (c *Code) Label(name string) *Code {
	if c.labels == nil {
		c.labels = map[string]int{}
	}
	if _, ok := c.labels[name]; ok {
		panic("BUG: label " + name + " is defined twice")
	}
	c.labels[name] = len(c.bytes)
	return c
}

// Address is where a label lies that has been defined already.
func (c *Code) Address(label string) hypercall.GVA {
	at, ok := c.labels[label]
	if !ok {
		panic("BUG: no label " + label)
	}
	return CodeVA + hypercall.GVA(at)
}

// Store sets the word at addr.
func (c *Code) Store(addr hypercall.GVA, v uint64) *Code {
	return c.Raw(0x48, 0xb8).word(v).storeRAX(addr) // MOV RAX, imm64
}

// StoreLabel sets the word at addr to a label's address.
func (c *Code) StoreLabel(addr hypercall.GVA, label string) *Code {
	c.Raw(0x48, 0xb8)
	c.uses = append(c.uses, use{len(c.bytes), label, false})
	return c.word(0).storeRAX(addr)
}

// Copy sets the word at to to the one at from.
func (c *Code) Copy(to, from hypercall.GVA) *Code { return c.Load(from).storeRAX(to) }

// Load brings the word at addr into RAX.
func (c *Code) Load(addr hypercall.GVA) *Code { return c.Raw(0x48, 0xa1).word(uint64(addr)) } // MOV RAX, moffs64

func (c *Code) storeRAX(addr hypercall.GVA) *Code { return c.Raw(0x48, 0xa3).word(uint64(addr)) } // MOV moffs64, RAX

func (c *Code) word(v uint64) *Code {
	c.bytes = binary.LittleEndian.AppendUint64(c.bytes, v)
	return c
}

// Out writes EAX to a port.
func (c *Code) Out(port uint16) *Code {
	return c.Raw(0x66, 0xba, byte(port), byte(port>>8), 0xef) // MOV DX, imm16; OUT DX, EAX
}

// Call fills the argument block and makes a hypercall.
func (c *Code) Call(n hypercall.Call, args ...uint64) *Code {
	for i, a := range args {
		c.Store(Arg(i), a)
	}
	return c.Out(hypercall.PortCall + uint16(n))
}

// Halt ends the guest.
func (c *Code) Halt(status uint64) *Code { return c.Call(hypercall.CallHalt, status, 0) }

// Expect ends the guest with a status if the word at addr is not v.
func (c *Code) Expect(addr hypercall.GVA, v, status uint64) *Code {
	fail := new(Code).Halt(status)
	c.Load(addr).Raw(0x48, 0xb9).word(v)                 // MOV RCX, imm64
	c.Raw(0x48, 0x39, 0xc8, 0x74, byte(len(fail.bytes))) // CMP RAX, RCX; JE over
	return c.Raw(fail.bytes...)
}

// Jump goes to a label.
func (c *Code) Jump(label string) *Code {
	c.Raw(0xe9)
	c.uses = append(c.uses, use{len(c.bytes), label, true})
	return c.Raw(0, 0, 0, 0)
}

// Spin is an endless loop.
func (c *Code) Spin() *Code { return c.Raw(0xeb, 0xfe) }

// UpcallStack is the stack Start gives to upcalls: the end of the data's first page.
const UpcallStack = DataVA + pageSize

// Start makes the first call of a guest kernel, with the label as entry of upcalls, and lets them come. The label is
// also the gate; nothing is the end of the return path.
func (c *Code) Start(upcall string) *Code {
	c.StoreLabel(Arg(0), upcall).Store(Arg(1), uint64(UpcallStack)).StoreLabel(Arg(2), upcall).Store(Arg(3), uint64(TextVA))
	return c.Out(hypercall.PortCall+uint16(hypercall.CallStart)).Store(Mask, 0)
}

// Bytes is the finished text.
func (c *Code) Bytes() []byte {
	for _, u := range c.uses {
		to := c.Address(u.label)
		if u.relative {
			binary.LittleEndian.PutUint32(c.bytes[u.at:], uint32(to-(CodeVA+hypercall.GVA(u.at)+4)))
		} else {
			binary.LittleEndian.PutUint64(c.bytes[u.at:], uint64(to))
		}
	}
	if TextVA+hypercall.GVA(len(c.bytes)+hypercall.HeaderSize) > RodataVA {
		panic(fmt.Sprintf("BUG: %d bytes of text", len(c.bytes)))
	}
	return c.bytes
}

// Image is an image of this text with a page of data.
func (c *Code) Image() *Image { return &Image{Code: c.Bytes(), BSS: pageSize} }
