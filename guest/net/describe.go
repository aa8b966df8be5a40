package net

import (
	"net/netip"
	"slices"

	"ukvm.dev/guest/net/ip4"
	"ukvm.dev/guest/net/ip6"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

// groups are the multicast groups of an interface for package posix, sorted.
func groups(four *ip4.Link, six *ip6.Link) (all []posix.Addr) {
	var list []netip.Addr
	add := func(g netip.Addr) { list = append(list, g) }
	add(ip4.AllSystems)
	four.Groups(add)
	if len(six.Addrs()) > 0 {
		add(wire.AllNodes)
	}
	six.Groups(add)
	slices.SortFunc(list, netip.Addr.Compare)
	for _, g := range list {
		all = append(all, toPosix(netip.AddrPortFrom(g, 0)))
	}
	return all
}

// routes are the routes of both versions for package posix. The table has none through loopback.
func (s *Stack) routes() (all []posix.Route) {
	s.enter()
	defer s.leave()
	var list []route.Entry
	list = append(append(list, s.boxes.IP4.Routes.Entries()...), s.boxes.IP6.Routes.Entries()...)
	slices.SortStableFunc(list, func(a, b route.Entry) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) }) // as Linux lists them
	for _, e := range list {
		p := posix.Prefix{Addr: toPosix(netip.AddrPortFrom(e.Prefix.Addr(), 0)), Bits: e.Prefix.Bits()}
		r := posix.Route{Prefix: p, Link: s.linkName(e.Link)}
		if e.Router.IsValid() {
			r.Gateway = toPosix(netip.AddrPortFrom(e.Router, 0))
		}
		all = append(all, r)
	}
	return all
}
