package monitor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/kvmtest"
	"ukvm.dev/netif"
)

// TestRandomGuests runs guests of random instructions, between calls with random arguments and stores of random words
// to the pages that the guest shares with the monitor. Whatever they do, this process goes on, and never is it KVM that
// gives up. The guests are the same each time for as many as there is time for; UKVM_SOAK=1 gives them ten minutes.
func TestRandomGuests(t *testing.T) {
	kvmtest.Require(t)
	budget := 5 * time.Second
	if os.Getenv("UKVM_SOAK") == "1" {
		budget = 10 * time.Minute
	}
	ends := map[string]int{}
	n := uint64(0)
	for begin := time.Now(); time.Since(begin) < budget && !t.Failed(); {
		// In portions, so that what the guests hold until the end of a test does not pile up.
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			for range 1000 {
				ends[runRandom(t, n)]++
				if t.Failed() {
					t.Fatalf("guest %d", n)
				}
				if n++; time.Since(begin) >= budget {
					return
				}
			}
		})
	}
	t.Logf("%d guests: %v", n, ends)
	if ends["violation"] == 0 || ends["kernel fault"] == 0 || ends["ended"] == 0 || ends["stopped"] == 0 {
		t.Errorf("%d guests have not ended in all the ways that there are: %v", n, ends)
	}
}

