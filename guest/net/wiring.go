package net

import (
	"ukvm.dev/guest/net/ip4"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// wire joins the boxes that all interfaces share. Together with wireInterface it is the whole plan of the stack; there
// are no other connections, and any of them can be changed at run time, see Stack.Do.
//
//	    stream sockets        datagram sockets       ping, raw sockets
//	          │                      │                      │
//	     ┌────┴───┐  Fail       ┌────┴───┐  Fail       ┌────┴────┐
//	     │  TCP   │◄────────────┤  UDP   │◄────────────┤  ICMP4  │◄─────────────┐
//	     └─┬────▲─┘             └─┬────▲─┘             └─┬─────▲─┘              │
//	  Down │    │ ToTCP      Down │    │ ToUDP      Send │     │ ToICMP         │ Failed, TimedOut,
//	     ┌─▼────┴────────────────▼─────┴─────────────────▼─────┴─┐              │ UnknownProtocol
//	     │                          IP4                          ├──────────────┘
//	     └─┬────▲───────────────────────────┬─────▲──────────────┘
//	Output │    │ Receive            Output │     │ ToIP4
//	   ┌───▼────┴───┐                  ┌────▼───┐ │ ToARP
//	   │  Loopback  │                  │  ARP   │◄┼─────┐           of each interface
//	   └────────────┘                  └────┬───┘ │     │
//	                                 Output │   ┌─┴─────┴─┐
//	                                        └──►│   Eth   │
//	                                            └─┬─────▲─┘
//	                                       Output │     │ Receive
//	                                            ┌─▼─────┴─┐
//	                                            │   NIC   │
//	                                            └─┬─────▲─┘
//	                              Transmit, Flush ▼     │ Interface.Receive, Room
//	                                               driver
//
// Between ICMP4 and its sockets there is Ping4, which ICMP4 hands what they are to see, and which sends to IP4 itself.
//
// IPv6 stands beside it, between the same transports, loopback and Ethernet, with IP6 for IP4, ICMP6 for ICMP4 and NDP
// for ARP; but NDP's messages are ICMPv6's:
//
//	ICMP6 ──ToNDP──► NDP of the interface ──Send──► IP6 ──Link.Output──► NDP.Resolve ──Output──► Eth
func (s *Stack) wire() {
	b := &s.boxes
	now := func() int64 { return s.now }
	random := s.config.Random

	b.Loopback.Receive = s.receive
	b.Loopback.Pool = &s.pool
	b.Loopback.Link = 1

	b.IP4.ToICMP = b.ICMP4.Receive
	b.IP4.ToIGMP = s.toIGMP
	b.IP4.ToUDP = b.UDP.Receive
	b.IP4.ToTCP = b.TCP.Receive
	b.IP4.UnknownProtocol = func(p *packet.Packet) { b.ICMP4.Unreachable(p, wire.UnreachProto) }
	b.IP4.TimedOut = b.ICMP4.TimeExceeded
	b.IP4.Failed = b.ICMP4.Fail
	b.IP4.Now, b.IP4.Random, b.IP4.Wheel, b.IP4.Pool = now, random, &s.wheel, &s.pool

	b.ICMP4.Send = b.IP4.Send
	b.ICMP4.ToTCP = b.TCP.Fail
	b.ICMP4.ToUDP = b.UDP.Fail
	b.ICMP4.IsBroadcast = b.IP4.IsBroadcast
	b.ICMP4.IsLocal = b.IP4.IsLocal
	b.ICMP4.ToPing, b.ICMP4.Pinged, b.ICMP4.Copy = b.Ping4.Receive, b.Ping4.Fail, b.Ping4.Copy
	b.ICMP4.Now, b.ICMP4.Pool = now, &s.pool
	b.Ping4.Down = b.IP4.Send
	b.Ping4.Random, b.Ping4.Pool = random, &s.pool

	b.IP6.ToICMP = b.ICMP6.Receive
	b.IP6.ToUDP = b.UDP.Receive
	b.IP6.ToTCP = b.TCP.Receive
	b.IP6.Problem = b.ICMP6.Problem
	b.IP6.TimedOut = b.ICMP6.TimeExceeded
	b.IP6.Failed = b.ICMP6.Fail
	b.IP6.Now, b.IP6.Random, b.IP6.Wheel, b.IP6.Pool = now, random, &s.wheel, &s.pool

	b.ICMP6.Send = b.IP6.Send
	b.ICMP6.ToTCP = b.TCP.Fail
	b.ICMP6.ToUDP = b.UDP.Fail
	b.ICMP6.ToNDP = s.toNDP
	b.ICMP6.ToMLD = s.toMLD
	b.ICMP6.TooBig = b.IP6.TooBig
	b.ICMP6.Source = s.source6
	b.ICMP6.IsLocal = b.IP6.IsLocal
	b.ICMP6.ToPing, b.ICMP6.Pinged, b.ICMP6.Copy = b.Ping6.Receive, b.Ping6.Fail, b.Ping6.Copy
	b.ICMP6.Now, b.ICMP6.Pool = now, &s.pool
	b.Ping6.Down, b.Ping6.V6 = b.IP6.Send, true
	b.Ping6.Random, b.Ping6.Pool = random, &s.pool

	b.UDP.Down = s.send
	b.UDP.PortUnreachable = s.portUnreachable
	b.UDP.Route = s.route
	b.UDP.Busy = s.busy
	b.UDP.Random, b.UDP.Pool = random, &s.pool
	b.UDP.MaxEndpoints, b.UDP.Memory = s.limits.Sockets, s.limits.UDPMemory

	b.TCP.Down = s.send
	b.TCP.Route = s.route
	b.TCP.Busy = s.busy
	b.TCP.Now, b.TCP.Random, b.TCP.Wheel, b.TCP.Pool = now, random, &s.wheel, &s.pool
	b.TCP.Limits, b.TCP.ECN = s.limits.TCP, s.config.ECN

	b.Filter.Loopback = ip4.Loopback
	b.Filter.Track, b.Filter.Confirm = b.Conntrack.Track, b.Conntrack.Confirm
	b.Filter.Reject = s.reject
	b.Filter.Log = s.logFiltered
	b.Filter.Configuring = s.configuring
	b.Filter.Now = now

	b.Conntrack.Now, b.Conntrack.Random = now, random
	b.Conntrack.Max = s.limits.Connections
}

// wireInterface joins the boxes of an interface, and them to the shared ones. The driver has set NIC.Transmit and
// NIC.Flush.
func (s *Stack) wireInterface(i *Interface) {
	b := &s.boxes
	now := func() int64 { return s.now }

	i.NIC.Receive = i.Eth.Receive
	i.NIC.Now, i.NIC.Wheel = now, &s.wheel
	i.NIC.Drained = func() { b.TCP.Resume(); b.UDP.Resume() }

	i.Eth.ToARP = i.ARP.Receive
	i.Eth.ToIP4 = b.IP4.Receive
	i.Eth.ToIP6 = b.IP6.Receive
	i.Eth.Output = i.NIC.Output

	i.ARP.Output, i.ARP.Ask = i.Eth.Send, i.ARP.Request
	i.ARP.Unreachable = b.IP4.Unreachable
	i.ARP.Owns = i.link.Owns
	i.ARP.Source = i.source
	i.ARP.Now, i.ARP.Wheel, i.ARP.Pool = now, &s.wheel, &s.pool

	i.link.Output = i.ARP.Send

	i.NDP.Output, i.NDP.Ask = i.Eth.Send, i.NDP.Solicit
	i.NDP.Send = b.IP6.Send
	i.NDP.Unreachable = b.IP6.Unreachable
	i.NDP.Owns = i.link6.Owns
	i.NDP.Source = i.source6
	i.NDP.Duplicate = i.duplicate
	i.NDP.Now, i.NDP.Random, i.NDP.Wheel, i.NDP.Pool = now, s.config.Random, &s.wheel, &s.pool

	i.link6.Output = i.NDP.Resolve

	i.wireRA()
	i.wireDHCP6()
	i.wireGroups()
	i.RA.Now, i.RA.Wheel, i.RA.MTU = now, &s.wheel, i.mtu

	i.DHCP.Send = i.sendDHCP
	i.DHCP.Bound = i.bound
	i.DHCP.Lost = i.lost
	i.DHCP.Now, i.DHCP.Random, i.DHCP.Wheel = now, s.config.Random, &s.wheel
}

// busy reports whether the card of an interface has packets waiting.
func (s *Stack) busy(link int) bool {
	if n := link - firstCard; n >= 0 && n < len(s.interfaces) {
		return s.interfaces[n].NIC.Busy()
	}
	return false
}
