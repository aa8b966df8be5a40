package ip4

import (
	"errors"
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
)

var (
	localhost   = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	unspecified = netip.IPv4Unspecified()
	broadcast   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	// AllSystems is the group that every host is in (RFC 1112 §4).
	AllSystems = netip.AddrFrom4([4]byte{224, 0, 0, 1})
)

// Loopback is the index of the loopback interface, which is always there.
const Loopback = 1

// Limits of an interface.
const (
	MaxLinks  = 64
	MaxAddrs  = 16 // addresses of one interface
	MaxGroups = 64 // multicast groups one interface has joined
)

// ErrLimit is returned when an interface, address or group would be one too many.
var ErrLimit = errors.New("too many interfaces, addresses or groups")

// Link is an interface as IP sees it. Fields are set before AddLink, addresses by the methods of Box.
type Link struct {
	Index    int // assigned by AddLink
	MTU      int // largest IP packet in bytes
	TSO      int // see route.Route
	Loopback bool
	Output   packet.Handler // down: to the ARP box, or loopback

	// Membership, if set, is told when the first one here joins a group, or the last one leaves it.
	Membership func(group netip.Addr, joined bool)

	addrs      []netip.Prefix
	broadcasts []netip.Addr // of the prefixes of addrs
	groups     map[netip.Addr]int
}

// Addr returns the interface's first address, the zero Addr if it has none.
func (l *Link) Addr() netip.Addr {
	if len(l.addrs) == 0 {
		return netip.Addr{}
	}
	return l.addrs[0].Addr()
}

// Addrs returns the interface's addresses. The caller neither changes nor keeps them.
func (l *Link) Addrs() []netip.Prefix { return l.addrs }

// Owns reports whether a is an address of the interface.
func (l *Link) Owns(a netip.Addr) bool {
	for _, p := range l.addrs {
		if p.Addr() == a {
			return true
		}
	}
	return false
}

func (l *Link) isBroadcast(a netip.Addr) bool {
	for _, b := range l.broadcasts {
		if a == b {
			return true
		}
	}
	return false
}

func (l *Link) isGroup(a netip.Addr) bool {
	return a.IsMulticast() && (a == AllSystems || l.groups[a] > 0)
}

// Groups calls f for each group the interface is in, but for AllSystems.
func (l *Link) Groups(f func(group netip.Addr)) {
	for g := range l.groups {
		f(g)
	}
}

// broadcastOf returns the highest address of an IPv4 prefix; /31 and /32 have no broadcast address (RFC 3021).
func broadcastOf(p netip.Prefix) (netip.Addr, bool) {
	if p.Bits() >= 31 {
		return netip.Addr{}, false
	}
	a := p.Addr().As4()
	for i := range a {
		ones := min(max(p.Bits()-8*i, 0), 8)
		a[i] |= byte(0xff >> ones)
	}
	return netip.AddrFrom4(a), true
}

// AddLink adds an interface and numbers it. The first one is loopback.
func (b *Box) AddLink(l *Link) error {
	if len(b.links) == 0 {
		b.links = append(b.links, nil)
	}
	if len(b.links) > MaxLinks {
		return ErrLimit
	}
	l.Index = len(b.links)
	b.links = append(b.links, l)
	return nil
}

// AddAddr gives an interface an address and a route to its prefix.
func (b *Box) AddAddr(l *Link, p netip.Prefix) error {
	if l.Owns(p.Addr()) {
		return nil
	}
	if len(l.addrs) >= MaxAddrs {
		return ErrLimit
	}
	l.addrs = append(l.addrs, p)
	if a, ok := broadcastOf(p); ok && !l.Loopback {
		l.broadcasts = append(l.broadcasts, a)
	}
	if l.Loopback {
		return nil // IsLocal leads there
	}
	return b.Routes.Add(route.Entry{Prefix: p, Link: l.Index, Source: p.Addr()})
}

// RemoveAddrs takes all addresses and routes from an interface.
func (b *Box) RemoveAddrs(l *Link) {
	l.addrs, l.broadcasts = nil, nil
	b.Routes.RemoveLink(l.Index)
}

func (b *Box) link(index int) *Link {
	if index < 0 || index >= len(b.links) {
		return nil
	}
	return b.links[index]
}

// IsLocal reports whether a is an address of this host, on whatever interface, 127.0.0.0/8 included.
func (b *Box) IsLocal(a netip.Addr) bool {
	return a.IsLoopback() || b.linkOf(a) != 0
}

// IsBroadcast reports whether a is a broadcast address of this host's links.
func (b *Box) IsBroadcast(a netip.Addr) bool {
	if a == broadcast {
		return true
	}
	for _, l := range b.links {
		if l != nil && l.isBroadcast(a) {
			return true
		}
	}
	return false
}

// linkOf returns the index of the interface that has the address, 0 if none has.
func (b *Box) linkOf(a netip.Addr) int {
	for _, l := range b.links {
		if l != nil && l.Owns(a) {
			return l.Index
		}
	}
	return 0
}

// groupLink finds the interface for a group: the one asked for, the one the route leads to, or the first card.
func (b *Box) groupLink(group netip.Addr, link int) (*Link, error) {
	r, err := b.Route(group, netip.Addr{}, link)
	if err != nil {
		return nil, err
	}
	return b.links[r.Link], nil
}

// Join makes an interface (0: routing decides) accept packets to a multicast group, and returns its index. Each Join
// needs its Leave.
func (b *Box) Join(group netip.Addr, link int) (int, error) {
	l, err := b.groupLink(group, link)
	if err != nil {
		return 0, err
	}
	if l.groups[group] == 0 && len(l.groups) >= MaxGroups {
		return 0, ErrLimit
	}
	if l.groups == nil {
		l.groups = make(map[netip.Addr]int)
	}
	l.groups[group]++
	if l.groups[group] == 1 && l.Membership != nil {
		l.Membership(group, true)
	}
	return l.Index, nil
}

// Leave undoes a Join on the interface that Join returned.
func (b *Box) Leave(group netip.Addr, link int) {
	l := b.link(link)
	if l == nil || l.groups[group] == 0 {
		return
	}
	if l.groups[group]--; l.groups[group] == 0 {
		delete(l.groups, group)
		if l.Membership != nil {
			l.Membership(group, false)
		}
	}
}