// runRandom runs the guest of a number, and says how it ended.
func runRandom(t *testing.T, number uint64) string {
	t.Helper()
	r := random{rand.New(rand.NewPCG(1, number))}
	vm := newGuest(t, r.code().Image(), Config{
		Stdin: bytes.NewReader(make([]byte, 100)), Stdout: new(sink),
		NICs: []NIC{{Link: newLink(t), Config: netif.Config{MTU: 1500}}},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := vm.Run(ctx)
	if used := vm.space.ram.Used(); used > MinMemory {
		t.Errorf("%d bytes of memory in use", used)
	}
	if err := vm.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	var e *ExitError
	switch {
	case err == nil:
		return "ended"
	case errors.Is(err, context.DeadlineExceeded):
		return "stopped"
	case !errors.As(err, &e) || e.Reason == HostFailure:
		t.Errorf("run: %v", err)
		return "failed"
	}
	return map[Reason]string{Exited: "ended", Signaled: "signaled", OutOfMemory: "out of memory", KernelFault: "kernel fault", Violation: "violation"}[e.Reason]
}

// random makes up programs.
type random struct{ *rand.Rand }

// A program is blocks of random code. An upcall ends the block in which it happens, and the next begins; the guest ends after the last.
const (
	blocks    = 48
	blockSize = 512
	counter   = kvmtest.DataVA + 0x800 // in memory, as registers do not last
)

func (r random) code() *kvmtest.Code {
	le := binary.LittleEndian
	c := new(kvmtest.Code)
	if r.IntN(8) > 0 { // else nothing starts
		c.Start("upcall")
	}
	c.Jump("upcall").Label("upcall").Load(counter).Raw(0x48, 0xff, 0xc0, 0x48, 0xa3).Raw(le.AppendUint64(nil, uint64(counter))...) // INC RAX; MOV [counter], RAX
	halt := new(kvmtest.Code).Halt(0).Bytes()
	c.Raw(0x48, 0x3d).Raw(le.AppendUint32(nil, blocks)...).Raw(0x72, byte(len(halt))).Raw(halt...) // CMP RAX, blocks; JB over
	c.Store(kvmtest.Mask, 0)
	c.Load(counter).Raw(0x48, 0x69, 0xc0).Raw(le.AppendUint32(nil, blockSize)...) // IMUL RAX, RAX, blockSize
	c.Raw(0x48, 0x05)                                                             // ADD RAX, imm32: the first block, which begins at the next page
	at := uint32(kvmtest.TextVA + page)
	c.Raw(le.AppendUint32(nil, at)...).Raw(0x48, 0x89, 0xc1) // MOV RCX, RAX
	for register := range byte(16) {
		if register == 1 { // RCX
			continue
		}
		c.Raw(0x48|register>>3, 0xb8|register&7).Raw(le.AppendUint64(nil, r.word())...) // MOV register, imm64
	}
	c.Raw(rbx(uint64(hypercall.ControlVA))...).Raw(0xff, 0xe1) // JMP RCX
	c.Raw(bytes.Repeat([]byte{0x90}, int(page-hypercall.HeaderSize)-len(c.Bytes()))...)
	for range blocks {
		b := new(kvmtest.Code)
		for len(b.Bytes()) < blockSize {
			r.step(b)
		}
		c.Raw(b.Bytes()[:blockSize]...)
	}
	return c
}

// step appends something random.
func (r random) step(c *kvmtest.Code) {
	switch n := r.IntN(300); {
	default:
		for range 1 + r.IntN(24) {
			c.Raw(byte(r.Uint32()))
		}
	case n < 80:
		c.Store(r.field(), r.word())
	case n == 80: // seldom right
		args := make([]uint64, 4)
		for i := range args {
			args[i] = r.word()
		}
		n := r.IntN(int(hypercall.CallMax) + 1)
		if n <= int(hypercall.CallAbort) {
			n = int(hypercall.CallMemory) // so that few guests end in order
		}
		c.Call(hypercall.Call(n), args...)
	case n < 100: // a region, and a touch of it
		at := heap + hypercall.GVA(r.IntN(64))*page
		regionTable(c, region(at, at+hypercall.GVA(r.IntN(64))*page, uint32(r.IntN(8)))).Load(at)
	case n < 102: // a chain for the network card
		queue := hypercall.RingsVA + hypercall.GVA(r.IntN(2))*hypercall.QueueSize
		c.Store(queue, r.word()).Store(queue+8, uint64(r.IntN(3000))|uint64(r.IntN(4))<<32|uint64(r.IntN(3))<<48)
		c.Store(queue+16*hypercall.QueueLen, uint64(r.IntN(4))<<16|uint64(r.IntN(2))<<32).Call(hypercall.CallKick)
	}
}

// field is the address of a word that the guest shares with the monitor.
func (r random) field() hypercall.GVA {
	switch r.IntN(4) {
	case 0:
		return hypercall.RegionsVA + hypercall.GVA(8*r.IntN(24))
	case 1:
		return hypercall.RingsVA + hypercall.GVA(8*r.IntN(2*hypercall.QueueSize/8))
	case 2:
		return hypercall.ControlVA + hypercall.GVA(8*r.IntN(page/8))
	}
	return []hypercall.GVA{kvmtest.Mask, kvmtest.Pending, kvmtest.Resume, kvmtest.Deadline, kvmtest.Signals, kvmtest.Vector,
		kvmtest.FrameRIP, kvmtest.FrameRSP}[r.IntN(8)]
}

// word is a number that has a meaning somewhere, or is near one.
func (r random) word() uint64 {
	all := []uint64{
		0, 1, 2, 64, 256, page, 1 << 20, 1 << 31, 1 << 32, 1 << 47, 1 << 63, ^uint64(0), hypercall.MaxRegions,
		uint64(hypercall.ControlVA), uint64(hypercall.ClockVA), uint64(hypercall.BootVA), uint64(hypercall.RegionsVA),
		uint64(hypercall.RingsVA), uint64(hypercall.SharedEnd), uint64(kvmtest.TextVA), uint64(kvmtest.RodataVA), uint64(kvmtest.DataVA),
		uint64(kvmtest.UpcallStack), uint64(heap), uint64(hypercall.ArchiveVA), uint64(hypercall.StackTop), uint64(hypercall.UserEnd),
		uint64(hypercall.MonitorBase), uint64(hypercall.PortCall), hypercall.ClockStart, 1 << 24,
	}
	v := all[r.IntN(len(all))]
	switch r.IntN(4) {
	case 0:
		return v + uint64(r.IntN(17)) - 8
	case 1:
		return v + uint64(r.IntN(64))*page
	case 2:
		return r.Uint64() >> r.IntN(64)
	}
	return v
}

// sink takes a megabyte of output.
type sink int

func (s *sink) Write(b []byte) (int, error) {
	if *s += sink(len(b)); *s > 1<<20 {
		return 0, os.ErrClosed
	}
	return len(b), nil
}
