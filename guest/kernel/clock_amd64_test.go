package kernel

import (
	"math/big"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"ukvm.dev/hypercall"
)

// realClock makes the assembly that reads the clock callable; page is what it reads.
func realClock(t *testing.T) (page *hypercall.Clock, tsc, mono func() uint64, vdso func(clock, ts uint64) int32) {
	sharePages(t)
	addr := uint64(hypercall.ClockVA)
	page = *(**hypercall.Clock)(unsafe.Pointer(&addr))
	c := newCode(t)
	at := c.here()
	c.emit(0x0f, 0xae, 0xe8, 0x0f, 0x31, 0x48, 0xc1, 0xe2, 32, 0x48, 0x09, 0xd0, 0x0f, 0xae, 0xe8, 0xc3) // LFENCE; RDTSC; …
	tsc = *(*func() uint64)(funcAt(at))
	at = c.here()
	c.emit(0x48, 0x89, 0xc7, 0x48, 0x89, 0xde) // MOV RDI, RAX; MOV RSI, RBX
	c.movabs(rax, assembly(t, vclock, "vclock"))
	c.emit(0xff, 0xd0, 0xc3) // CALL RAX; RET
	vdso = *(*func(clock, ts uint64) int32)(funcAt(at))
	mono = *(*func() uint64)(funcAt(assembly(t, monotonic, "monotonic")))
	return page, tsc, mono, vdso
}

// formula is the one of hypercall.Clock in exact arithmetic; times are 64 bits wide.
func formula(page *hypercall.Clock, tsc uint64) uint64 {
	if tsc < page.TSC { // read on a processor whose counter is a little behind
		return page.Monotonic
	}
	n := new(big.Int).SetUint64(tsc - page.TSC)
	n.Mul(n, new(big.Int).SetUint64(page.Mult)).Rsh(n, 32).Add(n, new(big.Int).SetUint64(page.Monotonic))
	return n.And(n, new(big.Int).SetUint64(^uint64(0))).Uint64()
}

// TestClockFormula runs the assembly on the real counter and compares it with the formula at the counter's values before
// and after.
func TestClockFormula(t *testing.T) {
	page, tsc, mono, vdso := realClock(t)
	r := random(3)
	var ts [2]uint64
	pin := runtime.Pinner{}
	pin.Pin(&ts)
	defer pin.Unpin()
	addr := uint64(uintptr(unsafe.Pointer(&ts)))
	between := func(what string, first, got, last uint64) {
		if got-first > last-first {
			t.Fatalf("%s: %d, want %d to %d; %+v", what, got, first, last, *page)
		}
	}
	for i := range 20000 {
		back := r.Uint64() >> (8 + r.IntN(56)) // how long ago the page was written, in ticks
		if i%16 == 0 {
			back = ^uint64(0) - 1<<40 // in the future
		}
		*page = hypercall.Clock{TSC: tsc() - back, Mult: r.Uint64() >> (24 + r.IntN(16)), Monotonic: r.Uint64() >> r.IntN(40), Realtime: r.Uint64()}
		first := formula(page, tsc())
		got := mono()
		between("monotonic", first, got, formula(page, tsc()))

		first = formula(page, tsc())
		if e := vdso(clockMonotonic_, addr); e != 0 || ts[1] >= 1e9 {
			t.Fatalf("vclock: %d, %v", e, ts)
		}
		between("vclock(CLOCK_MONOTONIC)", first, ts[0]*1e9+ts[1], formula(page, tsc()))

		first = formula(page, tsc()) + page.Realtime
		if e := vdso(clockRealtime, addr); e != 0 || ts[1] >= 1e9 {
			t.Fatalf("vclock: %d, %v", e, ts)
		}
		// CLOCK_REALTIME reads the counter without a fence: up to some hundred ticks early.
		slack := 1000*page.Mult>>32 + 1
		between("vclock(CLOCK_REALTIME)", first-slack, ts[0]*1e9+ts[1], formula(page, tsc())+page.Realtime)
	}
}

