package tcp

import (
	"net/netip"
	"testing"
)

// TestISN checks RFC 6528: the same flow's numbers grow with time, different flows' have nothing to do with each other.
func TestISN(t *testing.T) {
	var s isnSource
	random := func() uint64 { return 0x123456789abcdef }
	a := flow{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), 80, 5000}
	b := a
	b.remotePort++
	first := s.next(&a, 0, random)
	if d := s.next(&a, 4_000_000, random) - first; d != 1000 {
		t.Errorf("%d in 4 ms, want 1000", d)
	}
	if d := s.next(&b, 0, random).minus(first); d > -1000 && d < 1000 {
		t.Errorf("the next flow's number differs by %d", d)
	}
	if s.timestampOffset(&a) == s.timestampOffset(&b) {
		t.Error("timestamps of two flows start alike")
	}
}

func TestSequenceArithmetic(t *testing.T) {
	const top = seq(0xffffff00)
	for _, c := range []struct {
		a, b seq
		less bool
	}{{1, 2, true}, {2, 1, false}, {top, 5, true}, {5, top, false}, {7, 7, false}, {0, 0x7fffffff, true}} {
		if c.a.before(c.b) != c.less || c.b.after(c.a) != c.less || (c.a == c.b || c.less) != c.b.atLeast(c.a) {
			t.Errorf("%d, %d", c.a, c.b)
		}
	}
	if top.plus(0x200).minus(top) != 0x200 || top.minus(top.plus(0x200)) != -0x200 || maxSeq(top, 5) != 5 {
		t.Error("arithmetic across zero")
	}
}
