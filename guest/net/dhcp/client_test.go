package dhcp

import (
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

var (
	clientMAC = wire.MAC{2, 0, 0, 0, 0, 1}
	serverIP  = netip.MustParseAddr("10.0.0.254")
	given     = netip.MustParseAddr("10.0.0.7")
)

// lab is a client, a small server, and a clock.
type lab struct {
	t      *testing.T
	client Client
	wheel  timer.Wheel
	now    int64
	start  int64

	deaf  bool             // the server does not answer
	nak   bool             // it refuses requests
	seen  []wire.DHCPType  // messages sent by the client
	at    []int64          // and when, in seconds since start
	dst   []netip.Addr     // and to whom
	extra wire.DHCPOptions // in what the server sends
	bound []Lease
	lost  int
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, now: 3600 * second, start: 3600 * second}
	l.wheel.Advance(l.now)
	c := &l.client
	c.Now, c.Wheel, c.MAC, c.Hostname = func() int64 { return l.now }, &l.wheel, clientMAC, "guest"
	n := uint64(0)
	c.Random = func() uint64 { n++; return n*second + second/2 } // no jitter
	c.Send = l.receive
	c.Bound = func(b Lease) { l.bound = append(l.bound, b) }
	c.Lost = func() { l.lost++ }
	l.extra = l.extra.Append(wire.OptSubnetMask, 255, 255, 255, 0).AppendAddr(wire.OptRouter, serverIP).
		Append(wire.OptDNS, 10, 0, 0, 53, 10, 0, 0, 54).Append(wire.OptDomain, []byte("example.org\x00")...).
		Append(wire.OptMTU, 0x05, 0x78)
	return l
}

// receive is the server.
func (l *lab) receive(message []byte, src, dst netip.Addr) {
	h, o, ok := wire.ParseDHCP(message)
	if !ok || h.Op() != wire.DHCPBootRequest || h.ClientMAC() != clientMAC {
		l.t.Fatalf("malformed message %x", message)
	}
	if name, _ := o.Get(wire.OptHostname); string(name) != "guest" {
		l.t.Errorf("host name %q", name)
	}
	l.seen = append(l.seen, o.Type())
	l.at = append(l.at, (l.now-l.start+second/2)/second)
	l.dst = append(l.dst, dst)
	if l.deaf {
		return
	}
	reply := wire.DHCPOffer
	if o.Type() == wire.DHCPRequest {
		reply = wire.DHCPAck
		if l.nak {
			reply = wire.DHCPNak
		}
		if want := o.Addr(wire.OptRequestedIP); !h.ClientIP().IsUnspecified() && src != given || want.IsValid() && want != given {
			l.t.Errorf("request for %v from %v", want, src)
		}
	}
	l.answer(h.XID(), reply, given, 3600)
}

func (l *lab) answer(xid uint32, typ wire.DHCPType, addr netip.Addr, seconds uint32) {
	b := make([]byte, wire.DHCPSize)
	wire.DHCP(b).Encode(&wire.DHCPFields{
		Op: wire.DHCPBootReply, XID: xid, ClientIP: nobody, YourIP: addr, MAC: clientMAC,
	})
	o := wire.DHCPOptions(b).Append(wire.OptMessageType, byte(typ)).AppendAddr(wire.OptServerID, serverIP).
		AppendUint32(wire.OptLeaseTime, seconds)
	l.client.Receive(append(o, l.extra.End()...))
}

func (l *lab) pass(seconds int64) {
	for end := l.now + seconds*second; ; {
		next, ok := l.wheel.Next()
		if !ok || next > end {
			l.now = end
			return
		}
		l.now = max(next, l.now)
		l.wheel.Advance(l.now)
	}
}

func (l *lab) want(what string, ok bool) {
	l.t.Helper()
	if !ok {
		l.t.Fatalf("%s: sent %v at %v to %v, %d leases, lost %d times", what, l.seen, l.at, l.dst, len(l.bound), l.lost)
	}
}

func TestLease(t *testing.T) {
	l := newLab(t)
	l.client.Start()
	l.want("discover, request", len(l.seen) == 2 && l.seen[0] == wire.DHCPDiscover && l.seen[1] == wire.DHCPRequest)
	l.want("one lease", len(l.bound) == 1)
	b := l.bound[0]
	if b.Addr.String() != "10.0.0.7/24" || b.Router != serverIP || len(b.DNS) != 2 || b.DNS[1].String() != "10.0.0.54" ||
		b.Domain != "example.org" || b.MTU != 1400 || b.Server != serverIP || b.Seconds != 3600 {
		t.Errorf("lease %+v", b)
	}
	if got, ok := l.client.Lease(); !ok || got.Addr != b.Addr {
		t.Error("Lease")
	}
}

func TestRetransmission(t *testing.T) {
	l := newLab(t)
	l.deaf = true
	l.client.Start()
	l.pass(200)
	want := []int64{0, 1, 3, 7, 15, 31, 63, 127, 191}
	l.want("backoff", len(l.at) == len(want))
	for i := range want {
		l.want("backoff", l.at[i] == want[i] && l.seen[i] == wire.DHCPDiscover)
	}
}

func TestRequestUnanswered(t *testing.T) {
	l := newLab(t)
	l.deaf = true
	l.client.Start()
	l.answer(l.client.xid, wire.DHCPOffer, given, 3600)
	l.pass(16)
	want := []wire.DHCPType{wire.DHCPDiscover, wire.DHCPRequest, wire.DHCPRequest, wire.DHCPRequest, wire.DHCPRequest, wire.DHCPDiscover}
	l.want("back to the start", len(l.seen) >= len(want))
	for i := range want {
		l.want("back to the start", l.seen[i] == want[i])
	}
}

