package hypercall

// Clock is the clock page at ClockVA: how to turn the time-stamp counter into time. The monitor rewrites it at least
// once a second while the guest runs and before the guest continues from Poll, so that it follows the host's clocks
// (which follow NTP) without ever stepping the monotonic one back.
//
// A reader loads Seq until it is even, reads the rest with RDTSC, and starts again if Seq has changed:
//
//	delta     = (tsc - TSC) * Mult >> 32          (128-bit product)
//	monotonic = Monotonic + delta                 (ns since the guest started, plus ClockStart)
//	realtime  = monotonic + Realtime              (ns since 1970)
type Clock struct {
	Seq       uint64 // OUT: odd while the monitor writes
	TSC       uint64 // OUT: counter value at which Monotonic was right
	Mult      uint64 // OUT: ns per tick, as 32.32 fixed point
	Monotonic uint64 // OUT: guest monotonic time at TSC in ns
	Realtime  uint64 // OUT: ns to add to monotonic time for CLOCK_REALTIME; wraps
}

// ClockStart is the guest's monotonic time when it starts, in ns. It is not zero, which Go's runtime takes for "unset".
const ClockStart = 1_000_000
