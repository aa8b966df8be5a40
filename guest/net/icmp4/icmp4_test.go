package icmp4

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ping"
	"ukvm.dev/guest/net/wire"
)

var (
	ourIP, peerIP = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	allIP         = netip.MustParseAddr("10.0.0.255")
	groupIP       = netip.MustParseAddr("224.0.0.1")
)

type sent struct {
	src, dst netip.Addr
	data     []byte
}

// lab is a box and its surroundings.
type lab struct {
	box      Box
	pool     packet.Pool
	now      int64
	sent     []sent
	tcp, udp []packet.Failure
}

func newLab() *lab {
	l := &lab{now: 1e9}
	copyOf := func(f *packet.Failure) packet.Failure {
		c := *f
		c.Header = bytes.Clone(f.Header)
		return c
	}
	l.box = Box{
		Send: func(p *packet.Packet) {
			b := make([]byte, p.Len())
			p.CopyOut(b)
			l.sent = append(l.sent, sent{p.Src, p.Dst, b})
			p.Release()
		},
		ToTCP:       func(f *packet.Failure) { l.tcp = append(l.tcp, copyOf(f)) },
		ToUDP:       func(f *packet.Failure) { l.udp = append(l.udp, copyOf(f)) },
		IsBroadcast: func(a netip.Addr) bool { return a == allIP },
		IsLocal:     func(a netip.Addr) bool { return a == ourIP },
		Now:         func() int64 { return l.now }, Pool: &l.pool,
	}
	return l
}

// message makes an ICMP message with a right checksum.
func message(typ, code uint8, rest uint32, data []byte) []byte {
	b := append([]byte{typ, code, 0, 0, byte(rest >> 24), byte(rest >> 16), byte(rest >> 8), byte(rest)}, data...)
	sum := wire.Checksum(b)
	b[2], b[3] = byte(sum>>8), byte(sum)
	return b
}

// datagram is an IP packet of ours, as an error quotes it.
func datagram(proto uint8, src, dst netip.Addr, offset int, payload []byte) []byte {
	b := make(wire.IPv4, wire.IPv4Size, wire.IPv4Size+len(payload))
	b.Encode(&wire.IPv4Fields{TotalLen: wire.IPv4Size + len(payload), Offset: offset, TTL: 64, Proto: proto, Src: src, Dst: dst})
	b.SetChecksum()
	return append(b, payload...)
}

// arrived is a packet as the IP box hands it up: with its IP header in front of what Bytes has.
func (l *lab) arrived(src, dst netip.Addr, proto uint8, payload []byte) *packet.Packet {
	whole := datagram(proto, src, dst, 0, payload)
	p := l.pool.Receive(len(whole))
	p.Truncate(copy(p.Bytes(), whole))
	p.MarkNetwork()
	p.Trim(wire.IPv4Size)
	p.Src, p.Dst, p.Link, p.Proto = src, dst, 2, proto
	p.Broadcast = dst == allIP || dst.IsMulticast()
	return p
}

func (l *lab) receive(b []byte) { l.box.Receive(l.arrived(peerIP, ourIP, wire.ProtoICMP, b)) }

// TestEcho answers with the same identifier, number and data, of any length, and not to everyone.
func TestEcho(t *testing.T) {
	l := newLab()
	r := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{0, 1, 2, 55, 56, 1472, 9000, 65000} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		id := r.Uint32()
		l.receive(message(wire.ICMPEcho, 0, id, data))
		s := l.sent[len(l.sent)-1]
		if s.src != ourIP || s.dst != peerIP || !bytes.Equal(s.data, message(wire.ICMPEchoReply, 0, id, data)) {
			t.Fatalf("%d bytes: %v to %v, %x", n, s.src, s.dst, s.data[:8])
		}
		l.now += 1e9
	}
	n := len(l.sent)
	echo := message(wire.ICMPEcho, 0, 1, nil)
	for _, a := range [][2]netip.Addr{{peerIP, allIP}, {peerIP, groupIP}, {allIP, ourIP}, {netip.IPv4Unspecified(), ourIP}} {
		l.box.Receive(l.arrived(a[0], a[1], wire.ProtoICMP, echo))
	}
	for i := range echo { // a wrong checksum
		bad := bytes.Clone(echo)
		bad[i] ^= 1
		l.receive(bad)
	}
	l.receive(echo[:7])
	l.receive(message(13, 0, 0, nil)) // a timestamp request
	if len(l.sent) != n {
		t.Errorf("%d answers that nobody should get", len(l.sent)-n)
	}
}

