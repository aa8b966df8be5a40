package tcp

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
)

// What holders use that take what arrives as it is, without a copy (package event). Read and Take can be mixed.

// Take takes the first packet of what has arrived in order; nil if there is none. It is the caller's, who releases it,
// or puts it back with Return; and who says with Consumed how much of it has been dealt with.
func (c *Conn) Take() *packet.Packet {
	p := c.rcv.queue.Pop()
	if p == nil {
		return nil
	}
	c.rcv.queued -= p.Len()
	c.box.memory -= p.Charge
	return p
}

// Return puts what is left of a packet back where Take has taken it from.
func (c *Conn) Return(p *packet.Packet) {
	p.Charge = p.Size()
	c.box.memory += p.Charge
	c.rcv.queued += p.Len()
	c.rcv.queue.InsertAfter(nil, p)
}

// Consumed says that n bytes of what was taken have been dealt with: the window may open.
func (c *Conn) Consumed(n int) { c.hasRead(n) }

// Unread is how many bytes wait for Read or Take.
func (c *Conn) Unread() int { return c.rcv.queued }

// Unacked is how many bytes have been written and not been acknowledged yet.
func (c *Conn) Unacked() int { return c.snd.buf.len() }

// Ended reports whether the peer has finished sending and all of it has been taken.
func (c *Conn) Ended() bool { return c.rcv.fin && c.rcv.queued == 0 }

// Writable reports whether it is worth writing again after a Write did not fit.
func (c *Conn) Writable() bool { return c.writable() }

// Opening reports whether the handshake is under way, Over whether the connection has ended, with the reason, nil if it
// was closed in order.
func (c *Conn) Opening() bool { return c.state == SynSent || c.state == SynReceived }

// Over is explained at Opening.
func (c *Conn) Over() (bool, error) { return c.state == Closed || c.state == TimeWait, c.err }

// Notify sets Upcall.
func (c *Conn) Notify(f func(raised ready.Events)) { c.Upcall = f }

// SetNoteAcks sets NoteAcks.
func (c *Conn) SetNoteAcks(on bool) { c.NoteAcks = on }

// Ends returns both ends' addresses, also of a connection that has ended.
func (c *Conn) Ends() (local, remote netip.AddrPort) {
	addr, port := c.Local()
	return netip.AddrPortFrom(addr, port), c.Accepted()
}
