package udp

import (
	"errors"
	"net/netip"

	"ukvm.dev/guest/net/dgram"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/route"
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
	Inbox  dgram.Inbox
	Upcall func(raised ready.Events) // something happened
	Err    error                     // pending
	Link   int                       // only this interface; 0: any
	dgram.Sending
	DF        bool // do not fragment what is sent: too long datagrams are ErrTooBig
	Broadcast bool // may send to broadcast addresses
	ReuseAddr bool
	ReusePort bool

	// Any is the address of an end point that sends without having been bound, see route.Covers.
	Any netip.Addr

	box      *Box
	next     *Endpoint
	local    netip.Addr // see route.Covers
	bound    netip.Addr // what local falls back to on Disconnect
	port     uint16     // 0: none yet
	peer     netip.AddrPort
	peerLink int // of a link-local peer
	groups   []membership

	blocked bool // in Box.blocked
}

type membership struct {
	group netip.Addr
	link  int
}

// Open readies an end point; limit is the size of its queue in bytes.
func (b *Box) Open(e *Endpoint, limit int) {
	e.box = b
	e.Sending = dgram.NewSending()
	e.Inbox.Limit, e.Inbox.Total, e.Inbox.TotalLimit = limit, &b.used, b.Memory
}

// Local returns the address and port the end point has; zero values where it has none.
func (e *Endpoint) Local() (netip.Addr, uint16) { return e.local, e.port }

// Peer returns whom the end point is connected to, the zero AddrPort if to nobody.
func (e *Endpoint) Peer() netip.AddrPort { return e.peer }

// Bind gives the end point a port, of its choice or, if that is 0, a random one (RFC 6056 §3.3.1), and an address, as
// route.Covers has it. It has neither yet.
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
	if !route.Overlap(o.local, addr) || o.Link != 0 && e.Link != 0 && o.Link != e.Link {
		return false
	}
	return !(o.ReuseAddr && e.ReuseAddr) && !(o.ReusePort && e.ReusePort)
}

// Connect sets the peer: whom Send sends to by default, and the only one heard.
func (e *Endpoint) Connect(peer netip.AddrPort) error { return e.ConnectVia(peer, 0) }

// ConnectVia is Connect to a peer that is reached through an interface (0: routing decides).
func (e *Endpoint) ConnectVia(peer netip.AddrPort, link int) error {
	if link == 0 {
		link = e.linkFor(peer.Addr())
	}
	r, err := e.box.Route(peer.Addr(), source(e.bound), link)
	if err != nil {
		return err
	}
	if r.Broadcast && !peer.Addr().IsMulticast() && !e.Broadcast {
		return ErrBroadcast
	}
	if e.port == 0 {
		if err := e.Bind(e.Any, 0); err != nil {
			return err
		}
	}
	if !route.Specific(e.bound) {
		e.local = r.Source
	}
	e.peer, e.peerLink = peer, 0
	if peer.Addr().IsLinkLocalUnicast() {
		e.peerLink = r.Link
	}
	return nil
}

// PeerLink is the interface of a link-local peer, 0 for others.
func (e *Endpoint) PeerLink() int { return e.peerLink }

// source is the address to send from of an end point with a local address, the zero Addr if routing is to choose.
func source(local netip.Addr) netip.Addr {
	if local.IsMulticast() || !route.Specific(local) { // bound to a group, to receive
		return netip.Addr{}
	}
	return local
}

// Disconnect undoes Connect.
func (e *Endpoint) Disconnect() {
	e.peer, e.peerLink = netip.AddrPort{}, 0
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
func (e *Endpoint) Send(data []byte, to netip.AddrPort) error { return e.SendVia(data, to, 0) }

// SendVia is Send through an interface (0: routing decides).
func (e *Endpoint) SendVia(data []byte, to netip.AddrPort, link int) error {
	return e.SendWith(data, to, dgram.Options{Link: link})
}

// SendWith is Send with what this datagram asks for.
func (e *Endpoint) SendWith(data []byte, to netip.AddrPort, o dgram.Options) error {
	link := o.Link
	if !to.IsValid() {
		if to = e.peer; !to.IsValid() {
			return ErrDestination
		}
		if link == 0 {
			link = e.peerLink
		}
	}
	dst := to.Addr()
	longest, header := MaxPayload, wire.IPv4Size
	if dst.Is6() {
		longest, header = MaxPayload6, wire.IPv6Size
	}
	if len(data) > longest {
		return packet.ErrTooBig
	}
	if link == 0 {
		link = e.linkFor(dst)
	}
	b := e.box
	src := o.Src
	if !src.IsValid() {
		src = source(e.local)
	}
	r, err := b.Route(dst, src, link)
	if err != nil {
		return err
	}
	if r.Broadcast && !dst.IsMulticast() && !e.Broadcast {
		return ErrBroadcast
	}
	n := wire.UDPSize + len(data)
	if e.DF && header+n > r.MTU {
		return packet.ErrTooBig
	}
	if e.port == 0 {
		if err := e.Bind(e.Any, 0); err != nil {
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
	p.DF = e.DF
	e.Sending.Apply(p, &o)
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
		switch {
		case e.local == p.Dst:
			s += 2
		case e.local.IsUnspecified():
			if e.local.Is4() != p.Dst.Is4() {
				return -1
			}
		case p.Broadcast && !route.Specific(e.bound) && e.local.Is4() == p.Dst.Is4():
			s += 2 // a connected end point: its address is only where it sends from
		default:
			return -1
		}
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
