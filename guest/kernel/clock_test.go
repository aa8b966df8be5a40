package kernel

import (
	"math/big"
	"testing"

	"ukvm.dev/hypercall"
)

func TestClocks(t *testing.T) {
	boots(t)
	monitor.time = 7_123456789
	host.clock.Realtime = 1_700_000_000_000_000_000 - 7_000_000_000
	idleTotal = 2_000_000_000
	for _, c := range []struct {
		name      string
		clock     uint64
		sec, nsec uint64
	}{
		{"CLOCK_REALTIME", 0, 1_700_000_000, 123456789},
		{"CLOCK_MONOTONIC", 1, 7, 123456789},
		{"CLOCK_PROCESS_CPUTIME_ID", 2, 5, 122456789}, // since ClockStart, and not idle
		{"CLOCK_THREAD_CPUTIME_ID", 3, 5, 122456789},
		{"CLOCK_MONOTONIC_RAW", 4, 7, 123456789},
		{"CLOCK_REALTIME_COARSE", 5, 1_700_000_000, 123456789},
		{"CLOCK_MONOTONIC_COARSE", 6, 7, 123456789},
		{"CLOCK_BOOTTIME", 7, 7, 123456789},
		{"CLOCK_TAI", 11, 1_700_000_000, 123456789},
	} {
		if r := sys(nrClockGettime, c.clock, arena); r != 0 || *word(arena) != c.sec || *word(arena + 8) != c.nsec {
			t.Errorf("%s: %d, %d.%09d, want %d.%09d", c.name, r, *word(arena), *word(arena + 8), c.sec, c.nsec)
		}
		if r := sys(nrClockGetres, c.clock, arena); r != 0 || *word(arena) != 0 || *word(arena + 8) != 1 {
			t.Errorf("resolution of %s: %d.%09d", c.name, *word(arena), *word(arena + 8))
		}
	}
	if r := sys(nrGettimeofday, arena); r != 0 || *word(arena) != 1_700_000_000 || *word(arena + 8) != 123456 {
		t.Errorf("gettimeofday: %d.%06d", *word(arena), *word(arena + 8))
	}
	if got, want := sys(nrTimes, arena), uint64(712); got != want || *word(arena) != 512 {
		t.Errorf("times: %d, %d ticks busy, want %d, 512", got, *word(arena), want)
	}
}

// TestTimespec compares the conversion of program's times with exact arithmetic.
func TestTimespec(t *testing.T) {
	boots(t)
	r := random(1)
	for range 10000 {
		sec, nsec := r.Uint64()>>r.IntN(64), r.Uint64()>>(34+r.IntN(30))
		if r.IntN(10) == 0 {
			sec = -sec
		}
		want := new(big.Int).SetUint64(sec)
		want.Mul(want, big.NewInt(1e9)).Add(want, new(big.Int).SetUint64(nsec))
		got, errno := timespec(put(0, sec, nsec))
		ok := errno == 0
		switch {
		case ok != (int64(sec) >= 0 && nsec < 1e9):
			t.Fatalf("%d s %d ns: accepted %v", int64(sec), nsec, ok)
		case ok && want.Cmp(big.NewInt(9e18)) <= 0 && want.Uint64() != got, ok && got > 1<<63-1, ok && want.Cmp(big.NewInt(9e18)) > 0 && got < 9e18:
			t.Fatalf("%d s %d ns: %d, want %d or what is later than anyone waits", sec, nsec, got, want)
		}
	}
}

func TestSleep(t *testing.T) {
	boots(t)
	start := now()
	for _, s := range []struct {
		name string
		do   func() uint64
		want uint64 // how long it takes
	}{
		{"nanosleep", func() uint64 { return sys(nrNanosleep, put(0, 1, 5), 0) }, 1e9 + 5},
		{"nanosleep for nothing", func() uint64 { return sys(nrNanosleep, put(0, 0, 0), 0) }, 0},
		{"clock_nanosleep", func() uint64 { return sys(nrClockNanosleep, 1, 0, put(0, 0, 7)) }, 7},
		{"clock_nanosleep, absolute", func() uint64 {
			return sys(nrClockNanosleep, 1, 1, put(0, (now()+9)/1e9, (now()+9)%1e9))
		}, 9},
		{"clock_nanosleep, absolute and past", func() uint64 { return sys(nrClockNanosleep, 1, 1, put(0, 0, 5)) }, 0},
		{"clock_nanosleep, realtime", func() uint64 {
			host.clock.Realtime = 1_700_000_000_000_000_000
			at := host.clock.Realtime + now() + 11
			return sys(nrClockNanosleep, 0, 1, put(0, at/1e9, at%1e9))
		}, 11},
		{"clock_nanosleep, realtime and long past", func() uint64 { return sys(nrClockNanosleep, 0, 1, put(0, 5, 5)) }, 0},
	} {
		r := s.do()
		if r != 0 && !(s.want != 0 && r == 0) {
			t.Errorf("%s: %d", s.name, int64(r))
		}
		if took := now() - start; took != s.want {
			t.Errorf("%s: took %d ns, want %d", s.name, took, s.want)
		}
		start = now()
	}
}

