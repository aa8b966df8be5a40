package net

import (
	"net/netip"
	"slices"
	"strings"

	"ukvm.dev/guest/net/dhcp6"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// wireDHCP6 joins the client that asks a DHCPv6 server with those it configures, and with the router's word that there is
// one.
func (i *Interface) wireDHCP6() {
	s := i.stack
	i.RA.Other = i.startDHCP6
	i.DHCP6.Send = func(message []byte) {
		// An error is a message lost; the client repeats it.
		_ = i.dhcp6Port.Send(message, netip.AddrPortFrom(wire.AllDHCP6Servers, wire.DHCP6ServerPort))
	}
	i.DHCP6.Configured = func(c dhcp6.Settings) {
		i.names.servers, i.names.domains = c.Servers, c.Domains
		i.tellResolvers()
		i.ready6()
	}
	i.DHCP6.Silent = i.ready6
	i.DHCP6.Now, i.DHCP6.Random, i.DHCP6.Wheel = func() int64 { return s.now }, s.config.Random, &s.wheel
}

// startDHCP6 is slaac.Client.Other.
func (i *Interface) startDHCP6() {
	e := &i.dhcp6Port
	if _, port := e.Local(); port != 0 {
		return
	}
	s := i.stack
	s.boxes.UDP.Open(e, dhcpQueue)
	e.Link, e.ReuseAddr = i.link.Index, true
	if err := e.Bind(netip.IPv6Unspecified(), wire.DHCP6ClientPort); err != nil {
		return // the program has it, or too much else; a router will speak again
	}
	e.Upcall = func(ready.Events) {
		var b [1500]byte
		for p := e.Inbox.Front(); p != nil; p = e.Inbox.Front() {
			near := p.Src.IsLinkLocalUnicast() && p.Dst.IsLinkLocalUnicast()
			n := p.CopyOut(b[:])
			e.Inbox.Drop()
			if near && n < len(b) {
				i.DHCP6.Receive(b[:n])
			}
		}
	}
	i.DHCP6.Start()
}

func (i *Interface) stopDHCP6() {
	i.DHCP6.Stop()
	i.dhcp6Port.Close()
	i.names = names6{}
}

// names6 are what has been learned about name resolution over IPv6.
type names6 struct {
	servers, advertised []netip.Addr // from DHCPv6, and from routers
	domains, searched   []string
}

// nameServers are the DNS servers: IPv4's, IPv6's as the monitor says, and what DHCPv6 servers and then routers say
// (RFC 8106 §5.3.1). Those with link-local addresses are this interface's.
func (i *Interface) nameServers() (list []netip.Addr) {
	for _, from := range [...][]netip.Addr{i.resolvers, i.resolvers6, i.names.servers, i.names.advertised} {
		for _, a := range from {
			if a.Is6() && a.IsLinkLocalUnicast() {
				a = a.WithZone(i.Name)
			}
			if !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// searchList are the domains to search in, separated by spaces.
func (i *Interface) searchList() string {
	list := strings.Fields(i.search)
	for _, from := range [...][]string{i.names.domains, i.names.searched} {
		for _, d := range from {
			if !slices.Contains(list, d) {
				list = append(list, d)
			}
		}
	}
	return strings.Join(list, " ")
}
