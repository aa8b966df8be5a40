package monitor

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/kvmtest"
	"ukvm.dev/netif"
	"ukvm.dev/netif/pair"
)

// sleeper is a guest that waits for signals, and ends with the first one's bit as its status. One that comes before it
// sleeps comes as an upcall.
func sleeper() *kvmtest.Code {
	return endWithSignal(new(kvmtest.Code).Start("upcall").Call(hypercall.CallPoll, 0).Label("upcall"))
}

// spinner is a guest that computes, and ends with the first signal's bit as its status.
func spinner() *kvmtest.Code {
	return endWithSignal(new(kvmtest.Code).Start("upcall").Spin().Label("upcall"))
}

func endWithSignal(c *kvmtest.Code) *kvmtest.Code {
	return c.Copy(kvmtest.Arg(0), kvmtest.Signals).Store(kvmtest.Arg(1), 0).Out(hypercall.PortCall + uint16(hypercall.CallHalt))
}

// started runs a guest on another goroutine until it has made its first calls.
func started(t *testing.T, ctx context.Context, vm *VM) (ended <-chan error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- vm.Run(ctx) }()
	for begin := time.Now(); vm.Stats().Calls == 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > hang {
			t.Fatal("the guest makes no calls")
		}
	}
	return done
}

func await(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(hang):
		t.Fatal("Run has not returned")
		return nil
	}
}

func TestRunOnce(t *testing.T) {
	vm := newGuest(t, new(kvmtest.Code).Halt(0).Image(), Config{})
	if err := runVM(t, vm); err != nil {
		t.Fatal(err)
	}
	if err := vm.Run(t.Context()); !errors.Is(err, ErrStarted) {
		t.Errorf("a second Run: %v", err)
	}
	if err := errors.Join(vm.Close(), vm.Close()); err != nil {
		t.Error(err)
	}
	if err := vm.Run(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Run after Close: %v", err)
	}
}

