package tcp

import "ukvm.dev/guest/net/packet"

// Fail takes the news that a segment did not arrive (RFC 9293 §3.9.2.2), if it is one that may be on its way (RFC 5927
// §4): else anybody could end our connections.
func (b *Box) Fail(f *packet.Failure) {
	if len(f.Header) < 8 {
		return
	}
	h := f.Header
	be := func(i int) uint32 { return uint32(h[i])<<8 | uint32(h[i+1]) }
	c := b.conns[flow{f.Src, f.Dst, be(0), be(2)}]
	if c == nil {
		return
	}
	at := seq(be(4)<<16 | be(6))
	if at.before(c.snd.una) || !at.before(c.snd.max) {
		return
	}
	switch {
	case f.Err == packet.ErrTooBig:
		c.tooBig(f.MTU)
	case c.state == SynSent:
		c.end(f.Err) // as Linux: there may be another address to try
	default:
		c.soft = f.Err // told if the connection times out
	}
}
