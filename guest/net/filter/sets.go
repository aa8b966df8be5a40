package filter

import (
	"net/netip"
	"slices"
)

// addr is an address as a number: IPv4 addresses are mapped (RFC 4291 §2.5.5.2), so one kind of set serves both.
type addr struct{ hi, lo uint64 }

func toAddr(a netip.Addr) addr {
	b := a.As16()
	return addr{be64(b[:8]), be64(b[8:])}
}

func be64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0])<<56 | uint64(b[1])<<48 | uint64(b[2])<<40 | uint64(b[3])<<32 |
		uint64(b[4])<<24 | uint64(b[5])<<16 | uint64(b[6])<<8 | uint64(b[7])
}

func (a addr) less(b addr) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// addrRange is the addresses from first to last.
type addrRange struct{ first, last addr }

// mapped is where IPv4 lies. No IPv6 packet has such an address.
var mapped = addrRange{addr{0, 0xffff << 32}, addr{0, 0xffff<<32 | 0xffffffff}}

// addrSet is a set of addresses: ranges in ascending order that neither overlap nor touch. Most sets are one range, and
// most addresses lie outside of all: that is decided before the ranges, in memory of their own, are looked at.
type addrSet struct {
	addrRange // from the first to the last
	ranges    []addrRange
}

func makeAddrSet(prefixes []netip.Prefix) addrSet {
	var s []addrRange
	for _, p := range prefixes {
		first := toAddr(p.Masked().Addr())
		ones := p.Bits()
		if p.Addr().Is4() {
			ones += 96
		}
		last := first
		if ones <= 64 {
			last.hi |= ^uint64(0) >> ones
			last.lo = ^uint64(0)
		} else {
			last.lo |= ^uint64(0) >> (ones - 64)
		}
		if p.Addr().Is6() && !mapped.first.less(first) && !last.less(mapped.last) {
			// IPv4 is in the midst of it and not meant.
			s = append(s, addrRange{first, addr{0, mapped.first.lo - 1}}, addrRange{addr{0, mapped.last.lo + 1}, last})
			continue
		}
		s = append(s, addrRange{first, last})
	}
	slices.SortFunc(s, func(a, b addrRange) int {
		switch {
		case a.first.less(b.first):
			return -1
		case b.first.less(a.first):
			return 1
		}
		return 0
	})
	merged := s[:0]
	for _, r := range s {
		if n := len(merged); n > 0 && !merged[n-1].last.before(r.first) {
			if merged[n-1].last.less(r.last) {
				merged[n-1].last = r.last
			}
			continue
		}
		merged = append(merged, r)
	}
	return addrSet{addrRange{merged[0].first, merged[len(merged)-1].last}, merged}
}

// before reports whether at least one address lies between a and b > a.
func (a addr) before(b addr) bool {
	if a.lo++; a.lo == 0 {
		if a.hi++; a.hi == 0 {
			return false // a was the last address of all
		}
	}
	return a.less(b)
}

func (s *addrSet) contains(a addr) bool {
	if a.less(s.first) || s.last.less(a) {
		return false
	}
	low, high := 0, len(s.ranges)
	if high == 1 {
		return true
	}
	for low < high {
		m := int(uint(low+high) >> 1)
		switch r := &s.ranges[m]; {
		case a.less(r.first):
			high = m
		case r.last.less(a):
			low = m + 1
		default:
			return true
		}
	}
	return false
}

// portSet is a set of ports, made like an addrSet.
type portSet struct {
	PortRange
	ranges []PortRange
}

func makePortSet(list []PortRange) portSet {
	s := slices.Clone(list)
	slices.SortFunc(s, func(a, b PortRange) int { return int(a.First) - int(b.First) })
	merged := s[:0]
	for _, r := range s {
		if n := len(merged); n > 0 && int(r.First) <= int(merged[n-1].Last)+1 {
			merged[n-1].Last = max(merged[n-1].Last, r.Last)
			continue
		}
		merged = append(merged, r)
	}
	return portSet{PortRange{merged[0].First, merged[len(merged)-1].Last}, merged}
}

func (s *portSet) contains(p uint16) bool {
	if p < s.First || p > s.Last {
		return false
	}
	low, high := 0, len(s.ranges)
	if high == 1 {
		return true
	}
	for low < high {
		m := int(uint(low+high) >> 1)
		switch r := &s.ranges[m]; {
		case p < r.First:
			high = m
		case r.Last < p:
			low = m + 1
		default:
			return true
		}
	}
	return false
}
