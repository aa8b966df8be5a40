package tcp

import "ukvm.dev/guest/net/wire"

// SYN cookies (RFC 4987 §3.6): when a listener has as many half-open connections as it may, it answers further SYNs
// without remembering them. All it must know comes back with the ACK: the SYN|ACK's sequence number is a keyed hash that
// nobody else can make, with the MSS in it,
//
//	cookie = F(flow) + peer's ISN + (period << 24) + (F(flow, period) + index of the MSS) mod 2²⁴
//
// where a period is 64 s, and window scale and SACK-permitted are in the low bits of our timestamp, which the peer echoes:
//
//	| ………… milliseconds | 0 | SACK | shift: 15 = none |
//	                      5     4    3              0
//
// (the layout of both is Linux's, net/ipv4/syncookies.c). A peer without timestamps goes without these two. What else is
// lost: our SYN|ACK is not repeated, and the first round trip is not measured.

const (
	cookiePeriod  = 64 * second
	cookiePeriods = 2    // an ACK is taken in the period of its SYN|ACK and the next
	cookieNoScale = 0x0f // in the low bits of a timestamp
	cookieSACK    = 0x10
	cookieBits    = 0x3f
)

// cookieMSS are the MSS values a cookie can say: the greatest that is not above the peer's. Common are 1460 (Ethernet),
// 1440 and 1360 (tunnels), 8960 (jumbo frames), 536 and, over IPv6, 1220 (nothing said).
var cookieMSS = [...]uint16{minSendMSS, defaultMSS, 1024, defaultMSS6, 1360, 1440, 1460, 8960}

// cookieSource makes cookies. Its keys are its own.
type cookieSource struct {
	k0, k1 uint64
	ready  bool
	until  int64 // when the last cookie made will be too old
}

func (k *cookieSource) init(random func() uint64) {
	if !k.ready {
		k.k0, k.k1, k.ready = random(), random(), true
	}
}

// hash is F(flow, period); period -1 stands for F(flow).
func (k *cookieSource) hash(f *flow, period int64) uint32 {
	return uint32(f.hash(k.k0, k.k1, uint64(f.localPort)<<16|uint64(f.remotePort)|uint64(period)<<32))
}

// make returns the cookie for a SYN with a sequence number and an index of cookieMSS.
func (k *cookieSource) make(f *flow, irs seq, index int, now int64) seq {
	period := now / cookiePeriod
	return irs + seq(k.hash(f, -1)) + seq(period)<<24 + seq((k.hash(f, period)+uint32(index))&0xffffff)
}

// check returns the index of cookieMSS in a cookie that is ours and not too old.
func (k *cookieSource) check(f *flow, irs, cookie seq, now int64) (index int, ok bool) {
	period := now / cookiePeriod
	rest := uint32(cookie - irs - seq(k.hash(f, -1)))
	age := (uint32(period) - rest>>24) & 0xff
	if age >= cookiePeriods {
		return 0, false
	}
	i := (rest - k.hash(f, period-int64(age))) & 0xffffff
	return int(i), i < uint32(len(cookieMSS))
}

// sendCookie answers a SYN and forgets it.
func (l *Listener) sendCookie(f flow, s *segment) {
	b := l.box
	r, err := b.Route(f.remote, f.local, l.Options.Link)
	if err != nil {
		b.Stats.Dropped++
		return
	}
	now := b.Now()
	b.cookies.init(b.Random)
	b.cookies.until = now + cookiePeriods*cookiePeriod
	b.waits.reused = nil

	index := 0
	for i, mss := range cookieMSS {
		if s.opt.MSS >= mss || s.opt.MSS == 0 && int(mss) <= unnamedMSS(f.local) {
			index = i
		}
	}
	if !s.opt.HasTimestamps {
		s.opt.HasScale, s.opt.SACKPermitted = false, false // there is nowhere to keep them
	}
	// A connection that is in no table, to say what a real one would.
	c := &b.stateless
	*c = Conn{box: b, Options: l.Options, flow: f, link: r.Link, mtu: r.MTU, tso: r.TSO}
	b.isn.init(b.Random)
	c.initialise(SynReceived, b.cookies.make(&f, s.seq, index, now))
	c.takeSyn(s)
	if c.ts.on {
		c.ts.offset += cookieTimestamp(c.timestamp(now), &s.opt) - c.timestamp(now)
	}
	b.Stats.CookiesTx++
	c.sendSyn()
}

// cookieTimestamp returns the latest timestamp not after now that says what options the peer has.
func cookieTimestamp(now uint32, o *wire.TCPOptions) uint32 {
	bits := uint32(cookieNoScale)
	if o.HasScale {
		bits = uint32(o.WindowScale)
	}
	if o.SACKPermitted {
		bits |= cookieSACK
	}
	at := now&^cookieBits | bits
	if int32(at-now) > 0 {
		at -= cookieBits + 1
	}
	return at
}

// takeCookie makes a connection of an ACK that carries a cookie back, and reports whether it did.
func (l *Listener) takeCookie(f flow, s *segment) bool {
	b := l.box
	now := b.Now()
	if now >= b.cookies.until || s.flags&(wire.SYN|wire.RST|wire.ACK) != wire.ACK {
		return false
	}
	index, ok := b.cookies.check(&f, s.seq-1, s.ack-1, now)
	if !ok {
		b.Stats.CookiesBad++
		return false
	}
	if l.ready.n >= l.backlog || len(b.conns) >= b.Limits.Conns {
		b.Stats.ListenOverflows++ // the peer believes itself connected: what it sends next may find room
		return true
	}
	r, err := b.Route(f.remote, f.local, l.Options.Link)
	if err != nil {
		b.Stats.Dropped++
		return true
	}
	b.Stats.CookiesRx++
	syn := segment{seq: s.seq - 1, flags: wire.SYN, wnd: s.wnd}
	syn.opt.MSS = cookieMSS[index]
	if s.opt.HasTimestamps {
		syn.opt.HasTimestamps, syn.opt.TSVal = true, s.opt.TSVal
		syn.opt.SACKPermitted = s.opt.TSEcr&cookieSACK != 0
		if shift := uint8(s.opt.TSEcr & cookieNoScale); shift <= wire.MaxWindowScale {
			syn.opt.HasScale, syn.opt.WindowScale = true, shift
		}
	}
	c := l.newConn(f, &r)
	c.initialise(SynReceived, s.ack-1)
	c.enter()
	c.takeSyn(&syn)
	c.snd.nxt, c.snd.max = s.ack, s.ack
	c.snd.progress = 0 // nobody knows when the SYN|ACK was sent
	l.half.push(c)
	c.start(timerRetransmit, now+c.rtt.timeout())
	c.arrive(s)
	return true
}
