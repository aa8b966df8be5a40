package tcp

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// sendData sends n bytes of the send buffer from sequence number at on, and FIN behind them if so told. The segment may
// be longer than the MSS if the card cuts it (TSO).
func (c *Conn) sendData(at seq, n int, fin bool) {
	p := c.box.Pool.Headers()
	off := at.minus(c.snd.una)
	c.snd.buf.gather(p, off, n)
	flags := uint8(wire.ACK)
	if n > 0 && (off+n == c.snd.buf.len() || c.rack.probe.now) {
		flags |= wire.PSH
	}
	if fin {
		flags |= wire.FIN
	}
	if n > c.snd.mss {
		p.Net.GSOType = hypercall.GSOTCP4
		if c.flow.local.Is6() {
			p.Net.GSOType = hypercall.GSOTCP6
		}
		p.Net.GSOSize = uint16(c.snd.mss)
	}
	now := c.box.Now()
	c.snd.last = now
	if now-c.rcv.lastData < delayedAck {
		c.quick = 0 // question and answer: ACKs travel with the answers
	}
	c.box.Stats.Tx += uint64(n)
	mark, tos := c.mark(at, n)
	p.TOS = tos
	c.transmit(p, at, flags|mark)
}

// sendSyn sends our SYN, with ACK if the peer's has arrived.
func (c *Conn) sendSyn() {
	flags := uint8(wire.SYN)
	if c.state == SynReceived {
		flags |= wire.ACK
	}
	flags |= c.synFlags()
	c.snd.nxt = c.snd.iss + 1
	c.snd.max = c.snd.nxt
	c.transmit(c.box.Pool.Headers(), c.snd.iss, flags)
}

// sendAck sends an ACK and nothing else.
func (c *Conn) sendAck() {
	at := c.snd.max
	if edge := c.snd.una.plus(c.snd.wnd); at.after(edge) {
		at = maxSeq(edge, c.snd.una) // the window has shrunk: beyond it the peer would not look at the segment
	}
	c.transmit(c.box.Pool.Headers(), at, wire.ACK)
}

// sendProbe sends an empty segment that is not acceptable, so that the peer answers with an ACK.
func (c *Conn) sendProbe() {
	c.transmit(c.box.Pool.Headers(), c.snd.una-1, wire.ACK)
}

// sendReset tells the peer that the connection is gone.
func (c *Conn) sendReset() {
	c.box.Stats.ResetsTx++
	c.transmit(c.box.Pool.Headers(), c.snd.max, wire.RST|wire.ACK)
}

// transmit puts a header on p and sends it.
func (c *Conn) transmit(p *packet.Packet, at seq, flags uint8) {
	var (
		b     = c.box
		now   = b.Now()
		opt   wire.TCPOptions
		n     int
		extra [wire.TCPSynOptionsMax]byte
	)
	payload := p.Len()
	syn := flags&wire.SYN != 0
	if c.ts.on || syn && c.state == SynSent {
		opt.HasTimestamps, opt.TSVal = true, c.timestamp(now)
		if flags&wire.ACK != 0 {
			opt.TSEcr = uint32(c.ts.recent)
		}
		n = wire.TCPTimestampsSize
	}
	if syn {
		opt.MSS = uint16(min(c.rcv.ourMSS, 65535))
		opt.HasScale, opt.WindowScale = c.scaling || c.state == SynSent, c.rcv.scale
		opt.SACKPermitted = c.sack || c.state == SynSent
		n = opt.EncodeSyn(extra[:])
	}
	head := n
	if flags&(wire.SYN|wire.ACK) == wire.ACK && c.reports() {
		// Data segments carry what fits beside them: each segment that arrives ahead of a hole is answered by an ACK of its
		// own anyway.
		room := wire.TCPOptionsMax - n
		if payload > 0 {
			room = min(room, c.snd.mss-payload)
		}
		if c.report(&opt, (room-wire.TCPSACKSize(0))/8); opt.SACKs > 0 {
			n += wire.TCPSACKSize(int(opt.SACKs))
		}
	}
	h := wire.TCP(p.Prepend(wire.TCPSize + n))
	if syn {
		copy(h[wire.TCPSize:], extra[:n])
	} else {
		if head > 0 {
			opt.EncodeTimestamps(h[wire.TCPSize:])
		}
		if opt.SACKs > 0 {
			opt.EncodeSACK(h[wire.TCPSize+head:])
		}
	}
	f := wire.TCPFields{
		SrcPort: uint16(c.flow.localPort), DstPort: uint16(c.flow.remotePort),
		Seq: uint32(at), Flags: flags,
	}
	if flags&wire.ACK != 0 {
		f.Ack = uint32(c.rcv.nxt)
		if c.ecn.echo {
			f.Flags |= wire.ECE
		}
	}
	f.Window = c.announce(syn)
	sum := wire.Pseudo(c.flow.local, c.flow.remote, wire.ProtoTCP, p.Len())
	f.Checksum = sum.Fold()
	h.Encode(&f)
	p.SetPartialChecksum(wire.TCPChecksumOffset)
	if flags&wire.ACK != 0 {
		c.rcv.acked = c.rcv.nxt
		c.ackNow = false
		c.stop(timerAck)
	}
	p.TTL, p.TOS, p.Link, p.Label = c.Options.TTL, c.Options.TOS&^ecnMask|p.TOS, c.Options.Link, c.label
	b.Stats.PacketsTx++
	b.address(&c.flow, p)
	p.DF = !c.noDF
	b.Down(p)
}

// address says where a segment goes.
func (b *Box) address(f *flow, p *packet.Packet) {
	p.Src, p.Dst, p.Proto, p.DF = f.local, f.remote, wire.ProtoTCP, true
}

// refuse answers a segment that belongs to no connection with RST (RFC 9293 §3.10.7.1).
func (b *Box) refuse(f flow, s *segment) {
	if s.has(wire.RST) {
		return
	}
	b.Stats.ResetsTx++
	if s.has(wire.ACK) {
		b.control(&f, s.ack, 0, wire.RST, 0, nil)
		return
	}
	b.control(&f, 0, s.seq.plus(s.size()), wire.RST|wire.ACK, 0, nil)
}

// control sends an empty segment for which there is no control block.
func (b *Box) control(f *flow, at, ack seq, flags uint8, wnd uint16, opt *wire.TCPOptions) {
	n := 0
	if opt != nil {
		n = wire.TCPTimestampsSize
	}
	p := b.Pool.Headers()
	h := wire.TCP(p.Prepend(wire.TCPSize + n))
	if opt != nil {
		opt.EncodeTimestamps(h[wire.TCPSize:])
	}
	sum := wire.Pseudo(f.local, f.remote, wire.ProtoTCP, p.Len())
	h.Encode(&wire.TCPFields{
		SrcPort: uint16(f.localPort), DstPort: uint16(f.remotePort),
		Seq: uint32(at), Ack: uint32(ack), Flags: flags, Window: wnd, Checksum: sum.Fold(),
	})
	p.SetPartialChecksum(wire.TCPChecksumOffset)
	b.Stats.PacketsTx++
	b.address(f, p)
	p.Label = b.isn.flowLabel(f, b.Random)
	b.Down(p)
}
