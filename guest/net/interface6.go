package net

import (
	"net/netip"

	"ukvm.dev/guest/net/ip6"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/siphash"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// identTries is how many duplicates of an address of our own making are put up with (RFC 7217 §7, IDGEN_RETRIES).
const identTries = 3

var (
	linkLocal = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80}), 64)
	anywhere6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

// configure6 sets up the IPv6 of the interface as the monitor says: a link-local address, and what c has.
func (i *Interface) configure6(c *hypercall.NetConfig) error {
	s := i.stack
	i.stop6()
	if c.Flags&hypercall.NetIP6 == 0 || i.mtu < wire.IPv6MinMTU {
		return nil // RFC 8200 §5: no IPv6 on links that cannot carry 1280 bytes
	}
	i.key = c.IP6.Key
	if i.key == (siphash.Key{}) {
		for n := range i.key {
			i.key[n] = byte(s.config.Random() >> 32)
		}
	}
	ip := &s.boxes.IP6
	i.link6.MTU = i.mtu
	if err := i.identify(linkLocal, ip6.Addr{}); err != nil {
		return err
	}
	if addr := netip.AddrFrom16(c.IP6.Addr); !addr.IsUnspecified() {
		if addr.IsMulticast() || addr.IsLoopback() || addr.Is4In6() || c.IP6.Prefix == 0 || c.IP6.Prefix > 128 {
			return ErrConfig
		}
		if err := i.addAddr(ip6.Addr{Prefix: netip.PrefixFrom(addr, int(c.IP6.Prefix))}, true); err != nil {
			return err
		}
		if c.Flags&hypercall.NetDHCP == 0 {
			i.markReady()
		}
	}
	if r := netip.AddrFrom16(c.IP6.Router); !r.IsUnspecified() {
		i.router6 = r
		if err := ip.Routes.Add(i.defaultRoute(r)); err != nil {
			return err
		}
	}
	for _, d := range c.IP6.DNS {
		if a := netip.AddrFrom16(d); !a.IsUnspecified() {
			i.resolvers6 = append(i.resolvers6, a)
		}
	}
	i.tellResolvers()
	if c.Flags&hypercall.NetRouter != 0 {
		i.RA.Start()
	}
	return nil
}

func (i *Interface) defaultRoute(router netip.Addr) route.Entry {
	return route.Entry{Prefix: anywhere6, Router: router, Link: i.link6.Index}
}

// stop6 takes the interface's IPv6 addresses and routes away.
func (i *Interface) stop6() {
	i.RA.Stop()
	i.stopDHCP6()
	defer i.MLD.Stop() // nobody is left to say it
	for _, a := range i.link6.Addrs() {
		i.NDP.Forget(a.Addr())
	}
	i.stack.boxes.IP6.RemoveAddrs(&i.link6)
	i.NDP.Flush()
	i.tries, i.router6, i.resolvers6 = nil, netip.Addr{}, nil
	i.link6.HopLimit, i.NDP.Reachable = 0, 0
}

// identify gives the interface an address of its own making in a /64 prefix. Lifetimes are a's.
func (i *Interface) identify(prefix netip.Prefix, a ip6.Addr) error {
	if i.tries[prefix.Masked()] >= identTries {
		return nil
	}
	a.Prefix = netip.PrefixFrom(ip6.Identified(prefix, i.key, i.Eth.MAC, i.tries[prefix.Masked()]), prefix.Bits())
	return i.addAddr(a, false)
}

// addAddr gives the interface an address and begins to find out whether another station has it.
func (i *Interface) addAddr(a ip6.Addr, onLink bool) error {
	known := i.link6.Owns(a.Addr())
	if err := i.stack.boxes.IP6.AddAddr(&i.link6, a, onLink); err != nil {
		return err
	}
	if !known {
		i.NDP.Detect(a.Addr())
	}
	return nil
}

// ready6 says that the interface has an address, if IPv6 is all it is to have. Where a DHCPv6 server is to know the DNS
// servers it is given one try first.
func (i *Interface) ready6() {
	if i.DHCP.Active() || i.link.Addr().IsValid() || i.DHCP6.Waiting() {
		return
	}
	for _, a := range i.link6.Addrs() {
		if !a.Addr().IsLinkLocalUnicast() {
			i.markReady()
			return
		}
	}
}

