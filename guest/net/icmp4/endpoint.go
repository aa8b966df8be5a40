package icmp4

import (
	"errors"
	"net/netip"

	"ukvm.dev/guest/net/dgram"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// Errors of end points.
var (
	ErrInUse     = errors.New("address already in use")
	ErrMalformed = errors.New("invalid argument") // not an echo request
	ErrLimit     = errors.New("no buffer space available")
)

// MaxEndpoints bounds ping and raw sockets.
const MaxEndpoints = 256

// Endpoints are those who want to see messages: ping sockets, one per identifier, and raw ones, which get copies of all.
type Endpoints struct {
	ping map[uint16]*Endpoint
	raw  []*Endpoint
}

// Endpoint is a ping socket (SOCK_DGRAM, IPPROTO_ICMP) or a raw one (SOCK_RAW, IPPROTO_ICMP). Local and Peer are zero
// until bound and connected.
type Endpoint struct {
	Inbox  dgram.Inbox
	Upcall func(raised ready.Events) // something happened
	Local  netip.Addr
	Peer   netip.Addr
	ID     uint16 // of a ping socket: its "port"
	Raw    bool
	Err    error // pending
	TTL    uint8
	TOS    uint8

	box  *Box
	open bool
}

// Open adds an end point. A ping socket gets its ID, or one of its own if that is 0.
func (b *Box) Open(e *Endpoint) error {
	s := &b.Endpoints
	if len(s.ping)+len(s.raw) >= MaxEndpoints {
		return ErrLimit
	}
	if e.Raw {
		s.raw = append(s.raw, e)
	} else {
		if s.ping == nil {
			s.ping = make(map[uint16]*Endpoint)
		}
		if e.ID != 0 && s.ping[e.ID] != nil {
			return ErrInUse
		}
		for e.ID == 0 {
			if id := uint16(b.Random()); s.ping[id] == nil {
				e.ID = id
			}
		}
		s.ping[e.ID] = e
	}
	e.box, e.open = b, true
	return nil
}

// Close removes the end point.
func (e *Endpoint) Close() {
	e.Upcall = nil
	e.Inbox.Clear()
	if !e.open {
		return
	}
	e.open = false
	s := &e.box.Endpoints
	if !e.Raw {
		delete(s.ping, e.ID)
		return
	}
	for i, x := range s.raw {
		if x == e {
			s.raw = append(s.raw[:i], s.raw[i+1:]...)
			return
		}
	}
}

// Send sends an ICMP message. A ping socket's must be an echo request; identifier and checksum are filled in.
func (e *Endpoint) Send(data []byte, src, dst netip.Addr, link int) error {
	if len(data) > wire.IPv4Max-wire.IPv4Size-packet.HeadRoom {
		return packet.ErrTooBig
	}
	if !e.Raw && (len(data) < wire.ICMPSize || data[0] != wire.ICMPEcho || data[1] != 0) {
		return ErrMalformed
	}
	p := e.box.Pool.Linear(len(data))
	copy(p.Bytes(), data)
	if !e.Raw {
		h := wire.ICMP(p.Bytes()[:wire.ICMPSize])
		h.SetID(e.ID)
		h.SetChecksum(0)
		h.SetChecksum(wire.Checksum(p.Bytes()))
	}
	p.Src, p.Dst, p.Link, p.Proto, p.TTL, p.TOS = src, dst, link, wire.ProtoICMP, e.TTL, e.TOS
	e.box.Send(p)
	return nil
}

// deliver hands an echo reply to the ping socket it is for.
func (s *Endpoints) deliver(b *Box, p *packet.Packet) {
	h := wire.ICMP(p.Bytes())
	e := s.ping[h.ID()]
	if e == nil || !e.wants(p) {
		b.Stats.Dropped++
		p.Release()
		return
	}
	if e.Inbox.Push(p) {
		e.upcall(ready.In)
	}
}

func (e *Endpoint) wants(p *packet.Packet) bool {
	return (!e.Local.IsValid() || e.Local == p.Dst) && (!e.Peer.IsValid() || e.Peer == p.Src)
}

// deliverRaw gives copies, IP header included as raw(7) has it, to all raw sockets that want one.
func (s *Endpoints) deliverRaw(b *Box, p *packet.Packet) {
	for _, e := range s.raw {
		head := len(p.Network()) - len(p.Bytes())
		if !e.wants(p) || head < wire.IPv4Size {
			continue
		}
		q := b.Pool.Receive(head + p.Len())
		q.Truncate(head + p.Len())
		n := copy(q.Bytes(), p.Network()[:head])
		p.CopyOut(q.Bytes()[n:])
		q.Src, q.Dst, q.Link, q.TTL, q.TOS = p.Src, p.Dst, p.Link, p.TTL, p.TOS
		if e.Inbox.Push(q) {
			e.upcall(ready.In)
		}
	}
}

// fail reports what became of a ping.
func (s *Endpoints) fail(f *packet.Failure) {
	h, ok := wire.ParseICMP(f.Header)
	if !ok || h.Type() != wire.ICMPEcho {
		return
	}
	if e := s.ping[h.ID()]; e != nil && e.Peer == f.Dst && (f.Hard || f.Err == packet.ErrHostUnreachable) {
		e.Err = f.Err
		e.upcall(ready.Err | ready.In | ready.Out)
	}
}

func (e *Endpoint) upcall(raised ready.Events) {
	if e.Upcall != nil {
		e.Upcall(raised)
	}
}
