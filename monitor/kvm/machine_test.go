package kvm_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/internal/kvmtest"
	"ukvm.dev/monitor/kvm"
)

// newMachine makes a machine with so much memory, of which nothing is touched.
func newMachine(t testing.TB, size int) *kvm.Machine {
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
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(machine.Close(), system.Close(), unix.Munmap(memory)); err != nil {
			t.Error(err)
		}
	})
	half := size / 2
	for _, err := range []error{machine.AddMemory(0, memory[:half]), machine.AddMemory(1<<40, memory[half:])} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return machine
}

// TestForget checks that every slot can be made anew, and that memory can be added afterwards where there is none, and not where
// there is.
func TestForget(t *testing.T) {
	more, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(more) }) // after the machine's end: the last cleanup runs first
	m := newMachine(t, 8<<20)
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
			m := newMachine(b, size)
			for b.Loop() {
				if err := m.Forget(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
