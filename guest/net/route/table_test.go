package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestLongestPrefix(t *testing.T) {
	var tab Table
	add := func(prefix, router string, link int) {
		e := Entry{Prefix: netip.MustParsePrefix(prefix), Link: link}
		if router != "" {
			e.Router = netip.MustParseAddr(router)
		}
		if err := tab.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	add("0.0.0.0/0", "10.0.0.254", 2)
	add("10.0.0.0/8", "10.0.0.1", 2)
	add("10.1.0.0/16", "", 3)
	add("10.1.2.0/24", "10.1.0.9", 3)
	add("10.1.2.0/24", "10.1.0.9", 3) // again: replaced
	add("0.0.0.0/0", "10.1.0.254", 3)
	for _, c := range []struct {
		dst  string
		link int
		want string
	}{
		{"10.1.2.3", 0, "10.1.2.0/24 3"},
		{"10.1.3.3", 0, "10.1.0.0/16 3"},
		{"10.2.3.3", 0, "10.0.0.0/8 2"},
		{"192.0.2.1", 0, "0.0.0.0/0 2"},
		{"192.0.2.1", 3, "0.0.0.0/0 3"},
		{"10.1.2.3", 2, "10.0.0.0/8 2"},
		{"10.1.2.3", 4, "none"},
	} {
		got := "none"
		if e, ok := tab.Lookup(netip.MustParseAddr(c.dst), c.link); ok {
			got = fmt.Sprint(e.Prefix, " ", e.Link)
		}
		if got != c.want {
			t.Errorf("%s through %d: %s, want %s", c.dst, c.link, got, c.want)
		}
	}
	if len(tab.Entries()) != 5 {
		t.Errorf("%d entries", len(tab.Entries()))
	}
	tab.RemoveLink(3)
	if len(tab.Entries()) != 2 {
		t.Errorf("%d entries after RemoveLink", len(tab.Entries()))
	}
}

// TestAgainstModel compares with trying all prefixes.
func TestAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var tab Table
	var all []Entry
	for i := range MaxEntries {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(r.IntN(3)), byte(r.IntN(3)), byte(r.IntN(256)), 0}), r.IntN(25)).Masked()
		e := Entry{Prefix: p, Link: i + 1}
		if err := tab.Add(e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if tab.Add(Entry{Prefix: netip.MustParsePrefix("9.9.9.9/32")}) != ErrTableFull {
		t.Error("no limit")
	}
	for range 5000 {
		dst := netip.AddrFrom4([4]byte{byte(r.IntN(3)), byte(r.IntN(3)), byte(r.IntN(256)), 1})
		best := -1
		for i, e := range all {
			if e.Prefix.Contains(dst) && (best < 0 || e.Prefix.Bits() > all[best].Prefix.Bits()) {
				best = i
			}
		}
		e, ok := tab.Lookup(dst, 0)
		if ok != (best >= 0) || ok && e.Link != all[best].Link {
			t.Fatalf("%v: %v %v, want %v", dst, e, ok, best)
		}
	}
}
