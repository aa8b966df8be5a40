// Package packet is the memory packets are made of.
//
// A [Packet] is a gather list: a first piece that holds the headers, and further pieces that refer to blocks of memory
// ([Buf]) shared by reference count.
//
//	sending                                        receiving
//
//	 room         off        end                    off   (grows as headers are taken)   end
//	┌────────────┬──────────┐                      ┌──────┬───────────────┬─────────────┬─────┐
//	│ ◄─ Prepend │ headers  │  inside the Packet   │ eth  │ ip    tcp     │ payload     │     │ one Buf, filled
//	└────────────┴──────────┘                      └──────┴───────────────┴─────────────┴─────┘ by the device
//	  └► piece 1: part of a Buf of the send buffer   └► further pieces only if a frame did not fit
//	  └► piece 2: …
//
// Ownership passes with the call: whoever gets a *Packet hands it on or releases it, exactly once. Every connection
// between two boxes of the stack has the type [Handler]. A packet's methods are not safe for concurrent use; Pool and
// Buf are, and Release may be called from any goroutine that owns the packet, with or without the stack's lock.
package packet

import (
	"net/netip"

	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// Handler takes a packet and with it the duty to release it.
type Handler func(*Packet)

// HeadRoom is how many bytes of headers fit before the payload of a sent packet: device header, Ethernet, IPv4 and the
// longest TCP header are 106.
const HeadRoom = 128

// Overhead is what a Packet itself costs, beyond the blocks it refers to, in the accounting of queues, in bytes.
const Overhead = 512

// Packet is one packet on its way up or down.
type Packet struct {
	// Net travels to and from the device with the frame. On the way down CsumStart, HdrLen are filled in by the last
	// box, see SetPartialChecksum; on the way up see ChecksumOK.
	Net hypercall.NetHeader

	// Network layer: set by the sender on the way down, by the IP box on the way up.
	Src, Dst  netip.Addr
	Link      int // interface it came in through or must leave through; 0 down: routing decides
	Proto     uint8
	TTL       uint8 // 0 down: the default
	TOS       uint8
	Label     uint32 // down: flow label of IPv6 (RFC 6437); 0: none
	DF        bool   // down: do not fragment
	Broadcast bool   // link-layer broadcast or multicast, either way; down: set by the IP box

	// Link layer.
	NextHop   netip.Addr // down: whom on the link it goes to, set by the IP box
	EtherType wire.EtherType
	MAC       wire.MAC // down: destination, set by the ARP box; up: source

	// For the box that holds the packet in a queue.
	Next    *Packet
	Seq     uint32 // TCP: sequence number of the first byte
	SrcPort uint16 // UDP: sender's port
	Fin     bool   // TCP: the peer's FIN follows the last byte
	Charge  int    // what it was charged in the holder's accounting, bytes

	pool      *Pool // nil: released
	mem       []byte
	off, end  int  // the first piece is mem[off:end]
	buf       *Buf // of mem; nil if mem is room
	rest      []part
	taken     int // pieces of rest that have become the first one
	length    int
	transport int // Len when the transport header was at the front; for Net.CsumStart
	network   []byte
	few       [3]part
	room      [HeadRoom]byte
}

type part struct {
	data []byte
	buf  *Buf
}

// Len is the number of bytes in the packet.
func (p *Packet) Len() int { return p.length }

// Bytes is the first piece. It holds all headers, or the packet is dropped.
func (p *Packet) Bytes() []byte { return p.mem[p.off:p.end] }

// Pieces is the number of pieces, at least 1; Piece returns one of them. The first may be empty.
func (p *Packet) Pieces() int { return 1 + len(p.rest) - p.taken }

// Piece returns piece i.
func (p *Packet) Piece(i int) []byte {
	if i == 0 {
		return p.mem[p.off:p.end]
	}
	return p.rest[p.taken+i-1].data
}

// Prepend makes the packet n bytes longer at its front and returns those bytes.
func (p *Packet) Prepend(n int) []byte {
	p.off -= n
	p.length += n
	return p.mem[p.off : p.off+n]
}

// Trim removes n ≤ Len bytes from the front.
func (p *Packet) Trim(n int) {
	p.length -= n
	for {
		if have := p.end - p.off; n <= have {
			p.off += n
			if p.off < p.end || p.taken == len(p.rest) {
				return
			}
			n = 0
		} else {
			n -= have
		}
		// The first piece is used up and another follows: that one becomes the first.
		if p.buf != nil {
			p.buf.Release()
			p.network = nil // it lay there
		}
		next := &p.rest[p.taken]
		p.taken++
		p.mem, p.off, p.end, p.buf = next.data, 0, len(next.data), next.buf
		*next = part{}
	}
}

// Truncate removes what follows the first n ≤ Len bytes.
func (p *Packet) Truncate(n int) {
	p.length = n
	if have := p.end - p.off; n <= have {
		p.end = p.off + n
		n = 0
	} else {
		n -= have
	}
	keep := p.taken
	for i := p.taken; i < len(p.rest); i++ {
		r := &p.rest[i]
		if n == 0 {
			r.buf.Release()
			*r = part{}
			continue
		}
		if n < len(r.data) {
			r.data = r.data[:n]
		}
		n -= len(r.data)
		keep = i + 1
	}
	p.rest = p.rest[:keep]
}

// AddRef appends data, which lies in b, by reference.
func (p *Packet) AddRef(b *Buf, data []byte) {
	b.Retain()
	p.rest = append(p.rest, part{data, b})
	p.length += len(data)
}

// Append moves the contents of q, which the device filled or Linear made, behind those of p and releases q.
func (p *Packet) Append(q *Packet) {
	for i := range q.Pieces() {
		data, b := q.Piece(i), q.buf
		if i > 0 {
			b = q.rest[q.taken+i-1].buf
		}
		if b == nil {
			panic("BUG: packet: header room appended")
		}
		if len(data) > 0 {
			p.AddRef(b, data)
		}
	}
	q.Release()
}

// AppendBlock moves what a device has stored in q, from Receive, behind the contents of p: the first n bytes, with the block
// they lie in. q gets another block in its place, to be filled.
func (p *Packet) AppendBlock(q *Packet, n int) {
	if n == 0 {
		return
	}
	p.rest = append(p.rest, part{q.buf.Data[:n], q.buf})
	p.length += n
	q.buf = q.pool.Buf(len(q.buf.Data))
	q.mem, q.end, q.length = q.buf.Data, len(q.buf.Data), len(q.buf.Data)
}

// CopyOut copies from the packet's start into b and returns how much.
func (p *Packet) CopyOut(b []byte) int {
	n := copy(b, p.mem[p.off:p.end])
	for i := p.taken; i < len(p.rest) && n < len(b); i++ {
		n += copy(b[n:], p.rest[i].data)
	}
	return n
}

// Absorb copies q's contents into unused memory behind p's, if p is in one piece of memory of its own and has the room,
// and releases q. Otherwise it does nothing and returns false.
func (p *Packet) Absorb(q *Packet) bool {
	if p.buf == nil || p.taken != len(p.rest) || len(p.mem)-p.end < q.length || p.buf.Shared() {
		return false
	}
	q.CopyOut(p.mem[p.end : p.end+q.length])
	p.end += q.length
	p.length += q.length
	q.Release()
	return true
}

// Shrink moves a short packet's contents to a small block of memory, so that it does not keep a big one while it waits
// in a queue. What MarkNetwork remembered is lost.
func (p *Packet) Shrink() {
	if p.buf == nil || p.length > Tiny || p.taken != len(p.rest) || len(p.buf.Data) <= Tiny {
		return
	}
	b := p.pool.Buf(p.length)
	p.end = copy(b.Data, p.mem[p.off:p.end])
	p.buf.Release()
	p.mem, p.off, p.buf, p.network = b.Data, 0, b, nil
}

// Reference appends n bytes of p from offset off on to q by reference. Bytes that lie in p's header room are copied
// into q's, so q must be empty then.
func (p *Packet) Reference(q *Packet, off, n int) {
	for i := 0; i < p.Pieces() && n > 0; i++ {
		data, b := p.Piece(i), p.buf
		if i > 0 {
			b = p.rest[p.taken+i-1].buf
		}
		if off >= len(data) {
			off -= len(data)
			continue
		}
		data = data[off:]
		data = data[:min(n, len(data))]
		if b != nil {
			q.AddRef(b, data)
		} else {
			copy(q.Prepend(len(data)), data)
		}
		off, n = 0, n-len(data)
	}
}

// Size is the memory the packet keeps from other use, in bytes: whole blocks where it is the only user.
func (p *Packet) Size() int {
	n := Overhead
	if p.buf != nil {
		n += memory(p.buf, p.end-p.off)
	}
	for _, r := range p.rest[p.taken:] {
		n += memory(r.buf, len(r.data))
	}
	return n
}

func memory(b *Buf, n int) int {
	if b.Shared() {
		return n
	}
	return len(b.Data)
}

// MarkNetwork remembers where the network header is, for ICMP errors about this packet: the first piece from here on.
func (p *Packet) MarkNetwork() { p.network = p.mem[p.off:p.end] }

// Network returns what MarkNetwork remembered: network header and what followed it in the first piece. It is nil if
// that memory has been given back since.
func (p *Packet) Network() []byte { return p.network }

// Release gives the packet and its references back.
func (p *Packet) Release() {
	pool := p.pool
	if pool == nil {
		panic("BUG: packet: released twice")
	}
	if p.buf != nil {
		p.buf.Release()
	}
	for _, r := range p.rest[p.taken:] {
		r.buf.Release()
	}
	clear(p.rest)
	p.Net = hypercall.NetHeader{}
	p.Src, p.Dst, p.NextHop = netip.Addr{}, netip.Addr{}, netip.Addr{}
	p.Link, p.Proto, p.TTL, p.TOS, p.Label, p.DF, p.Broadcast = 0, 0, 0, 0, 0, false, false
	p.Next, p.Seq, p.SrcPort, p.Fin, p.Charge = nil, 0, 0, false, 0
	p.mem, p.buf, p.rest, p.taken = nil, nil, p.rest[:0], 0
	p.length, p.transport, p.network = 0, 0, nil
	p.pool = nil
	pool.packets.Put(p)
}
