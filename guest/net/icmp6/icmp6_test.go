package icmp6

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ping"
	"ukvm.dev/guest/net/wire"
)

var (
	ourIP, peerIP = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	farIP         = netip.MustParseAddr("2001:db8:f::1")
	nobody        = netip.IPv6Unspecified()
	siteGroup     = netip.MustParseAddr("ff05::1")
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
	ndp, mld int
	paths    map[netip.Addr]int
}

func newLab(t testing.TB) *lab {
	l := &lab{now: 1e9, paths: map[netip.Addr]int{}}
	copyOf := func(f *packet.Failure) packet.Failure {
		c := *f
		c.Header = bytes.Clone(f.Header)
		return c
	}
	l.box = Box{
		Send: func(p *packet.Packet) {
			b := make([]byte, p.Len())
			p.CopyOut(b)
			s := wire.Pseudo(p.Src, p.Dst, wire.ProtoICMPv6, len(b))
			if s.Add(b); s.Checksum() != 0 {
				t.Errorf("a wrong checksum: %x", b)
			}
			l.sent = append(l.sent, sent{p.Src, p.Dst, b})
			p.Release()
		},
		ToTCP:   func(f *packet.Failure) { l.tcp = append(l.tcp, copyOf(f)) },
		ToUDP:   func(f *packet.Failure) { l.udp = append(l.udp, copyOf(f)) },
		ToNDP:   func(p *packet.Packet) { l.ndp++; p.Release() },
		ToMLD:   func(p *packet.Packet) { l.mld++; p.Release() },
		TooBig:  func(dst netip.Addr, mtu int) { l.paths[dst] = mtu },
		Source:  func(netip.Addr, int) netip.Addr { return ourIP },
		IsLocal: func(a netip.Addr) bool { return a == ourIP },
		Now:     func() int64 { return l.now }, Pool: &l.pool,
	}
	return l
}

// receive makes the box receive a message with a right checksum.
func (l *lab) receive(src, dst netip.Addr, typ, code uint8, rest uint32, data []byte) {
	p := l.pool.Receive(wire.ICMPSize + len(data))
	p.Truncate(wire.ICMPSize + len(data))
	wire.ICMP(p.Bytes()).Encode(typ, code, rest)
	copy(p.Bytes()[wire.ICMPSize:], data)
	Checksum(p, src, dst)
	p.Src, p.Dst, p.Link, p.Proto, p.Broadcast = src, dst, 2, wire.ProtoICMPv6, dst.IsMulticast()
	l.box.Receive(p)
}

// quote makes a packet of ours, with a fragment or options header in front of the transport's if asked.
func quote(src netip.Addr, proto uint8, ext []byte) []byte {
	next := proto
	if ext != nil {
		next = ext[0]
		ext[0] = proto
	}
	b := make([]byte, wire.IPv6Size)
	wire.IPv6(b).Encode(&wire.IPv6Fields{PayloadLen: len(ext) + 8, NextHeader: next, HopLimit: 60, Src: src, Dst: farIP})
	return append(append(b, ext...), 1, 2, 3, 4, 5, 6, 7, 8)
}

func TestEcho(t *testing.T) {
	for _, c := range []struct {
		name     string
		src, dst netip.Addr
		from     netip.Addr // of the answer; zero: none
	}{
		{"to us", peerIP, ourIP, ourIP},
		{"to all nodes", peerIP, wire.AllNodes, ourIP},
		{"to a group of the site", peerIP, siteGroup, netip.Addr{}},
		{"from nobody", nobody, ourIP, netip.Addr{}},
	} {
		l := newLab(t)
		l.receive(c.src, c.dst, wire.ICMP6Echo, 0, 0x12345678, []byte("hello"))
		if !c.from.IsValid() {
			if len(l.sent) != 0 {
				t.Errorf("%s: answered", c.name)
			}
			continue
		}
		if len(l.sent) != 1 || l.sent[0].src != c.from || l.sent[0].dst != c.src {
			t.Fatalf("%s: %+v", c.name, l.sent)
		}
		d := l.sent[0].data
		if h := wire.ICMP(d); h.Type() != wire.ICMP6EchoReply || h.Rest() != 0x12345678 || string(d[8:]) != "hello" {
			t.Errorf("%s: %x", c.name, d)
		}
	}
	l := newLab(t)
	for range 2 * EchoBurst {
		l.receive(peerIP, ourIP, wire.ICMP6Echo, 0, 1, nil)
	}
	if len(l.sent) != EchoBurst || l.box.Stats.Throttled != EchoBurst {
		t.Errorf("%d answers, %+v", len(l.sent), l.box.Stats)
	}
}