// TestRates: what others can make us send is bounded, at first by the burst, then by the rate.
func TestRates(t *testing.T) {
	l := newLab()
	echo := message(wire.ICMPEcho, 0, 1, nil)
	flood := func(n int) int {
		before := len(l.sent)
		for range n {
			l.receive(echo)
		}
		return len(l.sent) - before
	}
	if n := flood(2 * EchoBurst); n != EchoBurst {
		t.Errorf("%d answers at once", n)
	}
	l.now += 10e6
	if n := flood(EchoBurst); n != EchoRate/100 {
		t.Errorf("%d answers after 10 ms", n)
	}
	l.now += 3600e9
	if n := flood(2 * EchoBurst); n != EchoBurst {
		t.Errorf("%d answers after an hour", n)
	}
	before := len(l.sent)
	for range 2 * ErrorBurst {
		l.box.Unreachable(l.arrived(peerIP, ourIP, wire.ProtoUDP, make([]byte, 20)), wire.UnreachPort)
	}
	if n := len(l.sent) - before; n != ErrorBurst {
		t.Errorf("%d errors at once", n)
	}
	l.now += 20e6
	l.box.TimeExceeded(l.arrived(peerIP, ourIP, wire.ProtoUDP, make([]byte, 20)))
	if n := len(l.sent) - before; n != ErrorBurst+1 {
		t.Error("no error after 20 ms")
	}
	if l.box.Stats.Throttled == 0 {
		t.Error("nothing is counted")
	}
}

// TestErrors: they quote what they are about, and are not sent about what RFC 1122 §3.2.2 names.
func TestErrors(t *testing.T) {
	l := newLab()
	payload := bytes.Repeat([]byte("0123456789"), 200)
	p := l.arrived(peerIP, ourIP, wire.ProtoUDP, payload)
	quote := bytes.Clone(p.Network())
	l.box.Unreachable(p, wire.UnreachPort)
	want := message(wire.ICMPUnreachable, wire.UnreachPort, 0, quote[:min(len(quote), errorMax)])
	if len(l.sent) != 1 || l.sent[0].src != ourIP || l.sent[0].dst != peerIP || !bytes.Equal(l.sent[0].data, want) {
		t.Fatalf("%v", l.sent)
	}
	if n := wire.IPv4Size + len(want); n > 576 {
		t.Errorf("an error of %d bytes", n)
	}
	l.box.TimeExceeded(l.arrived(peerIP, ourIP, wire.ProtoTCP, payload[:30]))
	if s := l.sent[1].data; s[0] != wire.ICMPTimeExceeded || s[1] != wire.TimeReassembly {
		t.Errorf("%x", s[:8])
	}
	// About a ping there may be an error, about an error there may not.
	l.box.Unreachable(l.arrived(peerIP, ourIP, wire.ProtoICMP, message(wire.ICMPEcho, 0, 0, nil)), wire.UnreachHost)
	if len(l.sent) != 3 {
		t.Error("no error about an echo request")
	}
	about := func(src, dst netip.Addr, proto uint8, b []byte) *packet.Packet { return l.arrived(src, dst, proto, b) }
	noHeader := l.pool.Linear(100)
	noHeader.Src, noHeader.Dst = peerIP, ourIP
	fragment := l.arrived(peerIP, ourIP, wire.ProtoUDP, payload[:30])
	wire.IPv4(fragment.Network()[:wire.IPv4Size]).SetFragment(8, wire.IPv4MF)
	for name, p := range map[string]*packet.Packet{
		"an error":           about(peerIP, ourIP, wire.ProtoICMP, message(wire.ICMPUnreachable, 0, 0, nil)),
		"a reply":            about(peerIP, ourIP, wire.ProtoICMP, message(wire.ICMPEchoReply, 0, 0, nil)),
		"a stump":            about(peerIP, ourIP, wire.ProtoICMP, []byte{8}),
		"a broadcast":        about(peerIP, allIP, wire.ProtoUDP, payload[:30]),
		"a group":            about(peerIP, groupIP, wire.ProtoUDP, payload[:30]),
		"a packet of nobody": about(netip.IPv4Unspecified(), ourIP, wire.ProtoUDP, payload[:30]),
		"one of all":         about(allIP, ourIP, wire.ProtoUDP, payload[:30]),
		"one of a group":     about(groupIP, ourIP, wire.ProtoUDP, payload[:30]),
		"a later fragment":   fragment,
		"no IP packet":       noHeader,
	} {
		if l.box.Unreachable(p, wire.UnreachPort); len(l.sent) != 3 {
			t.Fatalf("an error about %s", name)
		}
	}
}

