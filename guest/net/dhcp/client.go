// Package dhcp is a DHCP client (RFC 2131) for one interface: it obtains an address, keeps the lease alive, and says
// what it has learned.
//
//	        Start
//	          │  DISCOVER ──►            first OFFER              ACK
//	init ─────┴──► selecting ───────────► requesting ───────────► bound ◄────────────┐
//	 ▲                ▲     REQUEST ──►     │ NAK, or 4 tries      │ T1: REQUEST to   │ ACK
//	 │                └─────────────────────┘                      ▼ the server       │
//	 │                                                          renewing ─────────────┤
//	 │                                                             │ T2: REQUEST to   │
//	 │  NAK, or the lease is over: Lost                            ▼ all              │
//	 └───────────────────────────────────────────────────────── rebinding ────────────┘
//
// Deviations: the first message goes out at once and is repeated after one second, not after a random delay and four
// (RFC 2131 §4.4.1, §4.1), because a guest wants to start now and does not start together with all the machines of a
// building; the address is announced, not probed, before use (§2.2 says SHOULD probe), for the same reason.
//
// Not safe for concurrent use: the stack's lock guards it.
package dhcp

import (
	"net/netip"

	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Times in nanoseconds.
const (
	second       = 1_000_000_000
	firstTry     = 1 * second
	longestTry   = 64 * second // RFC 2131 §4.1
	leastRenewal = 60 * second // RFC 2131 §4.4.5
	nakPause     = 10 * second
	requestTries = 4
	leastLease   = 60 // seconds; shorter ones count as this
	maxServers   = 3  // DNS servers taken: what resolv.conf can hold
	maxMessage   = 1500
)

// Lease is what a server has given.
type Lease struct {
	Addr    netip.Prefix
	Router  netip.Addr // zero: none
	DNS     []netip.Addr
	Domain  string
	MTU     int // 0: not said
	Server  netip.Addr
	Seconds uint32 // 0xffffffff: for ever
}

// Stats counts messages, and leases.
type Stats struct {
	PacketsRx uint64 // dhcp.packets_rx: answers to this client
	PacketsTx uint64 // dhcp.packets_tx
	Dropped   uint64 // dhcp.packets_dropped: malformed, or of no interest
	Bound     uint64 // dhcp.bound: leases obtained or renewed
	Lost      uint64 // dhcp.lost: addresses given up
}

// Client is the client. The function values are set by the stack's wiring.
type Client struct {
	// Send broadcasts a message from 0.0.0.0, or sends it to dst from src, from port 68 to port 67.
	Send func(message []byte, src, dst netip.Addr)
	// Bound is called with every lease obtained or renewed, Lost when the address must not be used any longer.
	Bound func(Lease)
	Lost  func()

	Now      func() int64
	Random   func() uint64
	Wheel    *timer.Wheel
	MAC      wire.MAC
	Hostname string // sent to the server if not empty
	Stats    Stats

	state   state
	xid     uint32
	tries   int
	began   int64 // when this exchange began
	server  netip.Addr
	offered netip.Addr
	lease   Lease
	t1, t2  int64 // when to renew, to rebind
	expiry  int64
	timer   timer.Timer
}

type state uint8

const (
	idle state = iota
	selecting
	requesting
	bound
	renewing
	rebinding
)

var (
	everybody = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	nobody    = netip.IPv4Unspecified()
)

// Start begins to look for a server, and goes on until Stop.
func (c *Client) Start() {
	c.timer.Stop()
	c.timer.Init(c.Wheel, c.timeout)
	c.discover()
}

// Stop ends the client. The lease, if there is one, is simply forgotten.
func (c *Client) Stop() {
	c.timer.Stop()
	c.state = idle
}

// Active reports whether the client looks for a lease or has one.
func (c *Client) Active() bool { return c.state != idle }

// Lease returns the present lease, false if there is none.
func (c *Client) Lease() (Lease, bool) { return c.lease, c.state >= bound }

func (c *Client) discover() {
	c.begin(selecting)
	c.transmit()
}

// begin starts an exchange.
func (c *Client) begin(s state) {
	c.state, c.tries, c.began = s, 0, c.Now()
	c.xid = uint32(c.Random())
}

func (c *Client) timeout() {
	now := c.Now()
	switch c.state {
	case requesting:
		if c.tries >= requestTries {
			c.discover()
			return
		}
	case bound:
		c.begin(renewing)
	case renewing:
		if now >= c.t2 {
			c.begin(rebinding)
		}
	case rebinding:
		if now >= c.expiry {
			c.lose()
			return
		}
	}
	c.transmit()
}

// transmit sends what the state asks for, and sets the timer for the next time (RFC 2131 §4.1, §4.4.5).
func (c *Client) transmit() {
	now := c.Now()
	c.tries++
	var wait int64
	switch c.state {
	case selecting, requesting:
		wait = min(int64(firstTry)<<min(c.tries-1, 10), longestTry)
		wait += int64(c.Random()%second) - second/2
	case renewing:
		wait = half(now, c.t2)
	case rebinding:
		wait = half(now, c.expiry)
	}
	c.timer.Set(now + max(wait, second/2))

	var b [512]byte
	o := wire.DHCPOptions(b[wire.DHCPSize:wire.DHCPSize])
	f := wire.DHCPFields{
		Op: wire.DHCPBootRequest, XID: c.xid, Secs: uint16(min((now-c.began)/second, 65535)),
		ClientIP: nobody, YourIP: nobody, MAC: c.MAC,
	}
	dst := everybody
	switch c.state {
	case selecting:
		f.Flags = wire.DHCPFlagBroadcast // we have no address to be sent to
		o = o.Append(wire.OptMessageType, byte(wire.DHCPDiscover))
	case requesting:
		f.Flags = wire.DHCPFlagBroadcast
		o = o.Append(wire.OptMessageType, byte(wire.DHCPRequest))
		o = o.AppendAddr(wire.OptRequestedIP, c.offered)
		o = o.AppendAddr(wire.OptServerID, c.server)
	case renewing, rebinding:
		f.ClientIP = c.lease.Addr.Addr()
		o = o.Append(wire.OptMessageType, byte(wire.DHCPRequest))
		if c.state == renewing {
			dst = c.lease.Server
		}
	}
	o = o.Append(wire.OptClientID, append([]byte{1}, c.MAC[:]...)...)
	o = o.Append(wire.OptMaxSize, maxMessage>>8, maxMessage&0xff)
	o = o.Append(wire.OptParameters, wire.OptSubnetMask, wire.OptRouter, wire.OptDNS, wire.OptDomain, wire.OptMTU,
		wire.OptLeaseTime, wire.OptRenewalTime, wire.OptRebindingTime)
	if n := len(c.Hostname); n > 0 && n <= 64 {
		o = o.Append(wire.OptHostname, []byte(c.Hostname)...)
	}
	o = o.End()
	wire.DHCP(b[:wire.DHCPSize]).Encode(&f)
	c.Stats.PacketsTx++
	c.Send(b[:wire.DHCPSize+len(o)], f.ClientIP, dst)
}

// half is the pause before the next try on the way to a deadline: half of what is left, but not less than a minute,
// unless the deadline comes first.
func half(now, deadline int64) int64 {
	return min(max((deadline-now)/2, leastRenewal), deadline-now)
}

// Receive takes a message that arrived on port 68.
func (c *Client) Receive(message []byte) {
	h, o, ok := wire.ParseDHCP(message)
	if !ok || h.Op() != wire.DHCPBootReply || h.XID() != c.xid || h.ClientMAC() != c.MAC {
		c.Stats.Dropped++
		return
	}
	c.Stats.PacketsRx++
	switch o.Type() {
	case wire.DHCPOffer:
		server := o.Addr(wire.OptServerID)
		if c.state != selecting || !server.IsValid() || !usable(h.YourIP()) {
			return
		}
		c.state, c.tries = requesting, 0 // with the same xid (RFC 2131 §4.4.1)
		c.offered, c.server = h.YourIP(), server
		c.transmit()
	case wire.DHCPAck:
		if c.state != requesting && c.state != renewing && c.state != rebinding {
			return
		}
		c.bind(h, o)
	case wire.DHCPNak:
		switch c.state {
		case requesting:
			c.begin(selecting)
			c.timer.Set(c.Now() + nakPause) // it offers what it does not give: do not go round in circles
		case renewing, rebinding:
			c.lose()
		}
	}
}

// bind takes a lease (RFC 2131 §4.4.1, §4.4.5).
func (c *Client) bind(h wire.DHCP, o wire.DHCPOptions) {
	addr := h.YourIP()
	seconds, ok := o.Uint32(wire.OptLeaseTime)
	if !ok || !usable(addr) || c.state != requesting && addr != c.lease.Addr.Addr() {
		return
	}
	server := o.Addr(wire.OptServerID)
	if !server.IsValid() {
		server = c.server
	}
	seconds = max(seconds, leastLease)
	l := Lease{Addr: netip.PrefixFrom(addr, maskBits(addr, o)), Server: server, Seconds: seconds}
	if r := o.Addr(wire.OptRouter); r.IsValid() && usable(r) {
		l.Router = r
	}
	for _, a := range o.Addrs(wire.OptDNS, maxServers) {
		if usable(a) {
			l.DNS = append(l.DNS, a)
		}
	}
	if v, ok := o.Get(wire.OptDomain); ok {
		l.Domain = domain(v)
	}
	if v, ok := o.Uint16(wire.OptMTU); ok && v >= 576 {
		l.MTU = int(v)
	}
	now := c.began // the lease counts from when we asked
	t1, t2 := int64(seconds)/2, int64(seconds)*7/8
	if v, ok := o.Uint32(wire.OptRenewalTime); ok && v > 0 && int64(v) < int64(seconds) {
		t1 = int64(v)
	}
	if v, ok := o.Uint32(wire.OptRebindingTime); ok && int64(v) > t1 && int64(v) < int64(seconds) {
		t2 = int64(v)
	}
	t2 = max(t2, t1)
	c.state, c.lease, c.server = bound, l, server
	c.t1, c.t2, c.expiry = now+t1*second, now+t2*second, now+int64(seconds)*second
	c.timer.Stop()
	if seconds != 0xffffffff {
		c.timer.Set(c.t1)
	}
	c.Stats.Bound++
	c.Bound(l)
}

// lose gives the address up and starts again.
func (c *Client) lose() {
	c.Stats.Lost++
	c.Lost()
	c.lease = Lease{}
	c.discover()
}

// usable reports whether a can be a host's address.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a.As4()[0] < 240
}

// maskBits is the length of the address's prefix: what the server says if that is a mask, else by class.
func maskBits(addr netip.Addr, o wire.DHCPOptions) int {
	if m, ok := o.Uint32(wire.OptSubnetMask); ok {
		bits := 0
		for ; bits < 32 && m>>31 == 1; m <<= 1 {
			bits++
		}
		if m == 0 && bits > 0 {
			return bits
		}
	}
	switch first := addr.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	}
	return 24
}

// domain makes a search list of the option: printable characters only, since it goes into a file.
func domain(v []byte) string {
	b := make([]byte, 0, len(v))
	for _, x := range v {
		switch {
		case x == 0:
			return string(b)
		case x > ' ' && x < 0x7f && x != '#' && x != ';':
			b = append(b, x)
		default:
			return ""
		}
	}
	return string(b)
}