func TestChecksum(t *testing.T) {
	l := newLab(t)
	p := l.pool.Linear(wire.ICMPSize)
	wire.ICMP(p.Bytes()).Encode(wire.ICMP6Echo, 0, 1)
	p.Src, p.Dst = peerIP, ourIP
	l.box.Receive(p)
	if len(l.sent) != 0 || l.box.Stats.Dropped != 1 {
		t.Error("a message with a wrong checksum was answered")
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name      string
		typ, code uint8
		rest      uint32
		err       error
		hard      bool
		mtu       int
	}{
		{"no route", wire.ICMP6Unreachable, wire.Unreach6NoRoute, 0, packet.ErrNetUnreachable, false, 0},
		{"address", wire.ICMP6Unreachable, wire.Unreach6Address, 0, packet.ErrHostUnreachable, false, 0},
		{"port", wire.ICMP6Unreachable, wire.Unreach6Port, 0, packet.ErrRefused, true, 0},
		{"prohibited", wire.ICMP6Unreachable, wire.Unreach6Prohibited, 0, packet.ErrHostUnreachable, true, 0},
		{"too big", wire.ICMP6TooBig, 0, 1400, packet.ErrTooBig, false, 1400},
		{"too big for any link", wire.ICMP6TooBig, 0, 68, packet.ErrTooBig, false, 1280},
		{"too big, nonsense", wire.ICMP6TooBig, 0, 1 << 31, packet.ErrTooBig, false, 65535},
		{"hop limit", wire.ICMP6TimeExceeded, 0, 0, packet.ErrHostUnreachable, false, 0},
		{"next header", wire.ICMP6Parameter, wire.Param6NextHeader, 6, packet.ErrProtoUnreachable, true, 0},
	} {
		for proto, ext := range map[uint8][]byte{
			wire.ProtoTCP: nil,
			wire.ProtoUDP: {wire.ProtoFragment, 0, 0, 1, 0, 0, 0, 1},
		} {
			l := newLab(t)
			l.receive(peerIP, ourIP, c.typ, c.code, c.rest, quote(ourIP, proto, bytes.Clone(ext)))
			got := append(l.tcp, l.udp...)
			if len(got) != 1 {
				t.Errorf("%s: %d failures", c.name, len(got))
				continue
			}
			f := got[0]
			if f.Proto != proto || f.Src != ourIP || f.Dst != farIP || !errors.Is(f.Err, c.err) || f.Hard != c.hard || f.MTU != c.mtu ||
				!bytes.Equal(f.Header, []byte{1, 2, 3, 4, 5, 6, 7, 8}) {
				t.Errorf("%s: %+v", c.name, f)
			}
			if want := c.mtu != 0 && proto == wire.ProtoUDP; (l.paths[farIP] != 0) != want || want && l.paths[farIP] != c.mtu {
				t.Errorf("%s: path MTUs %v", c.name, l.paths)
			}
		}
	}
	for name, q := range map[string][]byte{
		"not ours":         quote(peerIP, wire.ProtoUDP, nil),
		"cut off":          quote(ourIP, wire.ProtoUDP, nil)[:47],
		"a later fragment": quote(ourIP, wire.ProtoUDP, []byte{wire.ProtoFragment, 0, 1, 0, 0, 0, 0, 1}),
		"nothing":          nil,
	} {
		l := newLab(t)
		l.receive(peerIP, ourIP, wire.ICMP6Unreachable, wire.Unreach6Port, 0, q)
		if len(l.tcp)+len(l.udp) != 0 || l.box.Stats.Dropped != 1 {
			t.Errorf("%s: told the transport", name)
		}
	}
}

