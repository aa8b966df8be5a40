// Package slaac configures an interface as routers advertise (RFC 4861 §6.3, RFC 4862 §5.5, RFC 8106): for IPv6 what
// package dhcp is for IPv4. It asks for an advertisement, and keeps default routers, on-link prefixes, addresses, MTU and
// DNS servers and search list for as long as those that come say. Where they say that a DHCPv6 server knows more, Other is
// called (package dhcp6).
//
//	Start ─► Solicit, up to 3 times ─► Receive ─► AddRouter, OnLink, SetAddr, SetMTU, SetServers, SetSearch
//	                                     │
//	                                     └─ lifetimes ─► the same, to take things away
//
// Anybody on the link can send advertisements. What they can do is bounded: numbers of routers, prefixes and servers, the
// rate at which advertisements are looked at, an MTU between 1280 bytes and the card's; and an address cannot be taken
// away faster than in two hours (RFC 4862 §5.5.3 (e)). Router preferences (RFC 4191) are not looked at.
//
// Not safe for concurrent use: the stack's lock guards it.
package slaac

import (
	"net/netip"

	"ukvm.dev/guest/net/bucket"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Limits and times; times in nanoseconds.
const (
	MaxRouters  = 4
	MaxPrefixes = 8
	MaxServers  = 3 // resolv.conf(5), MAXNS
	MaxDomains  = 6

	Solicitations    = 3   // MAX_RTR_SOLICITATIONS (RFC 4861 §10)
	SolicitInterval  = 4e9 // RTR_SOLICITATION_INTERVAL
	advertRate       = 10  // advertisements looked at in a second
	advertBurst      = 20
	twoHours         = 7200e9
	reachableTimeMax = 3600e9 // RFC 4861 §6.2.1
)

// Stats counts advertisements.
type Stats struct {
	AdvertsRx uint64
	Dropped   uint64 // malformed or too many
}

// Client is the client of one interface. The function values are set by the stack's wiring; they are called by Start,
// Receive, and the timer.
type Client struct {
	Solicit      func()                                             // ask for an advertisement
	AddRouter    func(router netip.Addr)                            // a default router
	RemoveRouter func(router netip.Addr)                            // likewise
	OnLink       func(prefix netip.Prefix, on bool)                 // whether its addresses are reached directly
	SetAddr      func(prefix netip.Prefix, preferred, valid int64)  // an address in a /64; see ip6.Addr for the times
	RemoveAddr   func(prefix netip.Prefix)                          // likewise
	SetServers   func(servers []netip.Addr)                         // the DNS servers there are now
	SetSearch    func(domains []string)                             // and the search list
	Other        func()                                             // a DHCPv6 server knows more (flags M and O); called each time
	SetLink      func(mtu int, hopLimit uint8, reachableTime int64) // each 0 if not advertised

	Now   func() int64 // nanoseconds
	Wheel *timer.Wheel
	MTU   int // the card's

	Stats Stats

	active   bool
	tries    int
	routers  []lifetime[netip.Addr]
	prefixes []lifetime[netip.Prefix]
	addrs    []lifetime[netip.Prefix]
	servers  []lifetime[netip.Addr]
	domains  []lifetime[string]
	rate     bucket.Bucket
	solicit  timer.Timer
	expiry   timer.Timer
}

// lifetime is something that is valid till a time, 0 being for ever.
type lifetime[T comparable] struct {
	what T
	till int64
}

// Start begins to ask.
func (c *Client) Start() {
	c.Stop()
	c.active = true
	c.solicit.Init(c.Wheel, c.ask)
	c.expiry.Init(c.Wheel, c.expire)
	c.ask()
}

// Stop ends it. What has been configured is for the caller to take away.
func (c *Client) Stop() {
	if !c.active {
		return
	}
	c.active, c.tries = false, 0
	c.solicit.Stop()
	c.expiry.Stop()
	c.routers, c.prefixes, c.addrs, c.servers, c.domains = nil, nil, nil, nil, nil
}

// Active reports whether advertisements are listened to.
func (c *Client) Active() bool { return c.active }

// ask solicits an advertisement, and again if none comes (RFC 4861 §6.3.7).
func (c *Client) ask() {
	if c.tries >= Solicitations {
		return
	}
	c.tries++
	c.solicit.Set(c.Now() + SolicitInterval)
	c.Solicit()
}

// Receive takes an advertisement from a router with the link-local address src (RFC 4861 §6.3.4).
func (c *Client) Receive(h wire.NDP, src netip.Addr) {
	c.Stats.AdvertsRx++
	now := c.Now()
	if !c.active || h.Type() != wire.NDPRouterAdvert || !c.rate.Take(now, bucket.Second(advertRate), advertBurst) {
		c.Stats.Dropped++
		return
	}
	c.solicit.Stop()
	c.tries = Solicitations

	if life := h.RouterLifetime(); life == 0 {
		if remove(&c.routers, src) {
			c.RemoveRouter(src)
		}
	} else if set(&c.routers, src, now+int64(life)*1e9, MaxRouters) {
		c.AddRouter(src)
	}
	if (h.Managed() || h.OtherConfig()) && c.Other != nil {
		c.Other()
	}
	mtu := 0
	told, searched := false, false
	for kind, o, rest, more := h.Options().Next(); more; kind, o, rest, more = rest.Next() {
		switch kind {
		case wire.NDPPrefix:
			if p, ok := wire.ParseNDPPrefix(o); ok {
				c.prefix(&p, now)
			}
		case wire.NDPMTU:
			if n, ok := wire.ParseNDPMTU(o); ok && n >= wire.IPv6MinMTU && n <= c.MTU {
				mtu = n
			}
		case wire.NDPRDNSS:
			if d, ok := wire.ParseNDPServers(o); ok {
				told = c.dns(d, now) || told
			}
		case wire.NDPDNSSL:
			if d, ok := wire.ParseNDPSearch(o); ok {
				searched = c.search(d, now) || searched
			}
		}
	}
	if told {
		c.tell()
	}
	if searched {
		c.tellSearch()
	}
	reachable := int64(h.ReachableTime()) * 1e6
	if reachable > reachableTimeMax {
		reachable = 0
	}
	c.SetLink(mtu, h.HopLimit(), reachable)
	c.schedule()
}

// prefix takes a prefix information option (RFC 4861 §6.3.4, RFC 4862 §5.5.3).
func (c *Client) prefix(p *wire.NDPPrefixInfo, now int64) {
	a := p.Prefix.Addr()
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsLoopback() || a.Is4In6() || p.Prefix.Bits() == 0 {
		return
	}
	if p.OnLink {
		if p.Valid == 0 {
			if remove(&c.prefixes, p.Prefix) {
				c.OnLink(p.Prefix, false)
			}
		} else if set(&c.prefixes, p.Prefix, until(now, p.Valid), MaxPrefixes) {
			c.OnLink(p.Prefix, true)
		}
	}
	if !p.Auto || p.Preferred > p.Valid || p.Prefix.Bits() != 64 {
		return
	}
	valid, preferred := until(now, p.Valid), until(now, p.Preferred)
	known := find(c.addrs, p.Prefix)
	switch {
	case known == nil:
		if p.Valid == 0 || !set(&c.addrs, p.Prefix, valid, MaxPrefixes) {
			return
		}
	case valid == 0 || valid > now+twoHours || known.till != 0 && valid > known.till:
		known.till = valid
	case known.till != 0 && known.till <= now+twoHours:
		// Nobody shortens what is left of two hours.
	default:
		known.till = now + twoHours
	}
	if known == nil {
		known = find(c.addrs, p.Prefix)
	}
	c.SetAddr(p.Prefix, preferred, known.till)
}

// dns takes a recursive DNS server option (RFC 8106 §5.3.1), and reports whether the list has changed.
func (c *Client) dns(d wire.NDPServers, now int64) (changed bool) {
	for i := range d.Len() {
		a := d.At(i)
		if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6() {
			continue
		}
		if d.Lifetime() == 0 {
			changed = remove(&c.servers, a) || changed
			continue
		}
		changed = set(&c.servers, a, until(now, d.Lifetime()), MaxServers) || changed
	}
	return changed
}

// search takes a DNS search list option (RFC 8106 §5.3.1), and reports whether the list has changed.
func (c *Client) search(d wire.NDPSearch, now int64) (changed bool) {
	for _, name := range d.Domains(MaxDomains) {
		if d.Lifetime() == 0 {
			changed = remove(&c.domains, name) || changed
			continue
		}
		changed = set(&c.domains, name, until(now, d.Lifetime()), MaxDomains) || changed
	}
	return changed
}

func (c *Client) tellSearch() {
	var list []string
	for _, d := range c.domains {
		list = append(list, d.what)
	}
	c.SetSearch(list)
}

func (c *Client) tell() {
	var list []netip.Addr
	for _, s := range c.servers {
		list = append(list, s.what)
	}
	c.SetServers(list)
}

// until is when a lifetime in seconds ends, 0 for never.
func until(now int64, seconds uint32) int64 {
	if seconds == 1<<32-1 {
		return 0
	}
	return now + int64(seconds)*1e9
}

// schedule sets the timer for what ends next.
func (c *Client) schedule() {
	next := int64(0)
	least(c.routers, &next)
	least(c.prefixes, &next)
	least(c.addrs, &next)
	least(c.servers, &next)
	least(c.domains, &next)
	if next == 0 {
		c.expiry.Stop()
		return
	}
	c.expiry.Set(next)
}

// expire takes away what is no longer valid.
func (c *Client) expire() {
	now := c.Now()
	expired(&c.routers, now, c.RemoveRouter)
	expired(&c.prefixes, now, func(p netip.Prefix) { c.OnLink(p, false) })
	expired(&c.addrs, now, c.RemoveAddr)
	gone := false
	expired(&c.servers, now, func(netip.Addr) { gone = true })
	if gone {
		c.tell()
	}
	gone = false
	expired(&c.domains, now, func(string) { gone = true })
	if gone {
		c.tellSearch()
	}
	c.schedule()
}

func find[T comparable](list []lifetime[T], what T) *lifetime[T] {
	for i := range list {
		if list[i].what == what {
			return &list[i]
		}
	}
	return nil
}

// set gives what a lifetime. It reports whether it is new; it is not if there is no room for it.
func set[T comparable](list *[]lifetime[T], what T, till int64, limit int) bool {
	if l := find(*list, what); l != nil {
		l.till = till
		return false
	}
	if len(*list) >= limit {
		return false
	}
	*list = append(*list, lifetime[T]{what, till})
	return true
}

func remove[T comparable](list *[]lifetime[T], what T) bool {
	for i := range *list {
		if (*list)[i].what == what {
			*list = append((*list)[:i], (*list)[i+1:]...)
			return true
		}
	}
	return false
}

func least[T comparable](list []lifetime[T], next *int64) {
	for i := range list {
		if t := list[i].till; t != 0 && (*next == 0 || t < *next) {
			*next = t
		}
	}
}

func expired[T comparable](list *[]lifetime[T], now int64, gone func(T)) {
	kept := (*list)[:0]
	var ended []T
	for _, l := range *list {
		if l.till != 0 && l.till <= now {
			ended = append(ended, l.what)
		} else {
			kept = append(kept, l)
		}
	}
	*list = kept
	for _, e := range ended {
		gone(e)
	}
}
