// Package clock is the monitor's end of a guest's clock page (hypercall.Clock): it keeps the formula there such that the
// guest, reading its time-stamp counter, sees the host's CLOCK_MONOTONIC (from the guest's start on) and
// CLOCK_REALTIME, without the monotonic clock ever stepping back.
package clock

import (
	"fmt"
	"math"
	"math/bits"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
)

// Counter reads the guest's time-stamp counter.
type Counter func() (uint64, error)

// How often and how strongly the clock is corrected.
const (
	interval = 250_000_000   // ns between updates
	baseline = 1_000_000_000 // ns over which the counter's rate is measured
	maxSlew  = 500           // parts per million
	maxStep  = 100_000_000   // an error in ns beyond which the clock jumps ahead instead
)

// Clock keeps one clock page up to date. It is not safe for concurrent use; the vCPU must not run during a call.
type Clock struct {
	page  *hypercall.Clock
	count Counter
	epoch int64  // CLOCK_MONOTONIC when the guest's monotonic clock was 0
	rate  uint64 // ns per tick, 32.32, as measured
	last  int64  // CLOCK_MONOTONIC of the last update

	firstTSC  uint64 // start of the present measurement of rate
	firstHost int64
}

// New starts the guest's clock. khz is the nominal rate of the counter.
func New(page *hypercall.Clock, khz uint64, count Counter) (*Clock, error) {
	if khz == 0 {
		return nil, fmt.Errorf("start the guest's clock: the time-stamp counter's frequency is not known")
	}
	c := &Clock{page: page, count: count}
	tsc, host, err := c.sample()
	if err != nil {
		return nil, err
	}
	c.epoch = host - hypercall.ClockStart
	c.rate = 1_000_000 << 32 / khz
	c.firstTSC, c.firstHost, c.last = tsc, host, host
	c.publish(tsc, hypercall.ClockStart, c.rate, host)
	return c, nil
}

// Host converts the guest's monotonic time to the host's CLOCK_MONOTONIC, both in ns. Times beyond the host's last are
// that.
func (c *Clock) Host(guest uint64) int64 {
	return int64(min(guest, uint64(math.MaxInt64-max(c.epoch, 0)))) + c.epoch
}

// Guest converts a time of the host's CLOCK_MONOTONIC to the guest's monotonic time, both in ns. A time before the guest's
// is 1.
func (c *Clock) Guest(host int64) uint64 { return uint64(max(host-c.epoch, 1)) }

// Due reports whether it is time for an update, given CLOCK_MONOTONIC.
func (c *Clock) Due(host int64) bool { return host-c.last >= interval }

// Update brings the page up to date.
func (c *Clock) Update() error {
	tsc, host, err := c.sample()
	if err != nil {
		return err
	}
	c.measure(tsc, host)
	guest, ahead := c.guest(tsc)
	drift := host - c.epoch - guest // positive: the guest is behind
	rate := c.rate
	switch {
	case !ahead || drift > maxStep:
		// The counter was reset (suspend), or the guest slept through a change of the host's: go on from the host's
		// time, or stand still until that has caught up.
		guest = max(guest, host-c.epoch)
	default:
		ppm := min(max(drift*1_000_000/interval, -maxSlew), maxSlew)
		rate += uint64(int64(rate) / 1_000_000 * ppm)
	}
	c.last = host
	c.publish(tsc, uint64(guest), rate, host)
	return nil
}

// guest is what the guest's monotonic clock shows at a counter value. ahead is false if the counter has gone back.
func (c *Clock) guest(tsc uint64) (ns int64, ahead bool) {
	if tsc < c.page.TSC {
		return int64(c.page.Monotonic), false
	}
	hi, lo := bits.Mul64(tsc-c.page.TSC, c.page.Mult)
	return int64(c.page.Monotonic + (hi<<32 | lo>>32)), true
}

// measure improves the rate from the time that has passed on both clocks.
func (c *Clock) measure(tsc uint64, host int64) {
	ns := host - c.firstHost
	if ns < baseline {
		return
	}
	ticks := tsc - c.firstTSC
	if tsc > c.firstTSC && uint64(ns)>>32 < ticks {
		rate, _ := bits.Div64(uint64(ns)>>32, uint64(ns)<<32, ticks)
		if rate/64 <= c.rate && c.rate/64 <= rate { // else the counter has jumped
			c.rate = rate
		}
	}
	if ns > 64*baseline || tsc < c.firstTSC {
		c.firstTSC, c.firstHost = tsc, host
	}
}

// sample reads the counter and CLOCK_MONOTONIC at the same moment, as nearly as that goes.
func (c *Clock) sample() (tsc uint64, host int64, err error) {
	best := int64(1 << 62)
	for range 3 {
		before := Monotonic()
		t, err := c.count()
		if err != nil {
			return 0, 0, fmt.Errorf("read the guest's time-stamp counter: %w", err)
		}
		after := Monotonic()
		if d := after - before; d < best {
			best, tsc, host = d, t, before+d/2
		}
		if best < 5_000 {
			break
		}
	}
	return tsc, host, nil
}

func (c *Clock) publish(tsc, monotonic, rate uint64, host int64) {
	now := Monotonic()
	c.page.Seq++
	c.page.TSC = tsc
	c.page.Monotonic = monotonic
	c.page.Mult = rate
	c.page.Realtime = uint64(realtime()-(now-host)) - monotonic
	c.page.Seq++
}

// Monotonic is the host's CLOCK_MONOTONIC in ns. Package time reads the same clock, and without a system call, but does not
// say what it has read.
func Monotonic() int64 { return startMonotonic + int64(time.Since(start)) }

// start and startMonotonic are the same moment.
var start, startMonotonic = startOf()

// startOf reads both clocks several times, and takes the two readings that were closest to each other.
func startOf() (at time.Time, monotonic int64) {
	best := time.Duration(math.MaxInt64)
	for range 5 {
		before := time.Now()
		ns := read(unix.CLOCK_MONOTONIC)
		if d := time.Since(before); d < best {
			best, at, monotonic = d, before, ns-int64(d/2)
		}
	}
	return at, monotonic
}

func realtime() int64 { return time.Now().UnixNano() }

func read(clock int32) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		panic("BUG: clock_gettime: " + err.Error())
	}
	return ts.Nano()
}