// duplicate is ndp.Box.Duplicate: an address of ours is another station's. One of our own making is replaced by the
// next.
func (i *Interface) duplicate(addr netip.Addr) {
	ip := &i.stack.boxes.IP6
	for _, a := range i.link6.Addrs() {
		if a.Addr() != addr {
			continue
		}
		ip.RemoveAddr(&i.link6, addr)
		prefix := a.Masked()
		if !a.Auto && prefix != linkLocal {
			return
		}
		if i.tries == nil {
			i.tries = make(map[netip.Prefix]uint8)
		}
		i.tries[prefix]++
		_ = i.identify(prefix, a) // there is room: one has just been removed
		return
	}
}

// source6 is the address NDP asks a neighbour from: of the link, even to a neighbour with a global address.
func (i *Interface) source6(dst netip.Addr) netip.Addr {
	return i.stack.boxes.IP6.Source(&i.link6, dst)
}

// wireRA joins the box that listens to routers with those it configures. What a table has no room for is left out: there
// are limits, and advertisements are others' doing.
func (i *Interface) wireRA() {
	ip := &i.stack.boxes.IP6
	i.NDP.ToRouters = func(p *packet.Packet) {
		if h, ok := wire.ParseNDP(p.Bytes()); ok {
			i.RA.Receive(h, p.Src)
		}
		p.Release()
	}
	i.NDP.Lost = func(router netip.Addr) {
		// If there is another one, it is its turn.
		if e := i.defaultRoute(router); ip.Routes.Remove(e) {
			_ = ip.Routes.Add(e) // there is room: it has just been removed
		}
	}
	i.RA.Solicit = func() { i.NDP.SolicitRouters(i.link6.LinkLocal()) }
	i.RA.AddRouter = func(router netip.Addr) { _ = ip.Routes.Add(i.defaultRoute(router)) }
	i.RA.RemoveRouter = func(router netip.Addr) {
		if router != i.router6 {
			ip.Routes.Remove(i.defaultRoute(router))
		}
	}
	i.RA.OnLink = func(prefix netip.Prefix, on bool) {
		e := route.Entry{Prefix: prefix, Link: i.link6.Index}
		if on {
			_ = ip.Routes.Add(e)
			return
		}
		for _, a := range i.link6.Addrs() {
			if !a.Auto && a.Masked() == prefix {
				return // it is the monitor's, too
			}
		}
		ip.Routes.Remove(e)
	}
	i.RA.SetAddr = func(prefix netip.Prefix, preferred, valid int64) {
		_ = i.identify(prefix, ip6.Addr{Auto: true, Preferred: preferred, Valid: valid})
		i.ready6()
	}
	i.RA.RemoveAddr = func(prefix netip.Prefix) {
		for _, a := range i.link6.Addrs() {
			if a.Auto && a.Masked() == prefix {
				i.NDP.Forget(a.Addr())
				ip.RemoveAddr(&i.link6, a.Addr())
				return
			}
		}
	}
	i.RA.SetServers = func(servers []netip.Addr) {
		i.names.advertised = servers
		i.tellResolvers()
	}
	i.RA.SetSearch = func(domains []string) {
		i.names.searched = domains
		i.tellResolvers()
	}
	i.RA.SetLink = func(mtu int, hopLimit uint8, reachable int64) {
		if mtu != 0 {
			i.link6.MTU = mtu
		}
		if hopLimit != 0 {
			i.link6.HopLimit = hopLimit
		}
		if reachable != 0 {
			i.NDP.Reachable = reachable
		}
	}
}

// toNDP hands a neighbour discovery message to the interface it came through.
func (s *Stack) toNDP(p *packet.Packet) {
	if n := p.Link - firstCard; n >= 0 && n < len(s.interfaces) {
		s.interfaces[n].NDP.Receive(p)
		return
	}
	p.Release()
}

// source6 is icmp6.Box.Source.
func (s *Stack) source6(dst netip.Addr, link int) netip.Addr {
	r, err := s.boxes.IP6.Route(dst, netip.Addr{}, link)
	if err != nil {
		return netip.Addr{}
	}
	return r.Source
}