func TestRenewal(t *testing.T) {
	l := newLab(t)
	l.client.Start()
	l.pass(1799)
	l.want("quiet until T1", len(l.seen) == 2)
	l.pass(2)
	l.want("renewal at T1, to the server", len(l.seen) == 3 && l.dst[2] == serverIP && len(l.bound) == 2)
	l.pass(1800)
	l.want("and again", len(l.seen) == 4 && len(l.bound) == 3)
	if n := l.client.Stats; n.PacketsTx != uint64(len(l.seen)) || n.Bound != uint64(len(l.bound)) || n.Lost != uint64(l.lost) || n.PacketsRx == 0 || n.Dropped != 0 {
		t.Errorf("%+v, %d messages, %d leases, lost %d times", n, len(l.seen), len(l.bound), l.lost)
	}
}

func TestRebinding(t *testing.T) {
	l := newLab(t)
	l.client.Start()
	l.deaf = true
	l.pass(3149)
	for i, d := range l.dst[2:] {
		l.want("renewing", d == serverIP && l.at[2+i] >= 1800)
	}
	n := len(l.dst)
	l.pass(3)
	l.want("T2: to all", len(l.dst) == n+1 && l.dst[n] == everybody)
	l.deaf = false
	l.pass(400)
	l.want("another server answers", len(l.bound) == 2 && l.lost == 0)
}

func TestExpiry(t *testing.T) {
	l := newLab(t)
	l.client.Start()
	l.deaf = true
	l.pass(3601)
	l.want("the lease is over", l.lost == 1 && l.seen[len(l.seen)-1] == wire.DHCPDiscover)
	if _, ok := l.client.Lease(); ok {
		t.Error("there still is a lease")
	}
	l.deaf = false
	l.pass(100)
	l.want("a new one", len(l.bound) == 2)
}

func TestNak(t *testing.T) {
	l := newLab(t)
	l.client.Start()
	l.nak = true
	l.pass(1801)
	l.want("NAK ends the lease", l.lost == 1)
	l.client.Stop()
	l = newLab(t)
	l.deaf = true
	l.client.Start()
	l.answer(l.client.xid, wire.DHCPOffer, given, 3600)
	l.answer(l.client.xid, wire.DHCPNak, given, 0)
	l.pass(9)
	l.want("NAK: a pause", len(l.seen) == 2)
	l.pass(2)
	l.want("then from the start", l.seen[2] == wire.DHCPDiscover && l.lost == 0)
}

func TestForEver(t *testing.T) {
	l := newLab(t)
	l.deaf = true
	l.client.Start()
	l.answer(l.client.xid, wire.DHCPOffer, given, 0xffffffff)
	l.answer(l.client.xid, wire.DHCPAck, given, 0xffffffff)
	l.pass(1 << 30)
	l.want("never renewed", len(l.seen) == 2 && len(l.bound) == 1)
}

func TestStop(t *testing.T) {
	l := newLab(t)
	l.deaf = true
	l.client.Start()
	l.client.Stop()
	l.pass(1000)
	l.want("silence", len(l.seen) == 1)
}

func TestNotForUs(t *testing.T) {
	l := newLab(t)
	l.deaf = true
	l.client.Start()
	l.answer(l.client.xid+1, wire.DHCPOffer, given, 3600)
	l.answer(l.client.xid, wire.DHCPAck, given, 3600)                             // nothing was requested
	l.answer(l.client.xid, wire.DHCPOffer, netip.MustParseAddr("224.0.0.1"), 100) // no host's address
	l.client.Receive(nil)
	l.want("nothing happens", len(l.seen) == 1 && len(l.bound) == 0)
}

func TestOptions(t *testing.T) {
	a := netip.MustParseAddr
	for _, c := range []struct {
		addr string
		mask []byte
		want int
	}{
		{"10.1.1.1", []byte{255, 255, 240, 0}, 20}, {"10.1.1.1", []byte{255, 255, 255, 255}, 32}, {"10.1.1.1", nil, 8},
		{"172.16.0.1", []byte{255, 0, 255, 0}, 16}, {"192.168.1.1", []byte{0, 0, 0, 0}, 24},
	} {
		var o wire.DHCPOptions
		if c.mask != nil {
			o = o.Append(wire.OptSubnetMask, c.mask...)
		}
		if got := maskBits(a(c.addr), o.End()); got != c.want {
			t.Errorf("%s %v: /%d, want /%d", c.addr, c.mask, got, c.want)
		}
	}
	for in, want := range map[string]string{"example.org": "example.org", "a\nnameserver 6.6.6.6": "", "x\x00y": "x", "a b": "", "#": ""} {
		if got := domain([]byte(in)); got != want {
			t.Errorf("domain %q: %q, want %q", in, got, want)
		}
	}
}

// FuzzReceive gives a client arbitrary answers.
func FuzzReceive(f *testing.F) {
	f.Fuzz(func(t *testing.T, stage uint8, options []byte) {
		l := newLab(t)
		l.deaf = true
		l.client.Start()
		for i := uint8(0); i <= stage%4; i++ {
			b := make([]byte, wire.DHCPSize)
			wire.DHCP(b).Encode(&wire.DHCPFields{
				Op: wire.DHCPBootReply, XID: l.client.xid, ClientIP: nobody, YourIP: given, MAC: clientMAC,
			})
			l.client.Receive(append(b, options...))
			if i == 0 {
				l.answer(l.client.xid, wire.DHCPOffer, given, 3600)
			}
			l.pass(2000)
		}
		if lease, ok := l.client.Lease(); ok && (!usable(lease.Addr.Addr()) || !lease.Addr.IsValid()) {
			t.Errorf("lease %+v", lease)
		}
	})
}
