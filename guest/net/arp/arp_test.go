package arp

import (
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/neighbour"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

var (
	ourIP, ourMAC   = netip.MustParseAddr("10.0.0.1"), wire.MAC{2, 0, 0, 0, 0, 1}
	peerIP, peerMAC = netip.MustParseAddr("10.0.0.2"), wire.MAC{2, 0, 0, 0, 0, 2}
	otherMAC        = wire.MAC{2, 0, 0, 0, 0, 3}
)

// lab is a box with its surroundings.
type lab struct {
	t     *testing.T
	box   Box
	wheel timer.Wheel
	pool  packet.Pool
	now   int64
	out   []string // what went down, in words
	lost  int
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, now: 3600e9}
	b := &l.box
	b.MAC = ourMAC
	b.Ask = b.Request
	b.Now, b.Wheel, b.Pool = func() int64 { return l.now }, &l.wheel, &l.pool
	b.Owns = func(a netip.Addr) bool { return a == ourIP }
	b.Source = func() (netip.Addr, bool) { return ourIP, true }
	b.Unreachable = func(p *packet.Packet) { l.lost++; p.Release() }
	b.Output = func(p *packet.Packet) {
		to := string('0' + rune(p.MAC[5]))
		if p.MAC == wire.Broadcast {
			to = "all"
		}
		switch {
		case p.EtherType == wire.TypeIPv4:
			l.out = append(l.out, "data to "+to)
		case wire.ARP(p.Bytes()).Op() == wire.ARPReply:
			l.out = append(l.out, "reply to "+to)
		default:
			l.out = append(l.out, "request for "+wire.ARP(p.Bytes()).TargetIP().String()+" to "+to)
		}
		p.Release()
	}
	return l
}

func (l *lab) send(to netip.Addr) {
	p := l.pool.Linear(10)
	p.NextHop = to
	l.box.Send(p)
}

func (l *lab) receive(op uint16, mac wire.MAC, ip, target netip.Addr) {
	p := l.pool.Linear(wire.ARPSize)
	wire.ARP(p.Bytes()).Encode(op, mac, ip, wire.MAC{}, target)
	l.box.Receive(p)
}

func (l *lab) pass(d int64) { nettest.Pass(&l.now, &l.wheel, d) }

func (l *lab) want(out ...string) {
	l.t.Helper()
	if len(out) != len(l.out) {
		l.t.Fatalf("sent %q, want %q", l.out, out)
	}
	for i := range out {
		if out[i] != l.out[i] {
			l.t.Fatalf("sent %q, want %q", l.out, out)
		}
	}
	l.out = nil
}

func TestResolve(t *testing.T) {
	l := newLab(t)
	l.send(peerIP)
	l.send(peerIP)
	l.want("request for 10.0.0.2 to all")
	l.receive(wire.ARPReply, peerMAC, peerIP, ourIP)
	l.want("data to 2", "data to 2")
	l.send(peerIP)
	l.want("data to 2")
	l.pass(10e9)
	l.want()
}

func TestUnreachable(t *testing.T) {
	l := newLab(t)
	l.send(peerIP)
	l.pass(5e9)
	l.want("request for 10.0.0.2 to all", "request for 10.0.0.2 to all", "request for 10.0.0.2 to all")
	if l.lost != 1 || l.box.Len() != 0 || l.wheel.Len() != 0 {
		t.Errorf("%d unreachable, %d entries, %d timers", l.lost, l.box.Len(), l.wheel.Len())
	}
}

func TestPendingLimit(t *testing.T) {
	l := newLab(t)
	for range neighbour.MaxPending + 3 {
		l.send(peerIP)
	}
	if l.box.Dropped != 3 {
		t.Errorf("%d dropped", l.box.Dropped)
	}
	l.out = nil
	l.receive(wire.ARPReply, peerMAC, peerIP, ourIP)
	if len(l.out) != neighbour.MaxPending {
		t.Errorf("%d sent", len(l.out))
	}
}

