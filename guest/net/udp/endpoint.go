package udp

import (
	"errors"
	"net/netip"

	"ukvm.dev/guest/net/dgram"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// Errors of end points, beside those of package packet.
var (
	ErrInUse       = errors.New("address already in use")
	ErrLimit       = errors.New("no buffer space available")
	ErrBroadcast   = errors.New("permission denied") // a broadcast without Broadcast set
	ErrDestination = errors.New("destination address required")
	ErrWouldBlock  = errors.New("resource temporarily unavailable") // Upcall will tell when to try again
)

// Ephemeral ports, as Linux's ip_local_port_range.
const (
	EphemeralFirst = 32768
	EphemeralLast  = 60999
)

// MaxGroups is how many multicast groups one end point may join.
const MaxGroups = 20 // Linux's igmp_max_memberships

// Endpoint is one UDP end point. Exported fields may be set at any time.
type Endpoint struct {
	Inbox         dgram.Inbox
	Upcall        func(raised ready.Events) // something happened
	Err           error                     // pending
	Link          int                       // only this interface; 0: any
	MulticastLink int                       // for what is sent to groups; 0: routing decides
	TTL           uint8                     // 0: the default
	MulticastTTL  uint8
	TOS           uint8
	DF            bool // do not fragment what is sent: too long datagrams are ErrTooBig
	Broadcast     bool // may send to broadcast addresses
	ReuseAddr     bool
	ReusePort     bool

	box    *Box
	next   *Endpoint
	local  netip.Addr // zero: any
	bound  netip.Addr // what local falls back to on Disconnect
	port   uint16     // 0: none yet
	peer   netip.AddrPort
	groups []membership

	blocked bool // in Box.blocked
}

type membership struct {
	group netip.Addr
	link  int
}

// Open readies an end point; limit is the size of its queue in bytes.
func (b *Box) Open(e *Endpoint, limit int) {
	e.box = b
	e.MulticastTTL = 1
	e.Inbox.Limit, e.Inbox.Total, e.Inbox.TotalLimit = limit, &b.used, b.Memory
}

// Local returns the address and port the end point has; zero values where it has none.
func (e *Endpoint) Local() (netip.Addr, uint16) { return e.local, e.port }

// Peer returns whom the end point is connected to, the zero AddrPort if to nobody.
func (e *Endpoint) Peer() netip.AddrPort { return e.peer }

// Bind gives the end point a port, of its choice or, if that is 0, a random one (RFC 6056 §3.3.1), and an address, or
// any if addr is the zero Addr. It has neither yet.
func (e *Endpoint) Bind(addr netip.Addr, port uint16) error {
	b := e.box
	if b.endpoints >= b.MaxEndpoints {
		return ErrLimit
	}
	if port == 0 {
		const n = EphemeralLast - EphemeralFirst + 1
		start := int(b.Random() % n)
		for i := range n {
			try := uint16(EphemeralFirst + (start+i)%n)
			if b.ports[try] == nil {
				port = try
				break
			}
		}
		if port == 0 {
			return ErrInUse
		}
	}
	for o := b.ports[port]; o != nil; o = o.next {
		if o.conflicts(e, addr) {
			return ErrInUse
		}
	}
	e.local, e.bound, e.port = addr, addr, port
	if b.ports == nil {
		b.ports = make(map[uint16]*Endpoint)
	}
	e.next = b.ports[port]
	b.ports[port] = e
	b.endpoints++
	return nil
}

// conflicts reports whether e may not have the same port at addr as o has (socket(7), SO_REUSEADDR and SO_REUSEPORT).
func (o *Endpoint) conflicts(e *Endpoint, addr netip.Addr) bool {
	if o.local.IsValid() && addr.IsValid() && o.local != addr || o.Link != 0 && e.Link != 0 && o.Link != e.Link {
		return false
	}
	return !(o.ReuseAddr && e.ReuseAddr) && !(o.ReusePort && e.ReusePort)
}

// Connect sets the peer: whom Send sends to by default, and the only one heard.
func (e *Endpoint) Connect(peer netip.AddrPort) error {
	r, err := e.box.Route(peer.Addr(), e.bound, e.linkFor(peer.Addr()))
	if err != nil {
		return err
	}
	if r.Broadcast && !peer.Addr().IsMulticast() && !e.Broadcast {
		return ErrBroadcast
	}
	if e.port == 0 {
		if err := e.Bind(netip.Addr{}, 0); err != nil {
			return err
		}
	}
	if !e.bound.IsValid() {
		e.local = r.Source
	}
	e.peer = peer
	return nil
}

// Disconnect undoes Connect.
func (e *Endpoint) Disconnect() {
	e.peer = netip.AddrPort{}
	e.local = e.bound
}

// Ready returns what the end point is ready for.
func (e *Endpoint) Ready() ready.Events {
	var r ready.Events
	if e.Inbox.Len() > 0 {
		r |= ready.In
	}
	if e.Err != nil {
		r |= ready.Err | ready.In
	}
	if !e.blocked {
		r |= ready.Out
	}
	return r
}

func (e *Endpoint) linkFor(dst netip.Addr) int {
	if e.Link == 0 && dst.IsMulticast() {
		return e.MulticastLink
	}
	return e.Link
}

// Send sends data to the address given or, if that is zero, to the peer.
func (e *Endpoint) Send(data []byte, to netip.AddrPort) error {
	if !to.IsValid() {
		if to = e.peer; !to.IsValid() {
			return ErrDestination
		}
	}
	if len(data) > MaxPayload {
		return packet.ErrTooBig
	}
	dst := to.Addr()
	src := e.local
	if src.IsMulticast() {
		src = netip.Addr{} // bound to a group, to receive
	}
	b := e.box
	r, err := b.Route(dst, src, e.linkFor(dst))
	if err != nil {
		return err
	}
	if r.Broadcast && !dst.IsMulticast() && !e.Broadcast {
		return ErrBroadcast
	}
	n := wire.UDPSize + len(data)
	if e.DF && wire.IPv4Size+n > r.MTU {
		return packet.ErrTooBig
	}
	if e.port == 0 {
		if err := e.Bind(netip.Addr{}, 0); err != nil {
			return err
		}
	}
	if b.Busy(r.Link) {
		if !e.blocked {
			e.blocked = true
			b.blocked = append(b.blocked, e)
		}
		return ErrWouldBlock
	}
	p := b.fill(data)
	sum := wire.Pseudo(r.Source, dst, wire.ProtoUDP, n)
	wire.UDP(p.Prepend(wire.UDPSize)).Encode(e.port, to.Port(), n, sum.Fold())
	p.SetPartialChecksum(wire.UDPChecksumOffset)
	p.Src, p.Dst, p.Link, p.Proto = r.Source, dst, r.Link, wire.ProtoUDP
	p.TTL, p.TOS, p.DF = e.TTL, e.TOS, e.DF
	if dst.IsMulticast() {
		p.TTL = e.MulticastTTL
	}
	b.Stats.PacketsTx++
	b.Down(p)
	return nil
}

// fill makes a packet of data: the one copy on the way down.
func (b *Box) fill(data []byte) *packet.Packet {
	if len(data)+packet.HeadRoom <= packet.Large {
		p := b.Pool.Linear(len(data))
		copy(p.Bytes(), data)
		return p
	}
	p := b.Pool.Headers()
	m := b.Pool.Buf(len(data))
	p.AddRef(m, m.Data[:copy(m.Data, data)])
	m.Release()
	return p
}

// score says how well the end point fits a datagram for its port: -1 not at all.
func (e *Endpoint) score(p *packet.Packet) int {
	s := 0
	if e.peer.IsValid() {
		if e.peer.Addr() != p.Src || e.peer.Port() != p.SrcPort {
			return -1
		}
		s += 4
	}
	if e.local.IsValid() {
		// A connected end point on a broadcast datagram: its address is only where it sends from.
		if e.local != p.Dst && !(p.Broadcast && !e.bound.IsValid()) {
			return -1
		}
		s += 2
	}
	if e.Link != 0 {
		if e.Link != p.Link {
			return -1
		}
		s++
	}
	return s
}

// Joined records that the end point has joined a group on an interface; Left the opposite. Both report false if that
// cannot be. The IP box is told by the caller.
func (e *Endpoint) Joined(group netip.Addr, link int) bool {
	if e.joined(group, link) || len(e.groups) >= MaxGroups {
		return false
	}
	e.groups = append(e.groups, membership{group, link})
	return true
}

// Left forgets a membership.
func (e *Endpoint) Left(group netip.Addr, link int) bool {
	for i, m := range e.groups {
		if m.group == group && m.link == link {
			e.groups = append(e.groups[:i], e.groups[i+1:]...)
			return true
		}
	}
	return false
}

// Groups calls f for each membership.
func (e *Endpoint) Groups(f func(group netip.Addr, link int)) {
	for _, m := range e.groups {
		f(m.group, m.link)
	}
}

func (e *Endpoint) joined(group netip.Addr, link int) bool {
	for _, m := range e.groups {
		if m.group == group && m.link == link {
			return true
		}
	}
	return false
}

// Close gives up the port and what is queued.
func (e *Endpoint) Close() {
	e.Upcall = nil
	e.Inbox.Clear()
	if e.blocked {
		e.blocked = false
		for i, x := range e.box.blocked {
			if x == e {
				e.box.blocked = append(e.box.blocked[:i], e.box.blocked[i+1:]...)
				break
			}
		}
	}
	if e.port == 0 {
		return
	}
	b := e.box
	at := b.ports[e.port]
	if at == e {
		b.ports[e.port] = e.next
		if e.next == nil {
			delete(b.ports, e.port)
		}
	} else {
		for at.next != e {
			at = at.next
		}
		at.next = e.next
	}
	e.port, e.next = 0, nil
	b.endpoints--
}

func (e *Endpoint) upcall(raised ready.Events) {
	if e.Upcall != nil {
		e.Upcall(raised)
	}
}
