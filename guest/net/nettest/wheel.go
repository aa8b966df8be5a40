package nettest

import "ukvm.dev/guest/net/timer"

// Pass lets d nanoseconds pass on the clock *now, for boxes that have a wheel of their own and no stack: timers fire when they
// are due, and see that time.
func Pass(now *int64, w *timer.Wheel, d int64) {
	end := *now + d
	for next, ok := w.Next(); ok && next <= end; next, ok = w.Next() {
		*now = max(next, *now)
		w.Advance(*now)
	}
	*now = end
	w.Advance(end)
}
