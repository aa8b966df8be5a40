package tcp

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// plateaus are likely path MTUs for routers that do not tell (RFC 1191 §7).
var plateaus = [...]int{32000, 17914, 8166, 4352, 2002, 1492, 1006, minMTU}

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
		c.shrink(f.MTU)
	case c.state == SynSent:
		c.end(f.Err) // as Linux: there may be another address to try
	default:
		c.soft = f.Err // told if the connection times out
	}
}

// shrink adapts to a path that takes no larger packets than mtu (RFC 1191 §6), and repeats what was lost.
func (c *Conn) shrink(mtu int) {
	if mtu == 0 {
		for _, mtu = range plateaus {
			if mtu < c.mtu {
				break
			}
		}
	}
	if mtu < minMTU {
		mtu = minMTU
		c.noDF = true
	}
	if mtu >= c.mtu || !c.state.transmits() {
		return
	}
	c.mtu = mtu
	mss := mtu - headerSize(c.flow.local)
	if c.ts.on {
		mss -= wire.TCPTimestampsSize
	}
	if mss = max(mss, minSendMSS); mss >= c.snd.mss {
		return
	}
	c.snd.mss, c.cc.MSS = mss, mss
	c.cc.Size = max(c.cc.Size, mss)
	c.goBack()
	c.touch()
}
