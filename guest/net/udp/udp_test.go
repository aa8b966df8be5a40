package udp

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/wire"
)

// TestSend checks what leaves the box, bit by bit, for payloads from nothing to the longest.
func TestSend(t *testing.T) {
	l := newLab(t)
	e := l.open(netip.Addr{}, 7777, nil)
	e.TTL, e.TOS, e.DF = 9, 4, false
	for _, n := range []int{0, 1, 2, 7, 100, 1472, 1473, 40000, 65000, MaxPayload} {
		data := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
		if err := e.Send(data, port(peerIP, 53)); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		p := l.sent[len(l.sent)-1]
		b := make([]byte, p.Len())
		p.CopyOut(b)
		h, ok := wire.ParseUDP(b)
		if !ok || h.SrcPort() != 7777 || h.DstPort() != 53 || h.Len() != 8+n || !bytes.Equal(b[8:], data) {
			t.Fatalf("%d bytes: %x", n, b[:8])
		}
		// The checksum holds the pseudo header's sum, for the card or the IP box to complete.
		sum := wire.Pseudo(ourIP, peerIP, wire.ProtoUDP, 8+n)
		if h.Checksum() != sum.Fold() || p.Net.CsumOffset != wire.UDPChecksumOffset {
			t.Errorf("%d bytes: partial checksum %#x, want %#x", n, h.Checksum(), sum.Fold())
		}
		if p.Src != ourIP || p.Dst != peerIP || p.Link != 2 || p.Proto != wire.ProtoUDP || p.TTL != 9 || p.TOS != 4 || p.DF {
			t.Errorf("%+v", p)
		}
		p.Release()
	}
	e.DF = true
	for _, c := range []struct {
		n    int
		to   netip.AddrPort
		want error
	}{
		{1472, port(peerIP, 1), nil},
		{1473, port(peerIP, 1), packet.ErrTooBig},
		{MaxPayload + 1, port(peerIP, 1), packet.ErrTooBig},
		{1, netip.AddrPort{}, ErrDestination},
		{1, port(netip.MustParseAddr("192.0.2.1"), 1), route.ErrNoRoute},
		{1, port(allIP, 1), ErrBroadcast},
		{1, port(groupIP, 1), nil},
	} {
		if err := e.Send(make([]byte, c.n), c.to); !errors.Is(err, c.want) {
			t.Errorf("%d bytes to %v: %v, want %v", c.n, c.to, err, c.want)
		}
	}
	if p := l.sent[len(l.sent)-1]; p.TTL != 1 {
		t.Errorf("a datagram to a group may go %d hops", p.TTL)
	}
	e.Broadcast = true
	if err := e.Send(nil, port(allIP, 1)); err != nil {
		t.Error(err)
	}
	// An end point without a port gets one.
	u := new(Endpoint)
	l.box.Open(u, 1000)
	if err := u.Send(nil, port(peerIP, 1)); err != nil {
		t.Error(err)
	}
	if _, p := u.Local(); p < EphemeralFirst || p > EphemeralLast {
		t.Errorf("port %d", p)
	}
}

// TestMalformed counts and drops what is no datagram.
func TestMalformed(t *testing.T) {
	l := newLab(t)
	e := l.open(netip.Addr{}, 53, nil)
	good := func() *packet.Packet { return l.datagram(port(peerIP, 9), port(ourIP, 53), "hello") }
	for name, spoil := range map[string]func(p *packet.Packet){
		"too short":          func(p *packet.Packet) { p.Truncate(7) },
		"length too long":    func(p *packet.Packet) { p.Bytes()[5]++ },
		"length too short":   func(p *packet.Packet) { p.Bytes()[5] = 7 },
		"checksum":           func(p *packet.Packet) { p.Bytes()[7] ^= 1 },
		"payload":            func(p *packet.Packet) { p.Bytes()[9] ^= 1 },
		"port":               func(p *packet.Packet) { p.Bytes()[1] ^= 1 },
		"other destination":  func(p *packet.Packet) { p.Dst = peerIP },
		"length of checksum": func(p *packet.Packet) { p.Bytes()[5]-- },
	} {
		before := l.box.Stats.PacketsDropped
		p := good()
		spoil(p)
		if l.box.Receive(p); l.box.Stats.PacketsDropped != before+1 || e.Inbox.Len() != 0 {
			t.Errorf("%s: accepted", name)
		}
	}
	// Bytes behind the datagram are no part of it; a checksum of 0 is none.
	p := l.pool.Linear(20)
	clear(p.Bytes())
	wire.UDP(p.Bytes()[:8]).Encode(9, 53, 8+5, 0)
	copy(p.Bytes()[8:], "helloXXXXXXX")
	p.Src, p.Dst, p.Link = peerIP, ourIP, 2
	if l.box.Receive(p); take(e) != "hello" {
		t.Error("padding, or no checksum")
	}
	if l.box.Receive(l.datagram(port(peerIP, 9), port(ourIP, 54), "x")); l.none != 1 || l.box.Stats.NoPort != 1 {
		t.Error("nobody has the port, and the sender does not hear of it")
	}
}

