package ip4

import "net/netip"

// idents makes the identifications of packets that may be fragmented (RFC 6864 §4.2): a counter per bucket of
// destinations, so that one destination's do not repeat soon, with random starts and steps, so that they tell third
// parties nothing about our traffic (RFC 7739).
type idents struct {
	secret uint64
	last   [256]uint16
}

func (s *idents) next(dst netip.Addr, random func() uint64) uint16 {
	if s.secret == 0 {
		s.secret = random() | 1
		for i := range s.last {
			s.last[i] = uint16(random())
		}
	}
	a := dst.As4()
	v := uint64(a[0])<<24 | uint64(a[1])<<16 | uint64(a[2])<<8 | uint64(a[3])
	i := (v + 1) * s.secret >> 56
	s.last[i] += 1 + uint16(random()&7)
	return s.last[i]
}
