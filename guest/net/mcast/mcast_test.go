package mcast

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

var (
	groupA, groupB = netip.MustParseAddr("ff02::a"), netip.MustParseAddr("ff05::b")
	all            = netip.IPv6Unspecified()
)

type lab struct {
	box    Box
	wheel  timer.Wheel
	now    int64
	groups []netip.Addr
	out    []string
}

func newLab(seed uint64) *lab {
	l := &lab{now: 3600e9}
	l.wheel.Advance(l.now)
	l.box = Box{
		Groups: func(f func(netip.Addr)) {
			for _, g := range l.groups {
				f(g)
			}
		},
		Report: func(records []wire.GroupRecord, old bool) {
			s := ""
			for _, r := range records {
				s += fmt.Sprintf("%d %v ", r.Kind, r.Group)
			}
			if old {
				s += "old"
			}
			l.out = append(l.out, s)
		},
		Now: func() int64 { return l.now }, Random: rand.New(rand.NewPCG(seed, 1)).Uint64, Wheel: &l.wheel,
	}
	return l
}

func (l *lab) pass(d int64) { nettest.Pass(&l.now, &l.wheel, d) }

func (l *lab) expect(t *testing.T, what string, want ...string) {
	t.Helper()
	if !slices.Equal(l.out, want) {
		t.Errorf("%s: %q, want %q", what, l.out, want)
	}
	l.out = nil
}

func TestChanges(t *testing.T) {
	l := newLab(1)
	l.box.Changed(groupA, true)
	l.box.Changed(groupB, true)
	l.box.Changed(wire.AllNodes, true)
	l.box.Changed(netip.MustParseAddr("ff01::9"), true)
	l.expect(t, "at once")
	l.pass(20e6)
	l.expect(t, "gathered", "4 ff02::a 4 ff05::b ")
	l.pass(2e9)
	l.expect(t, "repeated", "4 ff02::a 4 ff05::b ")
	l.box.Changed(groupA, false)
	l.box.Changed(groupA, true)
	l.box.Changed(groupA, false)
	l.pass(5e9)
	l.expect(t, "the last word counts", "3 ff02::a ", "3 ff02::a ")
	if l.wheel.Len() != 0 {
		t.Errorf("%d timers left", l.wheel.Len())
	}
}

func TestQueries(t *testing.T) {
	l := newLab(1)
	l.groups = []netip.Addr{groupB, groupA, wire.AllNodes}
	for range 100 {
		l.box.Query(10000, all, false)
	}
	l.pass(11e9)
	l.expect(t, "a flood of queries", "2 ff02::a 2 ff05::b ")
	l.box.Query(1000, groupA, false)
	l.pass(2e9)
	l.expect(t, "about a group", "2 ff02::a 2 ff05::b ")
	l.box.Query(1000, netip.MustParseAddr("ff02::c"), false)
	l.pass(2e9)
	l.expect(t, "about another")
	l.box.Query(1000, all, true)
	l.pass(2e9)
	l.expect(t, "an old router", "2 ff02::a 2 ff05::b old")
	l.box.Changed(groupA, false)
	l.pass(3e9)
	l.expect(t, "it has to be told in its way", "3 ff02::a old", "3 ff02::a old")
	l.pass(oldTime)
	l.box.Query(1000, all, false)
	l.pass(2e9)
	l.expect(t, "the old router is gone", "2 ff02::a 2 ff05::b ")
	l.box.Query(1000, all, false)
	l.box.Stop()
	l.pass(2e9)
	l.expect(t, "stopped")
}