// TestBroadcast: every end point of the port gets a copy, of a group's only its members; nobody answers that there is
// no port.
func TestBroadcast(t *testing.T) {
	l := newLab(t)
	share := func(e *Endpoint) { e.ReuseAddr = true }
	a, b := l.open(netip.Addr{}, 5353, share), l.open(netip.Addr{}, 5353, share)
	bound := l.open(ourIP, 5353, share)
	l.receive(port(peerIP, 1), port(allIP, 5353), "all")
	if take(a) != "all" || take(b) != "all" || take(bound) != "" {
		t.Error("a broadcast")
	}
	if !a.Joined(groupIP, 2) || a.Joined(groupIP, 2) {
		t.Error("join")
	}
	l.receive(port(peerIP, 1), port(groupIP, 5353), "group")
	if take(a) != "group" || take(b) != "" {
		t.Error("a group's datagram")
	}
	if !a.Left(groupIP, 2) || a.Left(groupIP, 2) {
		t.Error("leave")
	}
	l.receive(port(peerIP, 1), port(groupIP, 5353), "group")
	if take(a) != "" || l.none != 0 {
		t.Error("a group that was left, or an answer to a group")
	}
	for i := range MaxGroups + 1 {
		if ok := a.Joined(netip.AddrFrom4([4]byte{239, 0, 0, byte(i)}), 2); ok != (i < MaxGroups) {
			t.Errorf("group %d: %v", i, ok)
		}
	}
	n := 0
	a.Groups(func(netip.Addr, int) { n++ })
	if n != MaxGroups {
		t.Errorf("%d groups", n)
	}
}

// TestFailures reach connected end points, and only for datagrams that they can have sent.
func TestFailures(t *testing.T) {
	l := newLab(t)
	e, other := l.open(netip.Addr{}, 1000, nil), l.open(netip.Addr{}, 1001, nil)
	var events ready.Events
	e.Upcall = func(r ready.Events) { events |= r }
	fail := func(src, dst netip.AddrPort, hard bool) {
		h := make(wire.UDP, 8)
		h.Encode(src.Port(), dst.Port(), 8, 0)
		l.box.Fail(&packet.Failure{Src: src.Addr(), Dst: dst.Addr(), Proto: wire.ProtoUDP, Header: h, Err: packet.ErrRefused, Hard: hard})
	}
	ours, theirs := port(ourIP, 1000), port(peerIP, 53)
	if fail(ours, theirs, true); e.Err != nil {
		t.Error("an end point without a peer has heard of a failure")
	}
	if err := e.Connect(theirs); err != nil {
		t.Fatal(err)
	}
	fail(ours, port(peerIP, 54), true)
	fail(ours, port(allIP, 53), true)
	fail(port(allIP, 1000), theirs, true)
	fail(ours, theirs, false)
	l.box.Fail(&packet.Failure{Header: make([]byte, 3), Hard: true})
	if e.Err != nil || events != 0 {
		t.Error("an end point has heard of what is not its")
	}
	if fail(ours, theirs, true); e.Err != packet.ErrRefused || events != ready.Err|ready.In|ready.Out || e.Ready()&ready.Err == 0 {
		t.Errorf("failure: %v, events %#x", e.Err, events)
	}
	if other.Err != nil {
		t.Error("the wrong end point has heard of it")
	}
	// Disconnected, it hears anyone again.
	l.receive(port(peerIP, 99), ours, "stranger")
	if take(e) != "" {
		t.Error("a connected end point hears a stranger")
	}
	if a, _ := e.Local(); a != ourIP || e.Peer() != theirs {
		t.Errorf("connected: %v, %v", a, e.Peer())
	}
	e.Disconnect()
	l.receive(port(peerIP, 99), ours, "stranger")
	if take(e) != "stranger" {
		t.Error("a disconnected end point hears nobody")
	}
}