// TestClockSeconds checks the division by 1e9 where it could go wrong: around whole seconds, and at the ends.
func TestClockSeconds(t *testing.T) {
	page, tsc, _, vdso := realClock(t)
	var ts [2]uint64
	pin := runtime.Pinner{}
	pin.Pin(&ts)
	defer pin.Unpin()
	r := random(4)
	try := func(ns uint64) {
		*page = hypercall.Clock{TSC: tsc() + 1<<40, Monotonic: ns} // stands still
		vdso(clockMonotonic_, uint64(uintptr(unsafe.Pointer(&ts))))
		if ts[0] != ns/1e9 || ts[1] != ns%1e9 {
			t.Fatalf("%d ns: %d s %d ns, want %d s %d ns", ns, ts[0], ts[1], ns/1e9, ns%1e9)
		}
	}
	for range 50000 {
		s := r.Uint64N(18_446_744_073) >> r.IntN(34)
		for d := uint64(0); d < 3; d++ {
			try(s*1e9 + d - 1)
		}
		try(r.Uint64())
	}
	for d := range uint64(1000) {
		try(d)
		try(^uint64(0) - d)
	}
}

// TestClockSequence changes the page while it is read: no reading mixes two versions.
func TestClockSequence(t *testing.T) {
	page, tsc, mono, vdso := realClock(t)
	*page = hypercall.Clock{TSC: tsc() + 1<<50}
	var stop atomic.Bool
	done := make(chan struct{})
	go func() { // version v shows monotonic v·1000 and realtime v·1000+v·7
		defer close(done)
		for v := uint64(1); !stop.Load(); v++ {
			atomic.AddUint64(&page.Seq, 1)
			atomic.StoreUint64(&page.Monotonic, v*1000)
			for range v % 64 {
				tsc()
			}
			atomic.StoreUint64(&page.Realtime, v*7)
			atomic.AddUint64(&page.Seq, 1)
			for range v % 128 {
				tsc()
			}
		}
	}()
	var ts [2]uint64
	pin := runtime.Pinner{}
	pin.Pin(&ts)
	defer pin.Unpin()
	last, versions := uint64(0), 0
	for range 200000 {
		if n := mono(); n%1000 != 0 || n < last {
			t.Fatalf("monotonic: %d after %d", n, last)
		} else if n > last {
			last = n
			versions++
		}
		vdso(clockRealtime, uint64(uintptr(unsafe.Pointer(&ts))))
		if n := ts[0]*1e9 + ts[1]; n%1007 != 0 {
			t.Fatalf("realtime %d is no version's", n)
		}
	}
	stop.Store(true)
	<-done
	t.Logf("%d versions seen", versions)
	if versions == 0 && runtime.NumCPU() > 1 {
		t.Error("the page has not changed")
	}
}

// TestSwap is the one instruction that must be atomic against the monitor.
func TestSwap(t *testing.T) {
	swapFunc := *(*func(addr, value uint64) uint64)(funcAt(assembly(t, swap, "swap")))
	word := new(uint64)
	pin := runtime.Pinner{}
	pin.Pin(word)
	defer pin.Unpin()
	const rounds = 50000
	done := make(chan struct{})
	go func() {
		for i := range rounds {
			for { // the monitor sets a bit
				was := atomic.LoadUint64(word)
				if was&(1<<(i%64)) == 0 && atomic.CompareAndSwapUint64(word, was, was|1<<(i%64)) {
					break
				}
			}
		}
		close(done)
	}()
	seen := 0
	for over := false; ; {
		bits := swapFunc(uint64(uintptr(unsafe.Pointer(word))), 0)
		for ; bits != 0; bits &= bits - 1 {
			seen++
		}
		if over {
			break
		}
		select {
		case <-done:
			over = true // one more look
		default:
		}
	}
	if seen != rounds {
		t.Errorf("%d bits of %d arrived", seen, rounds)
	}
}
