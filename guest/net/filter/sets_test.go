package filter

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestAddrSets compares sets with the lists they were made of.
func TestAddrSets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() netip.Addr {
		// Few values in the places that matter, so that prefixes overlap and touch.
		x := byte(r.UintN(4)) * 85
		if r.UintN(2) == 0 {
			return netip.AddrFrom4([4]byte{10 + x&1, x, byte(r.UintN(256)), byte(r.UintN(4)) * 85})
		}
		return netip.AddrFrom16([16]byte{0xfc | x&3, x, 6: byte(r.UintN(4)) * 85, 7: byte(r.UintN(256)), 8: x, 15: byte(r.UintN(256))})
	}
	for range 2000 {
		var list []netip.Prefix
		for range 1 + r.UintN(12) {
			a := random()
			list = append(list, netip.PrefixFrom(a, int(r.UintN(uint(a.BitLen()+1)))))
		}
		set := makeAddrSet(list)
		for range 50 {
			a := random()
			switch r.UintN(3) {
			case 0:
				a = list[r.UintN(uint(len(list)))].Masked().Addr()
			case 1:
				if a = list[r.UintN(uint(len(list)))].Masked().Addr().Prev(); !a.IsValid() {
					continue
				}
			}
			want := false
			for _, p := range list {
				want = want || p.Contains(a)
			}
			if got := set.contains(toAddr(a)); got != want {
				t.Fatalf("%v in %v: %v", a, list, got)
			}
		}
	}
}

// TestPortSets does the same for ports.
func TestPortSets(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		var list []PortRange
		for range 1 + r.UintN(10) {
			p := uint16(r.UintN(300))
			if r.UintN(4) == 0 {
				p = 65535 - p
			}
			list = append(list, PortRange{p, uint16(min(uint(p)+r.UintN(20), 65535))})
		}
		set := makePortSet(list)
		for p := range 65536 {
			want := false
			for _, x := range list {
				want = want || x.First <= uint16(p) && uint16(p) <= x.Last
			}
			if got := set.contains(uint16(p)); got != want {
				t.Fatalf("%v in %v: %v", p, list, got)
			}
		}
	}
}
