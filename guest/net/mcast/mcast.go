// Package mcast announces the multicast groups an interface has joined, so that switches and routers send their packets
// there: the part of a host in IGMPv3 (RFC 3376 §5) and MLDv2 (RFC 3810 §6), which do the same in two formats, and, to
// queries of IGMPv2 and MLDv1, in the old way. There are no source filters here, so a group is joined or not.
//
// What happens within gatherTime goes into one report. A report of changes is sent twice, since it may get lost.
//
// Not safe for concurrent use: the stack's lock guards it.
package mcast

import (
	"net/netip"
	"slices"

	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Times in nanoseconds.
const (
	gatherTime = 10e6
	repeatTime = 1e9   // UNSOLICITED_REPORT_INTERVAL: the repetition comes at random within it
	oldTime    = 260e9 // how long after a query of the old protocol its way is kept to (RFC 3810 §9.12)
	delayMax   = 60e9
)

// MaxRecords is how many records a report has, at most: what fits 1280 bytes.
const MaxRecords = 60

// Box is the box of one interface and one version of IP. The function values are set by the stack's wiring.
type Box struct {
	Groups func(f func(group netip.Addr)) // those the interface is in
	// Report sends a report; with old set, one message of the old protocol for each record.
	Report func(records []wire.GroupRecord, old bool)
	Now    func() int64
	Random func() uint64
	Wheel  *timer.Wheel

	changes []wire.GroupRecord
	again   bool  // changes have been sent once
	old     int64 // till then the old protocol is spoken
	gather  timer.Timer
	answer  timer.Timer
}

// Changed is called when the interface has joined or left a group. Groups that never leave the host are not reported.
func (b *Box) Changed(group netip.Addr, joined bool) {
	if !reported(group) {
		return
	}
	r := wire.GroupRecord{Kind: wire.GroupToInclude, Group: group}
	if joined {
		r.Kind = wire.GroupToExclude
	}
	b.changes = slices.DeleteFunc(b.changes, func(o wire.GroupRecord) bool { return o.Group == group })
	if b.again || len(b.changes) == 0 {
		b.again = false
		b.gather.Init(b.Wheel, b.flush)
		b.gather.Set(b.Now() + gatherTime)
	}
	b.changes = append(b.changes, r)
}

// flush sends the changes, and once more.
func (b *Box) flush() {
	b.send(b.changes)
	if b.again {
		b.changes, b.again = nil, false
		return
	}
	b.again = true
	b.gather.Set(b.Now() + 1 + int64(b.Random()%repeatTime))
}

// Query takes a query about a group, or about all if that is unspecified, that is to be answered within delay
// milliseconds. One answer with all groups does for any number of queries.
func (b *Box) Query(delay int, group netip.Addr, old bool) {
	now := b.Now()
	if old {
		b.old = now + oldTime
	}
	if !group.IsUnspecified() {
		mine := false
		b.Groups(func(g netip.Addr) { mine = mine || g == group })
		if !mine {
			return
		}
	}
	if b.answer.Active() {
		return
	}
	d := min(max(int64(delay)*1e6, 1e6), delayMax)
	b.answer.Init(b.Wheel, b.reply)
	b.answer.Set(now + int64(b.Random()%uint64(d)))
}

func (b *Box) reply() {
	var all []wire.GroupRecord
	b.Groups(func(g netip.Addr) {
		if reported(g) {
			all = append(all, wire.GroupRecord{Kind: wire.GroupIsExclude, Group: g})
		}
	})
	slices.SortFunc(all, func(x, y wire.GroupRecord) int { return x.Group.Compare(y.Group) })
	b.send(all)
}

func (b *Box) send(records []wire.GroupRecord) {
	for len(records) > 0 {
		n := min(len(records), MaxRecords)
		b.Report(records[:n], b.old > b.Now())
		records = records[n:]
	}
}

// Stop forgets what was to be said.
func (b *Box) Stop() {
	b.gather.Stop()
	b.answer.Stop()
	b.changes, b.again = nil, false
}

// reported reports whether others are told of a group: not of all nodes' (RFC 3376 §5, RFC 3810 §6), nor of those that
// stay within the host.
func reported(g netip.Addr) bool {
	if g.Is4() {
		return g != netip.AddrFrom4([4]byte{224, 0, 0, 1})
	}
	return g != wire.AllNodes && g.As16()[1]&0xf > 1
}
