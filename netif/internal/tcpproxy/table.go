package tcpproxy

import "sync/atomic"

// Table bounds connections and counts them. Several users may share it; it is safe for concurrent use.
type Table struct {
	Max, MaxPending int64 // set before use

	open, pending                    atomic.Int64
	toHost, toGuest, refused, failed atomic.Uint64
}

// Counts is the state of a Table.
type Counts struct {
	Open, Pending                    int64  // now
	ToHost, ToGuest, Refused, Failed uint64 // since the beginning
}

// Place is the answer of Begin.
type Place int

// Answers of Begin.
const (
	Granted Place = iota
	Busy          // too many connections are in the making
	Full          // too many connections
)

// Begin takes the place of a connection in the making, or counts that there was none.
func (t *Table) Begin() Place {
	if t.open.Add(1) > t.Max {
		t.open.Add(-1)
		t.refused.Add(1)
		return Full
	}
	if t.pending.Add(1) > t.MaxPending {
		t.pending.Add(-1)
		t.open.Add(-1)
		t.refused.Add(1)
		return Busy
	}
	return Granted
}

// Saturated reports whether as many connections are in the making as may be.
func (t *Table) Saturated() bool { return t.pending.Load() >= t.MaxPending }

// Withdraw gives up the place of a connection in the making without counting it.
func (t *Table) Withdraw() {
	t.pending.Add(-1)
	t.open.Add(-1)
}

// Established ends the making of a connection that the guest began, or else the host's side.
func (t *Table) Established(byGuest bool) {
	t.pending.Add(-1)
	if byGuest {
		t.toHost.Add(1)
	} else {
		t.toGuest.Add(1)
	}
}

// Fail ends the making of a connection, and gives up its place, because the other side was not there.
func (t *Table) Fail() {
	t.failed.Add(1)
	t.pending.Add(-1)
	t.open.Add(-1)
}

// End gives up the place of an established connection.
func (t *Table) End() { t.open.Add(-1) }

// Lost counts a connection that failed before it had a place, Refuse one for which there is none.
func (t *Table) Lost()   { t.failed.Add(1) }
func (t *Table) Refuse() { t.refused.Add(1) }

// Counts may be called at any time.
func (t *Table) Counts() Counts {
	return Counts{
		Open: t.open.Load(), Pending: t.pending.Load(),
		ToHost: t.toHost.Load(), ToGuest: t.toGuest.Load(),
		Refused: t.refused.Load(), Failed: t.failed.Load(),
	}
}
