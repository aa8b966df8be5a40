package ip6

import (
	"net/netip"

	"ukvm.dev/guest/net/wire"
)

// Limits of what is remembered of paths; time in nanoseconds.
const (
	MaxPaths = 256   // destinations with an MTU of their own; any makes room
	PathTime = 600e9 // then the link's MTU is tried again (RFC 8201 §5.3)
)

// paths remembers the MTUs of paths that do not take the link's (RFC 8201). TCP keeps its own for each connection, and
// is not bound by these: who forges errors about datagrams does not slow connections down.
type paths struct {
	mtu map[netip.Addr]pathMTU
}

type pathMTU struct {
	mtu  int
	till int64
}

// TooBig learns that the path to dst takes no packets longer than mtu. Less than every link takes is not believed
// (RFC 8201 §4).
func (b *Box) TooBig(dst netip.Addr, mtu int) {
	mtu = max(mtu, wire.IPv6MinMTU)
	now := b.Now()
	s := &b.paths
	if old, ok := s.mtu[dst]; ok && old.till > now && old.mtu <= mtu {
		return
	}
	if s.mtu == nil {
		s.mtu = make(map[netip.Addr]pathMTU)
	}
	if len(s.mtu) >= MaxPaths {
		for victim := range s.mtu { // in random order
			delete(s.mtu, victim)
			break
		}
	}
	s.mtu[dst] = pathMTU{mtu, now + PathTime}
}

// pathMTU returns the MTU to a destination over a link.
func (b *Box) pathMTU(dst netip.Addr, link *Link) int {
	if len(b.paths.mtu) == 0 {
		return link.MTU
	}
	p, ok := b.paths.mtu[dst]
	if !ok {
		return link.MTU
	}
	if p.till <= b.Now() {
		delete(b.paths.mtu, dst)
		return link.MTU
	}
	return min(p.mtu, link.MTU)
}