func TestErrors(t *testing.T) {
	received := func(l *lab, src, dst netip.Addr, proto uint8, payload []byte) *packet.Packet {
		p := l.pool.Receive(wire.IPv6Size + len(payload))
		p.Truncate(wire.IPv6Size + len(payload))
		wire.IPv6(p.Bytes()).Encode(&wire.IPv6Fields{PayloadLen: len(payload), NextHeader: proto, Src: src, Dst: dst})
		copy(p.Bytes()[wire.IPv6Size:], payload)
		p.Src, p.Dst, p.Link, p.Proto, p.Broadcast = src, dst, 2, proto, dst.IsMulticast()
		p.MarkNetwork()
		p.Trim(wire.IPv6Size)
		return p
	}
	l := newLab(t)
	l.box.Unreachable(received(l, peerIP, ourIP, wire.ProtoUDP, make([]byte, 3000)), wire.Unreach6Port)
	if len(l.sent) != 1 || len(l.sent[0].data) != wire.IPv6MinMTU-wire.IPv6Size || l.sent[0].dst != peerIP {
		t.Fatalf("%d errors, the first of %d bytes", len(l.sent), len(l.sent[0].data))
	}
	for _, c := range []struct {
		name     string
		src, dst netip.Addr
		proto    uint8
		payload  byte
		code     uint8
		want     int
	}{
		{"to a group", peerIP, wire.AllNodes, wire.ProtoUDP, 0, wire.Param6NextHeader, 0},
		{"an option, to a group", peerIP, wire.AllNodes, wire.ProtoUDP, 0, wire.Param6Option, 1},
		{"from nobody", nobody, ourIP, wire.ProtoUDP, 0, wire.Param6NextHeader, 0},
		{"about an error", peerIP, ourIP, wire.ProtoICMPv6, wire.ICMP6Unreachable, wire.Param6NextHeader, 0},
		{"about a redirect", peerIP, ourIP, wire.ProtoICMPv6, wire.NDPRedirect, wire.Param6NextHeader, 0},
		{"about an echo", peerIP, ourIP, wire.ProtoICMPv6, wire.ICMP6Echo, wire.Param6NextHeader, 1},
	} {
		l := newLab(t)
		l.box.Problem(received(l, c.src, c.dst, c.proto, bytes.Repeat([]byte{c.payload}, 16)), c.code, 6)
		if len(l.sent) != c.want {
			t.Errorf("%s: %d errors, want %d", c.name, len(l.sent), c.want)
		}
	}
	for range 100 {
		l.box.TimeExceeded(received(l, peerIP, ourIP, wire.ProtoUDP, make([]byte, 16)))
	}
	if len(l.sent) != ErrorBurst || l.box.Stats.Throttled == 0 {
		t.Errorf("%d errors at once", len(l.sent))
	}
}

// FuzzReceive feeds messages with right checksums, and errors about them.
func FuzzReceive(f *testing.F) {
	f.Add(uint8(wire.ICMP6Echo), uint8(0), uint32(1), []byte("hello"))
	f.Add(uint8(wire.ICMP6TooBig), uint8(0), uint32(1300), quote(ourIP, wire.ProtoUDP, nil))
	f.Add(uint8(wire.NDPNeighbourSolicit), uint8(0), uint32(0), make([]byte, 16))
	f.Fuzz(func(t *testing.T, typ, code uint8, rest uint32, data []byte) {
		if len(data) > 60000 {
			return
		}
		l := newLab(t)
		sockets := ping.Box{V6: true, Down: l.box.Send, Random: func() uint64 { return 9 }, Pool: &l.pool}
		l.box.ToPing, l.box.Pinged, l.box.Copy = sockets.Receive, sockets.Fail, sockets.Copy
		for _, e := range []*ping.Endpoint{{ID: 7, Peer: peerIP}, {Raw: true}} {
			e.Inbox.Limit = 1 << 20
			if err := sockets.Open(e); err != nil {
				t.Fatal(err)
			}
		}
		l.receive(peerIP, ourIP, typ, code, rest, data)
		if len(l.sent)+len(l.tcp)+len(l.udp)+l.ndp+l.mld+int(l.box.Stats.Dropped) > 1 {
			t.Errorf("type %d: more than one thing came of it", typ)
		}
		for _, m := range l.paths {
			if m < wire.IPv6MinMTU || m > wire.IPv6MaxPayload {
				t.Errorf("MTU %d", m)
			}
		}
	})
}
