package monitor

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/kvmtest"
)

// hang is how long a guest may take that ends by itself. None takes a second, but the machine may have other work.
const hang = 20 * time.Second

// newGuest makes a VM of an image, which is closed when the test ends.
func newGuest(t testing.TB, image *kvmtest.Image, c Config) *VM {
	t.Helper()
	kvmtest.Require(t)
	c.Image = kvmtest.WriteFile(t, image.ELF())
	if c.Memory == 0 {
		c.Memory = MinMemory
	}
	vm, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := vm.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return vm
}

// runGuest runs code to its end.
func runGuest(t testing.TB, code *kvmtest.Code, c Config) error {
	t.Helper()
	return runVM(t, newGuest(t, code.Image(), c))
}

// runVM runs a guest to its end. One that does not end fails the test.
func runVM(t testing.TB, vm *VM) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	err := vm.Run(ctx)
	if ctx.Err() != nil {
		t.Errorf("the guest has not ended within %v: %s, %+v", hang, vm.where(), vm.Stats())
	}
	return err
}

// Parts of guests' programs that package kvmtest does not have.

// rax sets RAX.
func rax(v uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{0x48, 0xb8}, v) }

// rbx sets RBX.
func rbx(v uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{0x48, 0xbb}, v) }

// push pushes a number.
func push(v uint32) []byte { return binary.LittleEndian.AppendUint32([]byte{0x68}, v) }

// repeat runs body n times. It counts in R12.
func repeat(c *kvmtest.Code, label string, n uint32, body func()) {
	c.Raw(binary.LittleEndian.AppendUint32([]byte{0x49, 0xc7, 0xc4}, n)...).Label(label) // MOV R12, n
	body()
	c.Raw(0x49, 0xff, 0xcc, 0x74, 5).Jump(label) // DEC R12; JZ over
}

// memoryOps makes memory operations, which it stores at DataVA.
func memoryOps(c *kvmtest.Code, ops ...hypercall.MemoryOp) *kvmtest.Code {
	for i, op := range ops {
		at := kvmtest.DataVA + hypercall.GVA(uint64(i)*memoryOpSize)
		c.Store(at, uint64(op.Op)|uint64(op.Prot)<<32).Store(at+8, uint64(op.Start)).Store(at+16, uint64(op.End))
	}
	return c.Call(hypercall.CallMemory, uint64(kvmtest.DataVA), uint64(len(ops)))
}

// regionTable is the guest's table of regions with those of the image, and others above them.
func regionTable(c *kvmtest.Code, others ...hypercall.Region) *kvmtest.Code {
	all := append([]hypercall.Region{
		region(kvmtest.TextVA, kvmtest.RodataVA, readExec), region(kvmtest.RodataVA, kvmtest.RodataVA+page, readOnly),
		region(kvmtest.DataVA, kvmtest.DataVA+page, readWrite),
	}, others...)
	for i, r := range all {
		at := hypercall.RegionsVA + 24 + hypercall.GVA(i)*24
		c.Store(at, uint64(r.Start)).Store(at+8, uint64(r.End)).Store(at+16, uint64(r.Prot))
	}
	return c.Store(hypercall.RegionsVA, uint64(len(all)))
}
