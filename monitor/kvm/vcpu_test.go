package kvm_test

import (
	"errors"
	"math"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/devices/clock"
	"ukvm.dev/internal/kvmtest"
	"ukvm.dev/monitor/kvm"
)

// newVCPU makes a machine with a page of memory and a vCPU at its beginning, in real mode, bound to the test's thread.
func newVCPU(t *testing.T, code ...byte) *kvm.VCPU {
	t.Helper()
	memory := newMemory(t, 4096)
	machine := newMachine(t)
	copy(memory, code)
	if err := machine.AddMemory(0, memory); err != nil {
		t.Fatal(err)
	}
	v := machine.VCPU()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	if err := v.Bind(); err != nil {
		t.Fatal(err)
	}
	s, err := v.Sregs()
	if err != nil {
		t.Fatal(err)
	}
	s.CS.Base, s.CS.Selector = 0, 0
	if err := v.SetSregs(&s); err != nil {
		t.Fatal(err)
	}
	*v.Regs() = kvm.Regs{RFLAGS: 2}
	v.LoadRegs()
	return v
}

// spin is an endless loop.
var spin = []byte{0xeb, 0xfe}

// interrupted runs the vCPU until it is kicked.
func interrupted(t *testing.T, v *kvm.VCPU) {
	t.Helper()
	if reason, err := v.Run(); !errors.Is(err, kvm.ErrInterrupted) {
		t.Fatalf("exit reason %d, %v; want ErrInterrupted", reason, err)
	}
}

