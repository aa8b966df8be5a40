package kvm_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/internal/kvmtest"
	"ukvm.dev/monitor/kvm"
)

// newMemory returns so much memory, of which nothing is touched, for a machine that is made after it and so ends before it.
func newMemory(t testing.TB, size int) []byte {
	t.Helper()
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
	return memory
}

// newMachine makes a machine without memory.
func newMachine(t testing.TB) *kvm.Machine {
	t.Helper()
	kvmtest.Require(t)
	system, err := kvm.Open()
	if err != nil {
		t.Fatal(err)
	}
	machine, err := system.NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(machine.Close(), system.Close()); err != nil {
			t.Error(err)
		}
	})
	return machine
}

// withSlots makes a machine with so much memory in two slots, the second at 1 TiB.
func withSlots(t testing.TB, size int) *kvm.Machine {
	t.Helper()
	memory := newMemory(t, size)
	m := newMachine(t)
	if err := errors.Join(m.AddMemory(0, memory[:size/2]), m.AddMemory(1<<40, memory[size/2:])); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestForget checks that every slot can be made anew, and that memory can be added afterwards where there is none, and not where
// there is.
func TestForget(t *testing.T) {
	more := newMemory(t, 1<<20)
	m := withSlots(t, 8<<20)
	for range 3 {
		if err := m.Forget(); err != nil {
			t.Fatal(err)
		}
	}
	for _, gpa := range []uint64{0, 1 << 40} {
		if m.AddMemory(gpa, more) == nil {
			t.Errorf("there is no memory at %#x any more", gpa)
		}
	}
	if err := m.AddMemory(1<<41, more); err != nil {
		t.Error(err)
	}
}

// BenchmarkForget is the price of a page-table entry that comes to mean something else. What it costs the guest afterwards, a fault for
// each page it uses, comes on top.
func BenchmarkForget(b *testing.B) {
	for _, size := range []int{256 << 20, 2 << 30, 16 << 30} {
		b.Run(fmt.Sprintf("%dM", size>>20), func(b *testing.B) {
			m := withSlots(b, size)
			for b.Loop() {
				if err := m.Forget(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