func TestAnswer(t *testing.T) {
	l := newLab(t)
	l.receive(wire.ARPRequest, peerMAC, peerIP, ourIP)
	l.want("reply to 2")
	l.send(peerIP) // who asks for us is known at once
	l.want("data to 2")
	l.receive(wire.ARPRequest, otherMAC, netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.9"))
	l.want()
	if l.box.Len() != 1 {
		t.Error("learned from a conversation of others")
	}
	l.receive(wire.ARPRequest, otherMAC, netip.IPv4Unspecified(), ourIP) // a probe (RFC 5227 §2.1.1)
	l.want("reply to 3")
	if l.box.Len() != 1 {
		t.Error("learned 0.0.0.0")
	}
}

func TestUnsolicited(t *testing.T) {
	l := newLab(t)
	l.receive(wire.ARPReply, peerMAC, peerIP, peerIP) // gratuitous, unknown: nothing is learned
	if l.box.Len() != 0 {
		t.Error("learned from a gratuitous reply")
	}
	l.receive(wire.ARPReply, peerMAC, peerIP, ourIP)
	l.receive(wire.ARPRequest, otherMAC, peerIP, peerIP) // gratuitous, known: moved
	l.send(peerIP)
	l.want("data to 3")
}

func TestStale(t *testing.T) {
	l := newLab(t)
	l.receive(wire.ARPReply, peerMAC, peerIP, ourIP)
	l.pass(Lifetime + 1e9)
	l.want()
	l.send(peerIP)
	l.want("request for 10.0.0.2 to 2", "data to 2")
	l.receive(wire.ARPReply, peerMAC, peerIP, ourIP)
	l.pass(Lifetime + 1e9)
	l.send(peerIP)
	l.pass(4e9)
	l.want("request for 10.0.0.2 to 2", "data to 2", "request for 10.0.0.2 to 2", "request for 10.0.0.2 to 2")
	if l.box.Len() != 0 {
		t.Error("a neighbour that does not confirm is still known")
	}
}

func TestConflict(t *testing.T) {
	l := newLab(t)
	for range 5 {
		l.receive(wire.ARPReply, otherMAC, ourIP, ourIP)
	}
	l.want("request for 10.0.0.1 to all")
	if l.box.Stats.Conflicts != 5 || l.box.Len() != 0 {
		t.Errorf("%d conflicts, %d entries", l.box.Stats.Conflicts, l.box.Len())
	}
	l.pass(DefendIdle)
	l.receive(wire.ARPReply, otherMAC, ourIP, ourIP)
	l.want("request for 10.0.0.1 to all")
}

func TestStaticAndFlush(t *testing.T) {
	l := newLab(t)
	l.box.Set(peerIP, otherMAC)
	l.receive(wire.ARPReply, peerMAC, peerIP, ourIP)
	l.receive(wire.ARPReply, peerMAC, netip.MustParseAddr("10.0.0.4"), ourIP)
	l.box.Flush()
	l.send(peerIP)
	l.want("data to 3")
	if l.box.Len() != 1 {
		t.Errorf("%d entries", l.box.Len())
	}
}

func TestBroadcast(t *testing.T) {
	l := newLab(t)
	var mac wire.MAC
	l.box.Output = func(p *packet.Packet) { mac = p.MAC; p.Release() }
	for ip, want := range map[string]wire.MAC{"10.0.0.255": wire.Broadcast, "224.0.0.251": {1, 0, 0x5e, 0, 0, 251}} {
		p := l.pool.Linear(1)
		p.NextHop, p.Broadcast = netip.MustParseAddr(ip), true
		l.box.Send(p)
		if mac != want {
			t.Errorf("%s goes to %x", ip, mac)
		}
	}
}

func TestLimit(t *testing.T) {
	l := newLab(t)
	for i := range 3 * neighbour.MaxEntries {
		ip := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		l.receive(wire.ARPRequest, peerMAC, ip, ourIP)
	}
	if l.box.Len() != neighbour.MaxEntries {
		t.Errorf("%d entries", l.box.Len())
	}
	l = newLab(t)
	for i := range 2 * neighbour.MaxEntries {
		l.send(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})) // all waiting for answers: no room is made
	}
	if l.box.Len() != neighbour.MaxEntries || l.box.Waiting() != neighbour.MaxWaiting || l.box.Dropped != 2*neighbour.MaxEntries-neighbour.MaxWaiting {
		t.Errorf("%d entries, %d waiting, %d dropped", l.box.Len(), l.box.Waiting(), l.box.Dropped)
	}
	l.pass(10e9)
	if l.box.Len() != 0 || l.box.Waiting() != 0 || l.lost != neighbour.MaxWaiting {
		t.Errorf("%d entries, %d waiting, %d unreachable", l.box.Len(), l.box.Waiting(), l.lost)
	}
}

func TestHostile(t *testing.T) {
	l := newLab(t)
	l.receive(wire.ARPReply, wire.Broadcast, peerIP, ourIP)
	l.receive(wire.ARPReply, wire.MAC{}, peerIP, ourIP)
	l.receive(wire.ARPReply, peerMAC, netip.MustParseAddr("224.0.0.1"), ourIP)
	l.receive(99, peerMAC, peerIP, ourIP)
	p := l.pool.Linear(5)
	l.box.Receive(p)
	l.want()
	if l.box.Len() != 0 || l.box.Dropped != 4 {
		t.Errorf("%d entries, %d dropped", l.box.Len(), l.box.Dropped)
	}
}
