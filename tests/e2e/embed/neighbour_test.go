package embed

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/kvmtest"
	"ukvm.dev/monitor"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestHostileNeighbours has a server answer while other guests of this process break every rule there is: the process
// goes on, and so does the server.
func TestHostileNeighbours(t *testing.T) {
	image := ukvmtest.Image(t, "examples/web")
	s := serve(t, t.Context(), image)
	s.get(t, "/")
	const memory = 16 << 20
	heap := hypercall.GVA(0xc0_0000_0000)
	bad := map[string]*kvmtest.Code{
		"port":       new(kvmtest.Code).Start("upcall").Raw(0x66, 0xba, 0x00, 0x05, 0xec),
		"call":       new(kvmtest.Code).Start("upcall").Call(hypercall.CallConsoleWrite, 1, ^uint64(0), ^uint64(0)),
		"fault":      new(kvmtest.Code).Raw(0x0f, 0x0b),
		"memory":     everything(new(kvmtest.Code).Start("upcall"), heap),
		"spin":       new(kvmtest.Code).Start("upcall").Store(kvmtest.Mask, 1).Spin(),
		"call storm": new(kvmtest.Code).Start("upcall").Label("again").Call(hypercall.CallKick).Jump("again"),
	}
	var all sync.WaitGroup
	stop := make(chan struct{})
	for name, code := range bad {
		path := kvmtest.WriteFile(t, code.Label("upcall").Raw(0x0f, 0x0b).Image().ELF())
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				vm, err := monitor.New(monitor.Config{Image: path, Memory: memory})
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				err = vm.Run(ctx)
				cancel()
				var e *monitor.ExitError
				if !errors.Is(err, context.DeadlineExceeded) && (!errors.As(err, &e) || e.Reason == monitor.HostFailure) {
					t.Errorf("%s: %v", name, err)
				}
				if err := vm.Close(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	for begin := time.Now(); time.Since(begin) < 3*time.Second; {
		if page := s.get(t, "/hello/ada"); page != "Hello, ada!\n" {
			t.Errorf("the server says %q", page)
			break
		}
	}
	close(stop)
	all.Wait()
	if err := s.vm.Close(); err != nil {
		t.Error(err)
	}
	if err := s.wait(t); !errors.Is(err, monitor.ErrClosed) {
		t.Error(err)
	}
	s.close(t)
}

// everything maps all addresses and touches page after page.
func everything(c *kvmtest.Code, heap hypercall.GVA) *kvmtest.Code {
	for i, r := range []hypercall.Region{
		{Start: kvmtest.TextVA, End: kvmtest.RodataVA, Prot: hypercall.ProtRead | hypercall.ProtExec},
		{Start: kvmtest.DataVA, End: kvmtest.DataVA + hypercall.PageSize, Prot: hypercall.ProtRead | hypercall.ProtWrite},
		{Start: heap, End: hypercall.MmapEnd, Prot: hypercall.ProtRead | hypercall.ProtWrite},
	} {
		at := hypercall.RegionsVA + 24 + hypercall.GVA(24*i)
		c.Store(at, uint64(r.Start)).Store(at+8, uint64(r.End)).Store(at+16, uint64(r.Prot))
	}
	c.Store(hypercall.RegionsVA, 3)
	c.Raw(0x48, 0xbb) // MOV RBX, heap
	for i := range 8 {
		c.Raw(byte(heap >> (8 * i)))
	}
	return c.Label("loop").Raw(0x88, 0x03, 0x48, 0x81, 0xc3, 0, 0x10, 0, 0).Jump("loop") // MOV [RBX], AL; ADD RBX, 4096
}

// TestOtherFiles makes VMs of files that are no images, in between others: errors, and nothing else.
func TestOtherFiles(t *testing.T) {
	ukvmtest.Command(t)
	r := rand.New(rand.NewPCG(3, 3))
	leavesNothing(t, len(kvmtest.Broken), func() {
		for _, c := range kvmtest.Broken {
			path := kvmtest.WriteFile(t, c.Patch(kvmtest.Sample()))
			if vm, err := monitor.New(monitor.Config{Image: path}); err == nil {
				vm.Close()
				t.Errorf("%s is an image", c.Name)
			}
		}
		noise := make([]byte, 1+r.IntN(10000))
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		if vm, err := monitor.New(monitor.Config{Image: kvmtest.WriteFile(t, noise)}); err == nil {
			vm.Close()
			t.Error("noise is an image")
		}
	})
}
