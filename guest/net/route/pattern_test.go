package route

import (
	"net/netip"
	"testing"
)

func TestPatterns(t *testing.T) {
	a4, b4, a6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::1")
	all4, all6, all := netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.Addr{}
	for _, c := range []struct {
		a, b            netip.Addr
		covers, overlap bool
	}{
		{a4, a4, true, true}, {a4, b4, false, false}, {a4, a6, false, false},
		{all4, a4, true, true}, {all4, a6, false, false}, {a4, all4, false, true},
		{all6, a6, true, true}, {all6, a4, false, false}, {a6, all4, false, false},
		{all, a4, true, true}, {all, a6, true, true}, {a6, all, false, true},
		{all4, all6, false, false}, {all, all4, true, true}, {all6, all, false, true}, {all, all, true, true},
	} {
		if got := Overlap(c.a, c.b); got != c.overlap {
			t.Errorf("Overlap(%v, %v) = %v", c.a, c.b, got)
		}
		if got := Covers(c.a, c.b); Specific(c.b) && got != c.covers {
			t.Errorf("Covers(%v, %v) = %v", c.a, c.b, got)
		}
	}
}
