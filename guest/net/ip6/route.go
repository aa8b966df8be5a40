package ip6

import (
	"math/bits"
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
)

// Route says how to reach dst, from src and through link if those are given. Link-local destinations need a link, or a
// link-local source that tells it; with neither they are looked for on the first card.
func (b *Box) Route(dst, src netip.Addr, link int) (route.Route, error) {
	group := dst.IsMulticast()
	if !group && b.IsLocal(dst) {
		l := b.links[Loopback]
		r := route.Route{Link: Loopback, Source: src, NextHop: dst, MTU: l.MTU, TSO: l.TSO, Local: true}
		if !src.IsValid() {
			r.Source = dst // it has the right scope, and is the same in any case (RFC 6724 §5, rule 1)
		}
		return r, nil
	}
	narrow := dst.IsLinkLocalUnicast() || group
	if narrow && link == 0 && src.IsValid() {
		link = b.LinkOf(src)
	}
	var l *Link
	r := route.Route{NextHop: dst, Broadcast: group}
	if narrow {
		l = b.link(link)
		for i := Loopback + 1; l == nil && link == 0 && i < len(b.links); i++ {
			l = b.links[i]
		}
	} else if e, ok := b.Routes.Lookup(dst, link); ok {
		l = b.link(e.Link)
		if e.Router.IsValid() {
			r.NextHop = e.Router
		}
		r.Source = e.Source
	}
	if l == nil {
		return route.Route{}, packet.ErrNetUnreachable
	}
	r.Link, r.MTU, r.TSO = l.Index, b.pathMTU(dst, l), l.TSO
	if src.IsValid() {
		r.Source = src
	} else if !r.Source.IsValid() {
		if r.Source = b.Source(l, dst); !r.Source.IsValid() {
			return route.Route{}, packet.ErrNetUnreachable
		}
	}
	return r, nil
}

// Source selects the address to send from to dst through an interface: RFC 6724 §5 among the interface's addresses or,
// if none of them can be used, those of the others (the weak model of RFC 1122 §3.3.4.2). It returns the zero Addr if
// there is none.
func (b *Box) Source(l *Link, dst netip.Addr) netip.Addr {
	now := b.Now()
	best := bestOf(l, dst, now, nil)
	if best == nil && scope(dst) > scopeLink {
		for _, o := range b.links {
			if o != nil && o != l && !o.Loopback {
				best = bestOf(o, dst, now, best)
			}
		}
	}
	if best == nil {
		return netip.Addr{}
	}
	return best.Addr()
}

// bestOf returns the better one of a, which may be nil, and the addresses of l.
func bestOf(l *Link, dst netip.Addr, now int64, a *Addr) *Addr {
	for i := range l.addrs {
		c := &l.addrs[i]
		if scope(dst) > scopeLink && c.Addr().IsLinkLocalUnicast() {
			continue // nobody could answer
		}
		if a == nil || better(c, a, dst, now) {
			a = c
		}
	}
	return a
}

// better reports whether a is preferred to b as source for dst (RFC 6724 §5; rules 4, 5.5 and 7 are about home addresses,
// prefixes of several routers and temporary addresses, which there are none of; rule 5 is the caller's).
func better(a, b *Addr, dst netip.Addr, now int64) bool {
	if a.Addr() == dst || b.Addr() == dst { // rule 1
		return a.Addr() == dst
	}
	if sa, sb, sd := scope(a.Addr()), scope(b.Addr()), scope(dst); sa != sb { // rule 2
		if sa < sb {
			return sa >= sd
		}
		return sb < sd
	}
	if da, db := a.deprecated(now), b.deprecated(now); da != db { // rule 3
		return db
	}
	if la, lb, ld := label(a.Addr()), label(b.Addr()), label(dst); la != lb && (la == ld || lb == ld) { // rule 6
		return la == ld
	}
	return min(common(a.Addr(), dst), a.Bits()) > min(common(b.Addr(), dst), b.Bits()) // rule 8
}

// Scopes (RFC 4291 §2.7, RFC 6724 §3.1).
const (
	scopeLink   = 2
	scopeSite   = 5
	scopeGlobal = 14
)

func scope(a netip.Addr) int {
	switch {
	case a.IsMulticast():
		return int(a.As16()[1] & 0xf)
	case a.IsLinkLocalUnicast(), a.IsLoopback():
		return scopeLink
	}
	if b := a.As16(); b[0] == 0xfe && b[1]&0xc0 == 0xc0 {
		return scopeSite
	}
	return scopeGlobal
}

// label is the label of the default policy table (RFC 6724 §2.1).
func label(a netip.Addr) int {
	b := a.As16()
	switch {
	case a.IsLoopback():
		return 0
	case b[0]&0xfe == 0xfc: // unique local
		return 13
	case b[0] == 0x20 && b[1] == 0x02: // 6to4
		return 2
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0: // Teredo
		return 5
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0:
		return 11
	}
	return 1
}

// common is the length of the prefix two addresses share, in bits.
func common(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return 8*i + bits.LeadingZeros8(d)
		}
	}
	return 128
}
