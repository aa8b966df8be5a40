// Package timer is the stack's only timer facility: a hierarchical timing wheel (Varghese and Lauck, scheme 7) with a
// resolution of one millisecond, driven by whoever calls Advance. Setting and stopping cost O(1) whatever the number of
// timers; a timer moves to a finer level at most four times before it fires.
//
//	level 0   64 slots of 1 ms        the next 64 ms
//	level 1   64 slots of 64 ms       the next 4 s
//	level 2   64 slots of 4.1 s       the next 4 min
//	level 3   64 slots of 4.4 min     the next 4.6 h
//	level 4   64 slots of 4.7 h       the next 12 days; what is later is looked at again then
//
// Nothing here is safe for concurrent use: the stack's lock guards it.
package timer

import (
	"math"
	"math/bits"
)

const (
	tick      = 1_000_000 // nanoseconds
	levels    = 5
	slotBits  = 6
	slots     = 1 << slotBits
	slotMask  = slots - 1
	maxFuture = 1<<(levels*slotBits) - 1 // ticks
)

// Wheel holds timers. The zero Wheel stands at time 0 and is ready for use.
type Wheel struct {
	now      int64 // ticks: everything due until then has fired
	slot     [levels][slots]*Timer
	occupied [levels]uint64 // bit i: slot i is not empty
	count    int
}

// Timer calls a function once when its time has come. The zero Timer needs Init.
type Timer struct {
	f           func()
	when        int64 // nanoseconds
	wheel       *Wheel
	next, prev  *Timer
	level, slot uint8
	set         bool
}

// Init says what the timer does and in which wheel it runs.
func (t *Timer) Init(w *Wheel, f func()) { t.wheel, t.f = w, f }

// Set starts the timer, or moves it, to fire at when, in nanoseconds of the wheel's clock; what is past counts as now. It
// fires at the first Advance a millisecond later, never early.
func (t *Timer) Set(when int64) {
	t.Stop()
	t.when = when
	t.set = true
	t.wheel.count++
	t.wheel.insert(t)
}

// Stop keeps the timer from firing.
func (t *Timer) Stop() {
	if !t.set {
		return
	}
	t.set = false
	t.wheel.count--
	t.wheel.remove(t)
}

// Active reports whether the timer is going to fire, When when.
func (t *Timer) Active() bool { return t.set }

// When returns when an active timer fires, in nanoseconds.
func (t *Timer) When() int64 { return t.when }

// Len is the number of active timers.
func (w *Wheel) Len() int { return w.count }

func (w *Wheel) insert(t *Timer) {
	due := max((t.when+tick-1)/tick, w.now+1)
	due = min(due, w.now+maxFuture)
	level := 0
	if d := due ^ w.now; d >= slots {
		// The level of the highest digit (base 64) in which due differs from now: there, due's digit is ahead of
		// now's, so its slot is looked at before now's comes round again.
		level = min((bits.Len64(uint64(d))-1)/slotBits, levels-1)
	}
	i := due >> (level * slotBits) & slotMask
	t.level, t.slot = uint8(level), uint8(i)
	t.prev, t.next = nil, w.slot[level][i]
	if t.next != nil {
		t.next.prev = t
	}
	w.slot[level][i] = t
	w.occupied[level] |= 1 << i
}

func (w *Wheel) remove(t *Timer) {
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slot[t.level][t.slot] = t.next
		if t.next == nil {
			w.occupied[t.level] &^= 1 << t.slot
		}
	}
	t.next, t.prev = nil, nil
}

// nextTick returns the tick at which something is to be done: timers fire or move to a finer level.
func (w *Wheel) nextTick() (tick int64, ok bool) {
	for level := range w.occupied {
		if w.occupied[level] == 0 {
			continue
		}
		at := w.now >> (level * slotBits)
		// Distance 1 … 64 to the first occupied slot after the present one.
		d := bits.TrailingZeros64(bits.RotateLeft64(w.occupied[level], -int(at+1)&slotMask)) + 1
		if due := (at + int64(d)) << (level * slotBits); !ok || due < tick {
			tick, ok = due, true
		}
	}
	return tick, ok
}

// Next returns when Advance must be called next, in nanoseconds; ok is false if there are no timers. That is when a timer
// fires, or a little before, if it cannot be found out quickly.
func (w *Wheel) Next() (when int64, ok bool) {
	first := int64(0)
	for level := range w.occupied {
		if w.occupied[level] == 0 {
			continue
		}
		at := w.now >> (level * slotBits)
		d := bits.TrailingZeros64(bits.RotateLeft64(w.occupied[level], -int(at+1)&slotMask)) + 1
		// The timers of the first occupied slot are the first of their level, but in no order.
		due := (at + int64(d)) << (level * slotBits)
		if level > 0 {
			due = max(due, earliest(w.slot[level][(at+int64(d))&slotMask], due))
		}
		if !ok || due < first {
			first, ok = due, true
		}
	}
	return first * tick, ok
}

// lookAt bounds how many timers of a slot Next looks at.
const lookAt = 8

// earliest is the tick at which the first timer of a list fires, or least, an earlier one, if the list is long.
func earliest(t *Timer, least int64) int64 {
	first := int64(math.MaxInt64)
	for n := 0; t != nil; n++ {
		if n == lookAt {
			return least
		}
		first = min(first, (t.when+tick-1)/tick)
		t = t.next
	}
	return first
}

// Advance fires, in order of their milliseconds, all timers that are due at now, in nanoseconds. Their functions may set
// and stop timers.
func (w *Wheel) Advance(now int64) {
	target := now / tick
	for {
		t, ok := w.nextTick()
		if !ok || t > target {
			break
		}
		w.now = t
		for level := levels - 1; level > 0; level-- {
			if w.now&(1<<(level*slotBits)-1) == 0 {
				w.cascade(level)
			}
		}
		i := w.now & slotMask
		for t := w.slot[0][i]; t != nil; t = w.slot[0][i] {
			t.Stop()
			t.f()
		}
	}
	w.now = max(w.now, target)
}

// cascade moves the timers of the slot of a level that has just begun to finer levels.
func (w *Wheel) cascade(level int) {
	i := w.now >> (level * slotBits) & slotMask
	t := w.slot[level][i]
	w.slot[level][i] = nil
	w.occupied[level] &^= 1 << i
	for t != nil {
		next := t.next
		t.next, t.prev = nil, nil
		w.reinsert(t)
		t = next
	}
}

// reinsert is insert for a timer that may be due at this very tick.
func (w *Wheel) reinsert(t *Timer) {
	if (t.when+tick-1)/tick > w.now {
		w.insert(t)
		return
	}
	i := w.now & slotMask
	t.level, t.slot = 0, uint8(i)
	t.next = w.slot[0][i]
	if t.next != nil {
		t.next.prev = t
	}
	w.slot[0][i] = t
	w.occupied[0] |= 1 << i
}
