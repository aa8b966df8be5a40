package user

import (
	"sync/atomic"

	"ukvm.dev/netif"
)

// Stats is what a Link has counted since it was made, and what it has now.
type Stats struct {
	netif.Counters

	Blocked uint64 // packets of the guest that are malformed, have a foreign source, or go where nothing may go
	Ignored uint64 // frames of the guest that are neither IP nor ARP, or multicast that nobody listens to

	TCP     Flows
	UDP     Flows
	Ping    Flows  // of echo requests to others than the router
	DNS     uint64 // queries answered
	DNSLost uint64 // queries dropped because too many were under way
}

// Flows counts connections, for UDP datagrams.
type Flows struct {
	Open    int    // now
	Pending int    // now, of those open: not established
	ToHost  uint64 // established by the guest; UDP: datagrams of the guest
	ToGuest uint64 // established through published ports; UDP: datagrams to the guest
	Refused uint64 // for want of room
	Failed  uint64 // the other side was not there
}

// dnsCounters belong to the resolver's server side.
type dnsCounters struct{ queries, dropped atomic.Uint64 }

// Stats may be called at any time, also after Close.
func (l *Link) Stats() Stats {
	tcp := l.tcp.Counts()
	return Stats{
		Counters: l.Counters(),
		Blocked:  l.blocked.Load(),
		Ignored:  l.ignored.Load(),
		TCP: Flows{
			Open: int(tcp.Open), Pending: int(tcp.Pending), ToHost: tcp.ToHost, ToGuest: tcp.ToGuest,
			Refused: tcp.Refused, Failed: tcp.Failed,
		},
		UDP: Flows{
			Open:    l.udp.open(),
			ToHost:  l.udp.toHost.Load(),
			ToGuest: l.udp.toGuest.Load(),
			Refused: l.udp.refused.Load(),
		},
		Ping: Flows{
			Open:    l.pings.open(),
			ToHost:  l.pings.toHost.Load(),
			ToGuest: l.pings.toGuest.Load(),
			Refused: l.pings.refused.Load(),
		},
		DNS:     l.dns.queries.Load(),
		DNSLost: l.dns.dropped.Load(),
	}
}

// Counters counts frames.
func (l *Link) Counters() netif.Counters {
	return netif.Counters{
		TxFrames: l.txFrames.Load(), TxBytes: l.txBytes.Load(), TxDropped: l.txDropped.Load(),
		RxFrames: l.rxFrames.Load(), RxBytes: l.rxBytes.Load(), RxDropped: l.rxDropped.Load() + l.out.drops() + l.proxy.Lost(),
	}
}