func TestIO(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte // with DX 0x501
		want kvm.IO
	}{
		{"OUT DX, EAX", []byte{0x66, 0xef}, kvm.IO{Out: true, Size: 4, Port: 0x501, Count: 1}},
		{"OUT DX, AX", []byte{0xef}, kvm.IO{Out: true, Size: 2, Port: 0x501, Count: 1}},
		{"OUT DX, AL", []byte{0xee}, kvm.IO{Out: true, Size: 1, Port: 0x501, Count: 1}},
		{"IN EAX, DX", []byte{0x66, 0xed}, kvm.IO{Size: 4, Port: 0x501, Count: 1}},
		{"OUT 0xa3, EAX", []byte{0x66, 0xe7, 0xa3}, kvm.IO{Out: true, Size: 4, Port: 0xa3, Count: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVCPU(t, append(c.code, spin...)...)
			v.Regs().RDX, v.Regs().RAX = 0x501, 0x12345678
			reason, err := v.Run()
			if err != nil || reason != kvm.ExitIO {
				t.Fatalf("exit reason %d, %v; want %d", reason, err, kvm.ExitIO)
			}
			if got := v.IO(); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// TestRegisters checks that registers go into the guest when they are marked, and come out after every exit.
func TestRegisters(t *testing.T) {
	v := newVCPU(t, 0x40, 0xe7, 0x10, 0x40, 0xe7, 0x10) // INC AX; OUT 0x10, AX; the same again
	run := func() {
		t.Helper()
		if reason, err := v.Run(); err != nil || reason != kvm.ExitIO {
			t.Fatalf("exit reason %d, %v", reason, err)
		}
	}
	v.Regs().RAX = 7
	run()
	if r := v.Regs(); r.RAX != 8 {
		t.Errorf("RAX is %d, want 8", r.RAX)
	}
	v.Regs().RAX = 100 // not marked: nobody hears of it
	run()
	if r := v.Regs(); r.RAX != 9 {
		t.Errorf("RAX is %d, want 9", r.RAX)
	}
	v.Regs().RAX, v.Regs().RIP = 200, 0
	v.LoadRegs()
	run()
	if r := v.Regs(); r.RAX != 201 {
		t.Errorf("RAX is %d, want 201", r.RAX)
	}
	v.SregsAtExit().ES.Base = 0x1230
	v.LoadSregs()
	run()
	if s, err := v.Sregs(); err != nil || s.ES.Base != 0x1230 {
		t.Errorf("ES base is %#x, want 0x1230 (%v)", s.ES.Base, err)
	}
}

// TestRegistersSurviveKick checks that registers which were marked are loaded even if a kick comes before the guest runs.
func TestRegistersSurviveKick(t *testing.T) {
	v := newVCPU(t, 0x40, 0xe7, 0x10, 0x40, 0xe7, 0x10) // INC AX; OUT 0x10, AX; the same again
	v.Regs().RAX = 41
	v.Kick()
	interrupted(t, v)
	if reason, err := v.Run(); err != nil || reason != kvm.ExitIO || v.Regs().RAX != 42 {
		t.Errorf("exit reason %d, %v, RAX %d; want 42", reason, err, v.Regs().RAX)
	}
}

// TestKickBeforeRun checks that a kick is not lost when the vCPU does not run yet, and that it counts once.
func TestKickBeforeRun(t *testing.T) {
	v := newVCPU(t, spin...)
	v.Kick()
	interrupted(t, v)
	until := clock.Monotonic() + int64(5*time.Millisecond)
	v.KickAt(until)
	runs := 0
	for clock.Monotonic() < until {
		interrupted(t, v)
		runs++
	}
	if runs > 20 { // a few may be signals that Go's runtime sends itself
		t.Errorf("one kick has ended %d runs", runs)
	}
}

func TestKickWhileRunning(t *testing.T) {
	v := newVCPU(t, spin...)
	var kicks sync.WaitGroup
	for range 20 {
		kicks.Go(v.Kick)
		interrupted(t, v)
		kicks.Wait()
	}
}

func TestKickAt(t *testing.T) {
	v := newVCPU(t, spin...)
	const late = 3 * time.Millisecond
	start := clock.Monotonic()
	v.KickAt(start + int64(time.Hour))
	v.KickAt(start + int64(late)) // an earlier time counts
	v.KickAt(start + int64(time.Hour))
	v.KickAt(0) // never is later than all
	interrupted(t, v)
	now := clock.Monotonic()
	for now < start+int64(late) { // Go's own preemption signals interrupt as well
		interrupted(t, v)
		now = clock.Monotonic()
	}
	v.Kicked(now)
	until, runs := clock.Monotonic()+int64(20*time.Millisecond), 0
	v.KickAt(until)
	for clock.Monotonic() < until {
		interrupted(t, v)
		runs++
	}
	if runs > 8 {
		t.Errorf("a timer that had fired went on, %d times", runs)
	}
}

// TestKickNext puts an interruption off, and has the last word only about earlier ones.
func TestKickNext(t *testing.T) {
	v := newVCPU(t, spin...)
	start := clock.Monotonic()
	soon, later := start+int64(time.Millisecond), start+int64(time.Hour)
	for _, c := range []struct {
		name string
		ask  func()
		want int64
	}{
		{"nothing was arranged", func() { v.KickNext(soon) }, soon},
		{"put off", func() { v.KickNext(later) }, later},
		{"an earlier time counts", func() { v.KickNext(soon) }, soon},
		{"never", func() { v.KickNext(0) }, soon},
		{"who asks after it gets the earlier time", func() { v.KickNext(later); v.KickAt(soon) }, soon},
	} {
		if c.ask(); v.KicksAt() != c.want {
			t.Errorf("%s: interrupted at %d, want %d", c.name, v.KicksAt()-start, c.want-start)
		}
	}
	until, runs := clock.Monotonic()+int64(50*time.Millisecond), 0
	v.KickNext(until)
	for clock.Monotonic() < until {
		interrupted(t, v)
		runs++
	}
	if runs > 10 { // some are signals that Go's runtime sends itself
		t.Errorf("%d runs; what was put off has interrupted them", runs)
	}
}

// TestCancelKick arranges interruptions and takes them back. The last one, which stands, ends the run.
func TestCancelKick(t *testing.T) {
	v := newVCPU(t, spin...)
	v.CancelKick() // nothing
	for range 50 {
		v.KickAt(clock.Monotonic() + int64(time.Millisecond))
		v.CancelKick()
		if at := v.KicksAt(); at != 0 {
			t.Fatalf("it is to be interrupted at %d", at)
		}
	}
	until, runs := clock.Monotonic()+int64(50*time.Millisecond), 0
	v.KickAt(until)
	for clock.Monotonic() < until {
		interrupted(t, v)
		runs++
	}
	if runs > 10 { // some are signals that Go's runtime sends itself
		t.Errorf("%d runs; what was taken back has interrupted them", runs)
	}
}

// TestKickAtAnyTime checks that a time the guest has made up cannot do more than interrupt it.
func TestKickAtAnyTime(t *testing.T) {
	for _, ns := range []int64{1, -1, -999_999_999, -1_000_000_001, math.MinInt64} {
		v := newVCPU(t, spin...)
		v.KickAt(ns)
		interrupted(t, v)
	}
	v := newVCPU(t, spin...)
	v.KickAt(math.MaxInt64)
	v.Kick()
	interrupted(t, v)
}

func TestMSR(t *testing.T) {
	v := newVCPU(t, spin...)
	const value = 0x7fff_1234_5678
	if err := v.SetMSR(kvm.MSRLSTAR, value); err != nil {
		t.Fatal(err)
	}
	if got, err := v.MSR(kvm.MSRLSTAR); err != nil || got != value {
		t.Errorf("%#x, %v; want %#x", got, err, uint64(value))
	}
	if _, err := v.MSR(0xdeadbeef); err == nil {
		t.Error("a register that does not exist can be read")
	}
	if err := v.SetMSR(0xdeadbeef, 0); err == nil {
		t.Error("a register that does not exist can be written")
	}
}

// TestCounter checks that the guest's time-stamp counter advances at the rate KVM says.
func TestCounter(t *testing.T) {
	v := newVCPU(t, spin...)
	khz, err := v.TSCFrequency()
	if err != nil || khz < 100_000 || khz > 100_000_000 {
		t.Fatalf("%d kHz, %v", khz, err)
	}
	// The counter is read at some time from before to after.
	read := func() (before int64, tsc float64, after int64) {
		t.Helper()
		before = clock.Monotonic()
		v64, err := v.MSR(kvm.MSRTSC)
		if err != nil {
			t.Fatal(err)
		}
		return before, float64(v64), clock.Monotonic()
	}
	before1, tsc1, after1 := read()
	until := after1 + int64(20*time.Millisecond)
	v.KickAt(until)
	for clock.Monotonic() < until {
		interrupted(t, v)
	}
	before2, tsc2, after2 := read()
	least, most := (tsc2-tsc1)/float64(after2-before1)*1e6, (tsc2-tsc1)/float64(before2-after1)*1e6
	if said := float64(khz); said < 0.99*least || said > 1.01*most {
		t.Errorf("%.0f to %.0f kHz measured, %d said", least, most, khz)
	}
}

func TestBadMemory(t *testing.T) {
	kvmtest.Require(t)
	system, err := kvm.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer system.Close()
	machine, err := system.NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	memory, err := unix.Mmap(-1, 0, 2*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	if err := machine.AddMemory(0x100, memory); err == nil {
		t.Error("memory at an odd address")
	}
	if err := machine.AddMemory(0, memory); err != nil {
		t.Error(err)
	}
	if err := machine.AddMemory(0x1000, memory[:4096]); err == nil {
		t.Error("memory over other memory")
	}
	if err := machine.AddMemory(0x2000, memory[:4096]); err != nil {
		t.Errorf("memory beside other memory, after failures: %v", err)
	}
}

// TestDescriptors checks that a machine's descriptors are closed with it and not inherited by child processes.
func TestDescriptors(t *testing.T) {
	kvmtest.Require(t)
	open := func() map[string]int { // name: FD_CLOEXEC
		t.Helper()
		files := map[string]int{}
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		for _, e := range entries {
			name, _ := os.Readlink("/proc/self/fd/" + e.Name())
			fd, _ := strconv.Atoi(e.Name())
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
				files[name] = flags & unix.FD_CLOEXEC
			}
		}
		return files
	}
	system, err := kvm.Open()
	if err != nil {
		t.Fatal(err)
	}
	machine, err := system.NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{kvm.Device, "anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0"}
	files := open()
	for _, name := range names {
		if cloexec, ok := files[name]; !ok || cloexec == 0 {
			t.Errorf("%s: open is %v, closed on exec is %v", name, ok, cloexec != 0)
		}
	}
	if err := errors.Join(machine.Close(), system.Close()); err != nil {
		t.Error(err)
	}
	files = open()
	for _, name := range names {
		if _, ok := files[name]; ok {
			t.Errorf("%s is still open", name)
		}
	}
}