// TestMemory bounds what waits, of each end point and of all.
func TestMemory(t *testing.T) {
	l := newLab(t)
	l.box.Memory = 100 << 10
	var all []*Endpoint
	for i := range uint16(10) {
		all = append(all, l.open(netip.Addr{}, 2000+i, nil))
	}
	big := strings.Repeat("x", 1000)
	for i := range uint16(1000) {
		l.receive(port(peerIP, 1), port(ourIP, 2000+i%10), big)
	}
	waiting := 0
	for _, e := range all {
		waiting += e.Inbox.Len()
	}
	if waiting == 0 || waiting*1000 > l.box.Memory || l.box.used > l.box.Memory || uint64(waiting)+l.box.Stats.PacketsDropped != 1000 {
		t.Errorf("%d datagrams wait, %d bytes of %d; %d dropped", waiting, l.box.used, l.box.Memory, l.box.Stats.PacketsDropped)
	}
	for _, e := range all {
		e.Close()
	}
	if l.box.used != 0 || l.box.endpoints != 0 || len(l.box.ports) != 0 {
		t.Errorf("after all are closed: %d bytes, %d end points, %d ports", l.box.used, l.box.endpoints, len(l.box.ports))
	}
}

// TestPorts hands out all ephemeral ports, each once, and stops at the limit.
func TestPorts(t *testing.T) {
	l := newLab(t)
	const n = EphemeralLast - EphemeralFirst + 1
	l.box.MaxEndpoints = n + 10
	seen := map[uint16]bool{}
	for range n {
		_, p := l.open(netip.Addr{}, 0, nil).Local()
		if seen[p] || p < EphemeralFirst || p > EphemeralLast {
			t.Fatalf("port %d, again or out of range", p)
		}
		seen[p] = true
	}
	e := new(Endpoint)
	l.box.Open(e, 1000)
	if err := e.Bind(netip.Addr{}, 0); !errors.Is(err, ErrInUse) {
		t.Errorf("no port is left: %v", err)
	}
	l.box.MaxEndpoints = n
	if err := e.Bind(netip.Addr{}, 80); !errors.Is(err, ErrLimit) {
		t.Errorf("too many end points: %v", err)
	}
	e.Close() // one without a port
}

// TestBusy: while the card takes no more, writers wait, each once, and hear when to go on.
func TestBusy(t *testing.T) {
	l := newLab(t)
	a, b, closed := l.open(netip.Addr{}, 1, nil), l.open(netip.Addr{}, 2, nil), l.open(netip.Addr{}, 3, nil)
	woken := map[*Endpoint]int{}
	for _, e := range []*Endpoint{a, b, closed} {
		e.Upcall = func(r ready.Events) {
			if r != ready.Out {
				t.Errorf("events %#x", r)
			}
			woken[e]++
		}
	}
	l.busy = true
	for _, e := range []*Endpoint{a, a, b, closed} {
		if err := e.Send(nil, port(peerIP, 1)); !errors.Is(err, ErrWouldBlock) {
			t.Errorf("busy: %v", err)
		}
	}
	if a.Ready()&ready.Out != 0 {
		t.Error("ready to write")
	}
	closed.Close()
	l.busy = false
	l.box.Resume()
	l.box.Resume()
	if woken[a] != 1 || woken[b] != 1 || woken[closed] != 0 || a.Ready()&ready.Out == 0 {
		t.Errorf("woken: %v", woken)
	}
	if err := a.Send(nil, port(peerIP, 1)); err != nil {
		t.Error(err)
	}
}

// FuzzReceive gives the box arbitrary bytes from arbitrary places, with end points of all kinds. What arrives is
// accounted for, and nothing is left when all are closed.
func FuzzReceive(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, src uint32) {
		l := newLab(t)
		share := func(e *Endpoint) { e.ReuseAddr = true }
		all := []*Endpoint{l.open(netip.Addr{}, 53, share), l.open(ourIP, 53, share), l.open(groupIP, 53, share), l.open(netip.Addr{}, 80, nil)}
		all[0].Joined(groupIP, 2)
		all[3].Connect(port(peerIP, 80))
		n := min(len(b), 60000)
		p := l.pool.Linear(n)
		copy(p.Bytes(), b)
		p.Src, p.Link = netip.AddrFrom4([4]byte{byte(src >> 24), byte(src >> 16), byte(src >> 8), byte(src)}), int(kind>>4)
		p.Dst = []netip.Addr{ourIP, allIP, groupIP, peerIP}[kind%4]
		broadcast := kind&4 != 0
		p.Broadcast = broadcast
		l.box.Receive(p)
		got := 0
		for _, e := range all {
			for e.Inbox.Len() > 0 {
				text := take(e)
				if len(text) > n-wire.UDPSize || !strings.Contains(string(b), text) {
					t.Errorf("%q of %q", text, b)
				}
				got++
			}
		}
		s := l.box.Stats
		if got+l.none == 0 && s.PacketsDropped+s.NoPort == 0 || got > len(all) || !broadcast && got > 1 {
			t.Errorf("%d delivered, %+v", got, s)
		}
		for _, e := range all {
			e.Close()
		}
		if l.box.used != 0 || len(l.box.ports) != 0 {
			t.Errorf("%d bytes, %d ports are left", l.box.used, len(l.box.ports))
		}
	})
}