// TestFailures: each error becomes the news that RFC 1122 and Linux make of it, for the transport whose packet it was.
func TestFailures(t *testing.T) {
	head := []byte{0, 80, 1, 0, 1, 2, 3, 4}
	for _, c := range []struct {
		typ, code uint8
		rest      uint32
		err       error
		hard      bool
		mtu       int
	}{
		{3, 0, 0, packet.ErrNetUnreachable, false, 0},
		{3, 1, 0, packet.ErrHostUnreachable, false, 0},
		{3, 2, 0, packet.ErrProtoUnreachable, true, 0},
		{3, 3, 0, packet.ErrRefused, true, 0},
		{3, 4, 1400, packet.ErrTooBig, false, 1400},
		{3, 4, 0xffff0240, packet.ErrTooBig, false, 576},
		{3, 5, 0, packet.ErrHostUnreachable, false, 0},
		{3, 6, 0, packet.ErrNetUnreachable, true, 0},
		{3, 7, 0, packet.ErrHostUnreachable, true, 0},
		{3, 9, 0, packet.ErrNetUnreachable, true, 0},
		{3, 10, 0, packet.ErrHostUnreachable, true, 0},
		{3, 11, 0, packet.ErrHostUnreachable, false, 0},
		{3, 12, 0, packet.ErrHostUnreachable, false, 0},
		{3, 13, 0, packet.ErrHostUnreachable, true, 0},
		{11, 0, 0, packet.ErrHostUnreachable, false, 0},
		{12, 0, 0, packet.ErrProtoUnreachable, true, 0},
	} {
		for _, proto := range []uint8{wire.ProtoTCP, wire.ProtoUDP} {
			l := newLab()
			l.receive(message(c.typ, c.code, c.rest, datagram(proto, ourIP, peerIP, 0, head)))
			got := l.tcp
			if proto == wire.ProtoUDP {
				got = l.udp
			}
			if len(l.tcp)+len(l.udp) != 1 || len(got) != 1 {
				t.Fatalf("type %d, code %d: %d and %d failures", c.typ, c.code, len(l.tcp), len(l.udp))
			}
			f := got[0]
			if f.Err != c.err || f.Hard != c.hard || f.MTU != c.mtu || f.Src != ourIP || f.Dst != peerIP || !bytes.Equal(f.Header, head) {
				t.Errorf("type %d, code %d: %+v", c.typ, c.code, f)
			}
		}
	}
	// Nothing follows from what is not about a packet of ours, or not enough of one.
	l := newLab()
	for name, quote := range map[string][]byte{
		"nothing":                  nil,
		"half a header":            datagram(wire.ProtoTCP, ourIP, peerIP, 0, nil)[:19],
		"seven bytes":              datagram(wire.ProtoTCP, ourIP, peerIP, 0, head[:7]),
		"a packet of someone else": datagram(wire.ProtoTCP, peerIP, ourIP, 0, head),
		"a later fragment":         datagram(wire.ProtoTCP, ourIP, peerIP, 8, head),
		"another protocol":         datagram(99, ourIP, peerIP, 0, head),
	} {
		if l.receive(message(3, 3, 0, quote)); len(l.tcp)+len(l.udp) != 0 {
			t.Errorf("%s: a failure", name)
		}
	}
}

// FuzzReceive gives the box arbitrary messages. It answers no message with more than one, never an error with an error,
// and never with more than it got.
func FuzzReceive(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte, fix bool, from uint8) {
		l := newLab()
		sockets := ping.Box{Down: l.box.Send, Random: func() uint64 { return 9 }, Pool: &l.pool}
		l.box.ToPing, l.box.Pinged, l.box.Copy = sockets.Receive, sockets.Fail, sockets.Copy
		for _, e := range []*ping.Endpoint{{ID: 7, Peer: peerIP}, {Raw: true}} {
			e.Inbox.Limit = 1 << 20
			if err := sockets.Open(e); err != nil {
				t.Fatal(err)
			}
		}
		b = b[:min(len(b), 60000)]
		if fix && len(b) >= wire.ICMPSize { // a right checksum, or little gets further
			b = message(b[0], b[1], uint32(b[4])<<24|uint32(b[5])<<16|uint32(b[6])<<8|uint32(b[7]), b[8:])
		}
		src := []netip.Addr{peerIP, ourIP, allIP, groupIP, netip.IPv4Unspecified()}[from%5]
		l.box.Receive(l.arrived(src, ourIP, wire.ProtoICMP, b))
		if len(l.sent) > 1 || len(l.tcp)+len(l.udp) > 1 {
			t.Fatalf("%d answers, %d failures", len(l.sent), len(l.tcp)+len(l.udp))
		}
		for _, s := range l.sent {
			if len(s.data) != len(b) || b[0] != wire.ICMPEcho || s.data[0] != wire.ICMPEchoReply || wire.Checksum(s.data) != 0 {
				t.Errorf("%x was answered with %x", b, s.data)
			}
		}
		for _, f := range append(l.tcp, l.udp...) {
			if len(f.Header) < 8 || f.Err == nil || f.Src != ourIP || f.MTU < 0 || f.MTU > 65535 {
				t.Errorf("%+v", f)
			}
		}
	})
}
