package ip6

import (
	"errors"
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/wire"
)

var localhost = netip.IPv6Loopback()

// Loopback is the index of the loopback interface, which is always there.
const Loopback = 1

// Limits of an interface.
const (
	MaxLinks  = 64
	MaxAddrs  = 16 // addresses of one interface
	MaxGroups = 64 // multicast groups one interface has joined, those of its addresses included
)

// ErrLimit is returned when an interface, address or group would be one too many.
var ErrLimit = errors.New("too many interfaces, addresses or groups")

// Link is an interface as IP sees it. Fields are set before AddLink, addresses by the methods of Box. It has the same
// Index as the interface's link in package ip4: both are added in the same order.
type Link struct {
	Index    int   // assigned by AddLink
	MTU      int   // largest IP packet in bytes
	TSO      int   // see route.Route
	HopLimit uint8 // of what is sent; 0: DefaultHopLimit
	Loopback bool
	Output   packet.Handler // down: to the NDP box, or loopback

	// Membership, if set, is told when the first one here joins a group, or the last one leaves it.
	Membership func(group netip.Addr, joined bool)

	addrs  []Addr
	groups map[netip.Addr]int
}

// Addr is an address of an interface.
type Addr struct {
	netip.Prefix
	Auto      bool  // from a router's advertisement (RFC 4862)
	Preferred int64 // till then new connections use it, in nanoseconds of the stack's clock; 0: for ever
	Valid     int64 // till then it is an address of the interface at all; 0: for ever
}

// deprecated reports whether the address should not be used for what is new (RFC 4862 §5.5.4).
func (a *Addr) deprecated(now int64) bool { return a.Preferred != 0 && a.Preferred <= now }

// Addrs returns the interface's addresses. The caller neither changes nor keeps them.
func (l *Link) Addrs() []Addr { return l.addrs }

// Owns reports whether a is an address of the interface.
func (l *Link) Owns(a netip.Addr) bool {
	for i := range l.addrs {
		if l.addrs[i].Addr() == a {
			return true
		}
	}
	return false
}

// LinkLocal returns the interface's link-local address, the zero Addr if it has none.
func (l *Link) LinkLocal() netip.Addr {
	for i := range l.addrs {
		if a := l.addrs[i].Addr(); a.IsLinkLocalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

// isGroup reports whether the interface takes packets to a group: all nodes, the groups of its addresses, and those
// that have been joined.
func (l *Link) isGroup(g netip.Addr) bool {
	return g == wire.AllNodes || l.groups[g] > 0 || l.Loopback
}

// Groups calls f for each group the interface is in, but for all nodes, which is never reported (RFC 3810 §6).
func (l *Link) Groups(f func(group netip.Addr)) {
	for g := range l.groups {
		f(g)
	}
}

// InGroup reports whether the interface has joined a group.
func (l *Link) InGroup(g netip.Addr) bool { return l.groups[g] > 0 }

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

// AddAddr gives an interface an address, or an address it has other lifetimes. If onLink is set, the addresses of its
// prefix are reached directly.
func (b *Box) AddAddr(l *Link, a Addr, onLink bool) error {
	for i := range l.addrs {
		if l.addrs[i].Addr() == a.Addr() {
			l.addrs[i].Preferred, l.addrs[i].Valid = a.Preferred, a.Valid
			return nil
		}
	}
	if len(l.addrs) >= MaxAddrs {
		return ErrLimit
	}
	if !l.Loopback {
		if err := l.join(wire.SolicitedNode(a.Addr())); err != nil {
			return err
		}
	}
	l.addrs = append(l.addrs, a)
	if l.Loopback || !onLink {
		return nil
	}
	return b.Routes.Add(route.Entry{Prefix: a.Prefix, Link: l.Index})
}

// RemoveAddr takes an address from an interface. The route to its prefix stays: others may be there.
func (b *Box) RemoveAddr(l *Link, a netip.Addr) {
	for i := range l.addrs {
		if l.addrs[i].Addr() == a {
			l.addrs = append(l.addrs[:i:i], l.addrs[i+1:]...)
			l.leave(wire.SolicitedNode(a))
			return
		}
	}
}

// RemoveAddrs takes all addresses and routes from an interface.
func (b *Box) RemoveAddrs(l *Link) {
	for len(l.addrs) > 0 {
		b.RemoveAddr(l, l.addrs[0].Addr())
	}
	b.Routes.RemoveLink(l.Index)
}

func (b *Box) link(index int) *Link {
	if index < 0 || index >= len(b.links) {
		return nil
	}
	return b.links[index]
}

// IsLocal reports whether a is an address of this host, on whatever interface.
func (b *Box) IsLocal(a netip.Addr) bool { return b.LinkOf(a) != 0 }

// LinkOf returns the index of the interface that has the address, 0 if none has.
func (b *Box) LinkOf(a netip.Addr) int {
	for _, l := range b.links {
		if l != nil && l.Owns(a) {
			return l.Index
		}
	}
	return 0
}

// Join makes an interface (0: routing decides) accept packets to a multicast group, and returns its index. Each Join
// needs its Leave.
func (b *Box) Join(group netip.Addr, link int) (int, error) {
	r, err := b.Route(group, netip.Addr{}, link)
	if err != nil {
		return 0, err
	}
	return r.Link, b.links[r.Link].join(group)
}

// Leave undoes a Join on the interface that Join returned.
func (b *Box) Leave(group netip.Addr, link int) {
	if l := b.link(link); l != nil {
		l.leave(group)
	}
}

func (l *Link) join(group netip.Addr) error {
	if l.groups[group] == 0 && len(l.groups) >= MaxGroups {
		return ErrLimit
	}
	if l.groups == nil {
		l.groups = make(map[netip.Addr]int)
	}
	l.groups[group]++
	if l.groups[group] == 1 && l.Membership != nil {
		l.Membership(group, true)
	}
	return nil
}

func (l *Link) leave(group netip.Addr) {
	if l.groups[group] == 0 {
		return
	}
	if l.groups[group]--; l.groups[group] == 0 {
		delete(l.groups, group)
		if l.Membership != nil {
			l.Membership(group, false)
		}
	}
}