// TestSleepSignal sees that a handled signal ends a sleep with EINTR, and an ignored or blocked one does not.
func TestSleepSignal(t *testing.T) {
	boots(t)
	handle(t, sigINT)
	sleep := func(sig uint64) (woke uint64) {
		monitor.script = []func(){func() { monitor.time += 100; control().Signals = bit(sig) }}
		return sys(nrNanosleep, put(0, 1, 0), 0)
	}
	before := now()
	sleep(sigINT)
	if f := &threads[1].frame; f.RIP != handlerAddr || now() != before+100 {
		t.Fatalf("SIGINT while asleep: at %#x after %d ns", f.RIP, now()-before)
	}
	if got := *word(threads[1].frame.RDX + ucRegisters + 104); errno(got) != eINTR {
		t.Errorf("under the handler: result %d, want EINTR", int64(got))
	}
	sigreturn()

	before = now()
	if r := sleep(sigURG); r != 0 || now() != before+1e9 { // ignored by default
		t.Errorf("SIGURG while asleep: %d after %d ns", int64(r), now()-before)
	}
	threads[1].mask = bit(sigINT)
	before = now()
	if r := sleep(sigINT); r != 0 || now() != before+1e9 {
		t.Errorf("a blocked signal while asleep: %d after %d ns", int64(r), now()-before)
	}
}

func TestItimers(t *testing.T) {
	boots(t)
	handle(t, sigALRM)
	handle(t, sigPROF)
	get := func(which uint64) (period, left uint64) {
		if r := sys(nrGetitimer, which, arena); r != 0 {
			t.Fatalf("getitimer: %d", int64(r))
		}
		return *word(arena)*1e6 + *word(arena + 8), *word(arena + 16)*1e6 + *word(arena + 24)
	}
	taken := func() (sig uint64) { // the signal whose handler begins
		if f := &threads[1].frame; f.RIP == handlerAddr && threads[1].depth == 1 {
			sig = f.RDI
			sigreturn()
			threads[1].frame.RIP = 0x1234
		}
		return sig
	}

	// Real time: runs while the guest is idle, repeats, and skips what it has missed.
	if r := sys(nrSetitimer, itimerReal, put(0, 0, 50_000, 0, 30_000), 0); r != 0 {
		t.Fatalf("setitimer: %d", int64(r))
	}
	if p, l := get(itimerReal); p != 50_000 || l != 30_000 {
		t.Errorf("real timer: period %d µs, %d left", p, l)
	}
	start := now()
	sys(nrNanosleep, put(0, 1, 0), 0)
	if sig := taken(); sig != sigALRM || now() != start+30_000_000 {
		t.Errorf("asleep: signal %d after %d ns", sig, now()-start)
	}
	if d := control().Deadline; d != start+80_000_000 {
		t.Errorf("the next upcall is wanted at +%d", d-start)
	}
	monitor.time = start + 80_000_000
	interrupt()
	if sig := taken(); sig != sigALRM {
		t.Errorf("busy: signal %d", sig)
	}
	monitor.time = start + 500_000_001
	interrupt()
	if sig := taken(); sig != sigALRM {
		t.Errorf("late: signal %d", sig)
	}
	if _, l := get(itimerReal); l != 50_000 {
		t.Errorf("after a late signal the next comes in %d µs", l)
	}
	if r := sys(nrSetitimer, itimerReal, put(0, 0, 0, 0, 0), arena+64); r != 0 || *word(arena + 72) != 50_000 {
		t.Errorf("stop: %d, period was %d", int64(r), *word(arena + 72))
	}
	if control().Deadline != 0 {
		t.Error("a stopped timer wants an upcall")
	}

	// Processor time: stands still while the guest is idle.
	sys(nrSetitimer, itimerProf, put(0, 0, 10_000, 0, 10_000), 0)
	monitor.time += 4_000_000
	sys(nrNanosleep, put(32, 2, 0), 0)
	if sig := taken(); sig != 0 {
		t.Fatalf("idle: signal %d", sig)
	}
	if _, l := get(itimerProf); l != 6_000 {
		t.Errorf("profiling timer: %d µs left, want 6000", l)
	}
	if d := control().Deadline; d != now()+6_000_000 {
		t.Errorf("an upcall is wanted in %d ns", d-now())
	}
	monitor.time += 6_000_000
	interrupt()
	if sig := taken(); sig != sigPROF {
		t.Errorf("busy: signal %d", sig)
	}
	// Once: a timer without a period stops.
	sys(nrSetitimer, itimerProf, put(0, 0, 0, 0, 1), 0)
	monitor.time += 1000
	interrupt()
	if sig := taken(); sig != sigPROF {
		t.Errorf("once: signal %d", sig)
	}
	if p, l := get(itimerProf); p != 0 || l != 0 {
		t.Errorf("once: period %d, %d left", p, l)
	}
	if monitor.calls[hypercall.CallPoll] != 2 {
		t.Errorf("%d polls, want one for each sleep", monitor.calls[hypercall.CallPoll])
	}
}
