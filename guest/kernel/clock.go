package kernel

import "ukvm.dev/hypercall"

// Clocks as clock_gettime(2) numbers them. CLOCK_REALTIME and CLOCK_MONOTONIC normally do not come here: the runtime
// calls vclock (clock_amd64.s), which start puts where the vDSO's function would be.
const (
	clockRealtime        = 0
	clockMonotonic_      = 1
	clockProcessCPU      = 2
	clockThreadCPU       = 3
	clockMonotonicRaw    = 4
	clockRealtimeCoarse  = 5
	clockMonotonicCoarse = 6
	clockBoottime        = 7
	clockTAI             = 11
)

// now is monotonic time in ns since the guest started (plus hypercall.ClockStart).
func now() uint64 { return nowFunc() }

// realtimeOffset is what to add to monotonic time for the time since 1970, in ns.
func realtimeOffset() uint64 {
	return *word(clockAddr + uint64(realtimeInClock))
}

// Time the processor was busy is the time that was not spent in idle.
var (
	idleTotal uint64 // ns
	idleSince uint64 // when the present idle began, 0: busy
)

func idleBegin() { idleSince = now() }

func idleEnd(n uint64) {
	idleTotal += n - idleSince
	idleSince = 0
}

func busyTime(n uint64) uint64 { return n - hypercall.ClockStart - idleTotal }

func clockRead(clock uint64) (ns uint64, ok bool) {
	n := now()
	switch clock {
	case clockRealtime, clockRealtimeCoarse, clockTAI:
		return n + realtimeOffset(), true
	case clockMonotonic_, clockMonotonicRaw, clockMonotonicCoarse, clockBoottime:
		return n, true
	case clockProcessCPU, clockThreadCPU:
		return busyTime(n), true
	}
	return 0, false
}

func sysClockGettime(clock, addr uint64) uint64 {
	ns, ok := clockRead(clock)
	if !ok {
		return fail(eINVAL)
	}
	if !userRange(addr, 16, protWrite) {
		return fail(eFAULT)
	}
	putTimespec(addr, ns)
	return 0
}

func sysClockGetres(clock, addr uint64) uint64 {
	if _, ok := clockRead(clock); !ok {
		return fail(eINVAL)
	}
	if addr != 0 {
		if !userRange(addr, 16, protWrite) {
			return fail(eFAULT)
		}
		putTimespec(addr, 1)
	}
	return 0
}

func sysGettimeofday(addr uint64) uint64 {
	if addr == 0 {
		return 0
	}
	if !userRange(addr, 16, protWrite) {
		return fail(eFAULT)
	}
	putTimeval(addr, now()+realtimeOffset())
	return 0
}

func putTimespec(addr, ns uint64) {
	*word(addr) = ns / 1e9
	*word(addr + 8) = ns % 1e9
}

func putTimeval(addr, ns uint64) {
	*word(addr) = ns / 1e9
	*word(addr + 8) = ns % 1e9 / 1000
}