func TestRunAfterClose(t *testing.T) {
	vm := newGuest(t, new(kvmtest.Code).Halt(0).Image(), Config{})
	if err := vm.Close(); err != nil {
		t.Fatal(err)
	}
	if err := vm.Run(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

// TestCloseWhileRunning closes VMs, from several goroutines, whose guests run or sleep.
func TestCloseWhileRunning(t *testing.T) {
	for name, code := range map[string]*kvmtest.Code{"sleeps": sleeper(), "spins": spinner()} {
		vm := newGuest(t, code.Image(), Config{})
		ended := started(t, t.Context(), vm)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := vm.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if err := await(t, ended); !errors.Is(err, ErrClosed) {
			t.Errorf("Run of a guest that %s returned %v", name, err)
		}
	}
}

func TestContext(t *testing.T) {
	reason := errors.New("enough")
	for name, code := range map[string]*kvmtest.Code{"sleeps": sleeper(), "spins": spinner()} {
		ctx, cancel := context.WithCancelCause(t.Context())
		vm := newGuest(t, code.Image(), Config{})
		ended := started(t, ctx, vm)
		cancel(reason)
		if err := await(t, ended); !errors.Is(err, reason) {
			t.Errorf("a guest that %s: %v", name, err)
		}

		vm = newGuest(t, code.Image(), Config{})
		if err := vm.Run(ctx); !errors.Is(err, reason) {
			t.Errorf("a guest that %s, with a context that has ended: %v", name, err)
		}
	}
}

func TestSignals(t *testing.T) {
	for name, code := range map[string]*kvmtest.Code{"sleeps": sleeper(), "spins": spinner()} {
		vm := newGuest(t, code.Image(), Config{})
		ended := started(t, t.Context(), vm)
		if err := vm.Signal(unix.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		var e *ExitError
		if err := await(t, ended); !errors.As(err, &e) || e.Code != 1<<(unix.SIGQUIT-1) {
			t.Errorf("a guest that %s: %v", name, err)
		}

		vm = newGuest(t, code.Image(), Config{})
		if err := vm.Signal(unix.SIGHUP); err != nil { // before it runs
			t.Fatal(err)
		}
		ended = started(t, t.Context(), vm)
		if err := await(t, ended); !errors.As(err, &e) || e.Code != 1<<(unix.SIGHUP-1) {
			t.Errorf("a guest that %s, with a signal from the start: %v", name, err)
		}
	}
	vm := newGuest(t, sleeper().Image(), Config{})
	for _, s := range []unix.Signal{-1, 0, 65, 1000} {
		if err := vm.Signal(s); !errors.Is(err, ErrConfig) {
			t.Errorf("signal %d: %v", s, err)
		}
	}
}

// TestLastFrame checks that a frame is sent that the guest has queued just before its end.
func TestLastFrame(t *testing.T) {
	const avail = 16 * hypercall.QueueLen // offset of the available ring
	a, b, err := pair.New(pair.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	transmit := hypercall.RingsVA + hypercall.QueueSize
	code := new(kvmtest.Code).Start("upcall").
		Store(transmit, uint64(kvmtest.DataVA)).Store(transmit+8, hypercall.NetHeaderSize+60).
		Store(transmit+avail, 1<<16).Label("upcall").Halt(3)
	err = runGuest(t, code, Config{NICs: []NIC{{Link: a, Config: netif.Config{MTU: 1500}}}})
	var e *ExitError
	if !errors.As(err, &e) || e.Code != 3 {
		t.Errorf("the guest ended with %v", err)
	}
	frames := []netif.Frame{{Data: [][]byte{make([]byte, 1600)}}}
	if n, err := b.Receive(frames); n != 1 || err != nil || frames[0].Len != 60 {
		t.Errorf("%d frames of %d bytes have arrived: %v", n, frames[0].Len, err)
	}
}

// TestSignalAfterClose checks that a signal that comes too late goes nowhere: the descriptor that once woke the guest may
// be another file's by then.
func TestSignalAfterClose(t *testing.T) {
	vm := newGuest(t, sleeper().Image(), Config{})
	if err := vm.Close(); err != nil {
		t.Fatal(err)
	}
	for range 32 { // one of them takes the number
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := vm.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		var b [8]byte
		if n, err := unix.Read(fd, b[:]); !errors.Is(err, unix.EAGAIN) {
			t.Fatalf("descriptor %d was written to: %d bytes, %v", fd, n, err)
		}
	}
}

// holdings is what a process has that it could leak.
type holdings struct{ descriptors, threads, mappings, goroutines int }

func holds(t *testing.T) holdings {
	t.Helper()
	count := func(dir string) int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	return holdings{count("/proc/self/fd"), count("/proc/self/task"), mappings(t), runtime.NumGoroutine()}
}

// leaks checks that f, which makes so many VMs and is called again and again, leaves nothing behind. Threads and mappings
// are Go's runtime's too, which keeps those it has once needed: they may become a few more, but not with every VM.
func leaks(t *testing.T, calls, guests int, f func()) {
	t.Helper()
	f()
	before := holds(t)
	for range calls {
		f()
	}
	var after holdings
	for range 100 { // goroutines that are about to end
		after = holds(t)
		if after.goroutines <= before.goroutines && after.descriptors <= before.descriptors {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	slack := calls * guests / 2
	if after.goroutines > before.goroutines || after.descriptors > before.descriptors ||
		after.threads > before.threads+slack || after.mappings > before.mappings+slack {
		t.Errorf("after %d calls there are %+v, before there were %+v", calls, after, before)
	}
}

func TestNoLeaks(t *testing.T) {
	kvmtest.Require(t)
	path := kvmtest.WriteFile(t, sleeper().Image().ELF())
	make := func() *VM {
		vm, err := New(Config{Image: path, Memory: MinMemory})
		if err != nil {
			t.Fatal(err)
		}
		return vm
	}
	closed := func(vm *VM) {
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	}
	leaks(t, 50, 1, func() { closed(make()) })
	leaks(t, 50, 1, func() {
		vm := make()
		_ = vm.Signal(unix.SIGHUP)
		if err := vm.Run(t.Context()); err == nil {
			t.Error("the guest has not got its signal")
		}
		closed(vm)
	})
	leaks(t, 50, 1, func() {
		vm := make()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if err := vm.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		closed(vm)
	})
	leaks(t, 10, 8, func() {
		var all sync.WaitGroup
		for range 8 {
			vm := make()
			all.Go(func() {
				_ = vm.Run(t.Context())
			})
			_ = vm.Signal(unix.SIGHUP)
			defer closed(vm)
		}
		all.Wait()
	})
}

// TestNoLeaksOfFailures checks that what New refuses leaves nothing behind either.
func TestNoLeaksOfFailures(t *testing.T) {
	kvmtest.Require(t)
	good := kvmtest.WriteFile(t, sleeper().Image().ELF())
	for name, c := range map[string]Config{
		"no file":     {Image: filepath.Join(t.TempDir(), "none")},
		"directory":   {Image: t.TempDir()},
		"no ELF":      {Image: kvmtest.WriteFile(t, []byte("#!/bin/sh\n"))},
		"archive":     {Image: good, Files: make([]byte, MinMemory)},
		"environment": {Image: good, Env: []string{"A=" + string(bytes.Repeat([]byte("x"), 200<<10))}},
	} {
		if c.Memory == 0 {
			c.Memory = MinMemory
		}
		leaks(t, 20, 1, func() {
			if vm, err := New(c); err == nil {
				vm.Close()
				t.Errorf("%s is accepted", name)
			}
		})
	}
}

// TestInputEnds checks that a goroutine that waits for input ends with its VM, and leaves the input to others.
func TestInputEnds(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer in.Close()
	code := new(kvmtest.Code).Start("upcall").Call(hypercall.CallConsoleRead, uint64(kvmtest.DataVA), 8).Halt(0).Label("upcall").Halt(1)
	leaks(t, 20, 1, func() {
		vm := newGuest(t, code.Image(), Config{Stdin: in})
		if err := runVM(t, vm); err != nil {
			t.Error(err)
		}
		vm.Close()
	})
	if _, err := out.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8)
	if n, err := in.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("read %q, %v", b[:n], err)
	}
}

// TestImageCutShort cuts an image's file while a VM shows it. The guest ends, not the process.
func TestImageCutShort(t *testing.T) {
	const at = kvmtest.DataVA + 2*page
	data := bytes.Repeat([]byte{1}, 4*page)
	for name, code := range map[string]*kvmtest.Code{
		"the guest reads it":  new(kvmtest.Code).Start("upcall").Load(at).Halt(0),
		"the guest writes it": new(kvmtest.Code).Start("upcall").Store(at, 1).Halt(0),
		"a call reads it":     new(kvmtest.Code).Start("upcall").Call(hypercall.CallConsoleWrite, 1, uint64(at), 8).Halt(0),
		"a call writes it":    new(kvmtest.Code).Start("upcall").Call(hypercall.CallEntropy, uint64(at), 8).Halt(0),
	} {
		image := &kvmtest.Image{Code: code.Label("upcall").Halt(1).Bytes(), Data: data}
		vm := newGuest(t, image, Config{Stdout: new(bytes.Buffer)})
		if err := os.Truncate(vm.config.Image, kvmtest.TextOffset+2*page); err != nil {
			t.Fatal(err)
		}
		err := runVM(t, vm)
		checkExit(t, name, err, HostFailure, "memory")
	}
}
