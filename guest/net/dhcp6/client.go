// Package dhcp6 is a stateless DHCPv6 client (RFC 8415 §18.2.6) for one interface: it asks for DNS servers and search list,
// which routers say a server knows (flags M and O of their advertisements, package slaac), and asks again when that may
// have changed. Addresses are SLAAC's business.
//
//	 Start
//	   │  INFORMATION-REQUEST ──►            REPLY: Configured
//	   ▼                                       ▼
//	asking ───────────────────────────────► resting
//	   ▲ │ no answer: again, after 1, 2, 4 … s    │
//	   │ └──────────┐                             │
//	   └────────────┴────── refresh time is over ─┘
//
// What a server says stays until a server says otherwise. Anybody on the link can be one. What they can do is bounded:
// numbers of servers and names, what names consist of, times between ten minutes and a day; and a reply must have the
// number of the request, which is 24 bits.
//
// Deviation: the first message goes out at once, not after a random delay of up to a second, because a guest wants to
// start now and does not start together with all the machines of a building.
//
// Not safe for concurrent use: the stack's lock guards it.
package dhcp6

import (
	"bytes"
	"net/netip"

	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Limits.
const (
	MaxServers = 3 // resolv.conf(5), MAXNS
	MaxDomains = 6
)

// Times in nanoseconds (RFC 8415 §7.6, §21.23).
const (
	second         = 1_000_000_000
	firstTimeout   = 1 * second     // INF_TIMEOUT
	longestTimeout = 3600 * second  // INF_MAX_RT, if no server says otherwise
	leastMaxRT     = 60 * second    // what a server may make of that
	mostMaxRT      = 86400 * second // likewise
	refreshDefault = 86400 * second // IRT_DEFAULT
	refreshMinimum = 600 * second   // IRT_MINIMUM
	forever        = 1<<32 - 1      // seconds
)

// Settings is what a server has said.
type Settings struct {
	Servers []netip.Addr
	Domains []string
}

// Stats counts messages.
type Stats struct {
	PacketsRx uint64 // dhcp6.packets_rx: replies to this client
	PacketsTx uint64 // dhcp6.packets_tx
	Dropped   uint64 // dhcp6.packets_dropped: malformed, or of no interest
}

// Client is the client. The function values are set by the stack's wiring.
type Client struct {
	Send       func(message []byte) // from port 546 of a link-local address to port 547 of all servers on the link
	Configured func(Settings)
	Silent     func() // the first request after Start has had no answer in time; more follow

	Now    func() int64
	Random func() uint64
	Wheel  *timer.Wheel
	MAC    wire.MAC
	Stats  Stats

	active, asking bool
	told           bool // Configured or Silent has been called since Start
	xid            uint32
	began          int64 // when the first request of this exchange was sent
	timeout        int64 // RT: 0 before the first
	longest        int64 // MRT
	timer          timer.Timer
}

// Start begins to ask, and goes on until Stop. If the client is active already it does nothing.
func (c *Client) Start() {
	if c.active {
		return
	}
	c.active, c.told, c.longest = true, false, longestTimeout
	c.timer.Init(c.Wheel, c.expired)
	c.ask()
}

// Stop ends the client.
func (c *Client) Stop() {
	c.timer.Stop()
	c.active, c.asking = false, false
}

// Waiting reports whether the first request has been sent and neither been answered nor timed out.
func (c *Client) Waiting() bool { return c.active && !c.told }

func (c *Client) ask() {
	c.asking, c.timeout, c.began = true, 0, c.Now()
	c.xid = uint32(c.Random()) & 0xffffff
	c.transmit()
}

func (c *Client) expired() {
	if !c.asking {
		c.ask()
		return
	}
	if !c.told {
		c.told = true
		c.Silent()
	}
	c.transmit()
}

// transmit sends a request and sets the timer for the next (RFC 8415 §15).
func (c *Client) transmit() {
	now := c.Now()
	if c.timeout == 0 {
		c.timeout = c.jitter(firstTimeout, firstTimeout)
	} else if c.timeout = c.jitter(2*c.timeout, c.timeout); c.timeout > c.longest {
		c.timeout = c.jitter(c.longest, c.longest)
	}
	c.timer.Set(now + c.timeout)

	var b [80]byte
	wire.DHCP6(b[:wire.DHCP6Size]).Encode(wire.DHCP6InformationRequest, c.xid)
	o := wire.DHCP6Options(b[wire.DHCP6Size:wire.DHCP6Size])
	id := c.identifier()
	elapsed := min((now-c.began)/(second/100), 0xffff)
	o = o.Append(wire.Opt6ClientID, id[:]...)
	o = o.Append(wire.Opt6Elapsed, byte(elapsed>>8), byte(elapsed))
	o = o.Append(wire.Opt6Request, 0, wire.Opt6DNS, 0, wire.Opt6Domains, 0, wire.Opt6RefreshTime, 0, wire.Opt6InfMaxRT)
	c.Stats.PacketsTx++
	c.Send(b[:wire.DHCP6Size+len(o)])
}

// jitter is t and a random part, up to a tenth in both directions, of r.
func (c *Client) jitter(t, r int64) int64 {
	return t + int64(c.Random()%uint64(r/5+1)) - r/10
}

// identifier is the client's DUID: its link-layer address (RFC 8415 §11.4).
func (c *Client) identifier() (id [10]byte) {
	id[1], id[3] = 3, 1 // DUID-LL, Ethernet
	copy(id[4:], c.MAC[:])
	return id
}

// Receive takes a message that arrived on port 546 from a neighbour.
func (c *Client) Receive(message []byte) {
	h, ok := wire.ParseDHCP6(message)
	if !ok || !c.asking || h.Type() != wire.DHCP6Reply || h.XID() != c.xid || !c.acceptable(h.Options()) {
		c.Stats.Dropped++
		return
	}
	c.Stats.PacketsRx++
	o := h.Options()
	if v, ok := o.Uint32(wire.Opt6InfMaxRT); ok {
		if rt := int64(v) * second; rt >= leastMaxRT && rt <= mostMaxRT { // RFC 8415 §21.25
			c.longest = rt
		}
	}
	var s Settings
	for _, a := range o.Addrs(wire.Opt6DNS, MaxServers) {
		if !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.Is4In6() {
			s.Servers = append(s.Servers, a)
		}
	}
	if v, ok := o.Get(wire.Opt6Domains); ok {
		s.Domains = wire.ParseDomains(v, MaxDomains)
	}
	c.asking, c.told = false, true
	c.timer.Stop()
	v, ok := o.Uint32(wire.Opt6RefreshTime)
	refresh := int64(v) * second
	if !ok {
		refresh = refreshDefault
	}
	if v != forever {
		// A server that is wrong about how long it is right for is asked again in a day.
		c.timer.Set(c.Now() + min(max(refresh, refreshMinimum), refreshDefault))
	}
	c.Configured(s)
}

// acceptable reports whether a reply may be used (RFC 8415 §16.10): it says from which server it is, that it is for this
// client, and that all is well.
func (c *Client) acceptable(o wire.DHCP6Options) bool {
	id := c.identifier()
	client, ok := o.Get(wire.Opt6ClientID)
	if !ok || !bytes.Equal(client, id[:]) {
		return false
	}
	if server, ok := o.Get(wire.Opt6ServerID); !ok || len(server) < 3 || len(server) > 130 { // RFC 8415 §11.1
		return false
	}
	status, ok := o.Get(wire.Opt6Status)
	return !ok || len(status) >= 2 && status[0] == 0 && status[1] == 0
}
