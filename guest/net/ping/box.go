// Package ping is the box of those who want to see ICMP messages themselves, of either version: ping sockets, which send
// echo requests and get their replies (SOCK_DGRAM with IPPROTO_ICMP or IPPROTO_ICMPV6), and raw ones, which send whatever
// and get copies of all.
//
//	Endpoint.Inbox ▲                │ Endpoint.Send
//	      ┌────────┴────────────────▼────────┐
//	      │ Box    identifiers, raw          │
//	      └────────▲────────────────┬────────┘
//	 Receive, Copy │                ▼ Down
//
// Not safe for concurrent use: the stack's lock guards it.
package ping

import (
	"errors"

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

// MaxEndpoints bounds ping and raw sockets of one version.
const MaxEndpoints = 256

// Stats counts messages.
type Stats struct {
	Dropped uint64 // replies nobody waits for, or without room in the end point's queue
}

// Box is the box of one version. The function values are set by the stack's wiring.
type Box struct {
	V6     bool           // ICMPv6 (RFC 4443), else ICMP (RFC 792)
	Down   packet.Handler // to IP
	Random func() uint64
	Pool   *packet.Pool

	Stats Stats

	ids map[uint16]*Endpoint // ping sockets, one per identifier
	raw []*Endpoint
}

// Len is the number of end points.
func (b *Box) Len() int { return len(b.ids) + len(b.raw) }

// Open adds an end point. A ping socket gets its ID, or one of its own if that is 0.
func (b *Box) Open(e *Endpoint) error {
	if b.Len() >= MaxEndpoints {
		return ErrLimit
	}
	if e.Raw {
		b.raw = append(b.raw, e)
	} else {
		if b.ids == nil {
			b.ids = make(map[uint16]*Endpoint)
		}
		if e.ID != 0 && b.ids[e.ID] != nil {
			return ErrInUse
		}
		for e.ID == 0 {
			if id := uint16(b.Random()); b.ids[id] == nil {
				e.ID = id
			}
		}
		b.ids[e.ID] = e
	}
	e.box, e.open = b, true
	return nil
}

// close removes an end point.
func (b *Box) close(e *Endpoint) {
	if !e.Raw {
		delete(b.ids, e.ID)
		return
	}
	for i, x := range b.raw {
		if x == e {
			b.raw = append(b.raw[:i], b.raw[i+1:]...)
			return
		}
	}
}

// request is the type of an echo request.
func (b *Box) request() uint8 {
	if b.V6 {
		return wire.ICMP6Echo
	}
	return wire.ICMPEcho
}

// Receive hands an echo reply to the ping socket it is for.
func (b *Box) Receive(p *packet.Packet) {
	h, ok := wire.ParseICMP(p.Bytes())
	if ok {
		if e := b.ids[h.ID()]; e != nil && e.wants(p) {
			if !e.Inbox.Push(p) {
				b.Stats.Dropped++
				return
			}
			e.upcall(ready.In)
			return
		}
	}
	b.Stats.Dropped++
	p.Release()
}

// Copy gives copies of a message to all raw sockets that want one: of an ICMP message with its IP header (raw(7)), of an
// ICMPv6 message without (RFC 3542 §3). The packet stays the caller's.
func (b *Box) Copy(p *packet.Packet) {
	for _, e := range b.raw {
		if !e.wants(p) || e.blocks(p.Bytes()) {
			continue
		}
		head := 0
		if !b.V6 {
			if head = len(p.Network()) - len(p.Bytes()); head < wire.IPv4Size {
				continue
			}
		}
		q := b.Pool.Receive(head + p.Len())
		q.Truncate(head + p.Len())
		n := copy(q.Bytes(), p.Network()[:head])
		p.CopyOut(q.Bytes()[n:])
		q.Src, q.Dst, q.Link, q.TTL, q.TOS = p.Src, p.Dst, p.Link, p.TTL, p.TOS
		if !e.Inbox.Push(q) {
			b.Stats.Dropped++
			continue
		}
		e.upcall(ready.In)
	}
}

// Fail takes the news of what became of a message. Only connected ping sockets hear of it.
func (b *Box) Fail(f *packet.Failure) {
	h, ok := wire.ParseICMP(f.Header)
	if !ok || h.Type() != b.request() {
		return
	}
	if e := b.ids[h.ID()]; e != nil && e.Peer == f.Dst && (f.Hard || f.Err == packet.ErrHostUnreachable) {
		e.Err = f.Err
		e.upcall(ready.Err | ready.In | ready.Out)
	}
}
