package net

import (
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/loopback"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ping"
	"ukvm.dev/guest/net/tcp"
	"ukvm.dev/guest/net/udp"
	"ukvm.dev/guest/net/wire"
)

// TestConstantLimits reaches each limit that does not depend on memory and is not tested in its own package.
func TestConstantLimits(t *testing.T) {
	w := quiet(t)
	for i := range tcp.MaxListeners + 1 {
		l := w.a.socket(t, sockStream, 0)
		want := syscall.Errno(0)
		if i == tcp.MaxListeners {
			want = syscall.ENOBUFS
		}
		l.want("listen", l.Listen(1), want)
	}
	for i := range ping.MaxEndpoints + 1 {
		p := w.a.socket(t, sockDgram, wire.ProtoICMP)
		want := syscall.Errno(0)
		if i == ping.MaxEndpoints {
			want = syscall.ENOBUFS
		}
		p.want("ping", p.Bind(ap("0.0.0.0:0")), want)
	}
	u := w.a.socket(t, sockDgram, 0)
	for i := range udp.MaxGroups + 1 {
		want := syscall.Errno(0)
		if i == udp.MaxGroups {
			want = syscall.EADDRINUSE
		}
		u.want("join", u.SetOption(solIP, ipAddMembership, []byte{239, 0, 1, byte(i), 10, 0, 0, 1}), want)
	}
}

func TestBacklogLimit(t *testing.T) {
	w := quiet(t)
	l := w.b.socket(t, sockStream, 0)
	l.must(l.Bind(ap("0.0.0.0:80")))
	l.must(l.Listen(3))
	var clients []*sock
	for range 10 {
		c := w.a.socket(t, sockStream, 0)
		c.must(c.Connect(ap("10.0.0.2:80")), syscall.EINPROGRESS)
		clients = append(clients, c)
	}
	w.clock.Run(seconds / 2)
	accepted := 0
	accept := func() {
		for {
			if _, _, e := l.Accept(); e != 0 {
				return
			}
			accepted++
		}
	}
	if accept(); accepted != 3 {
		t.Errorf("%d in a queue of 3", accepted)
	}
	for range 20 { // the others try again
		w.clock.Run(2 * seconds)
		accept()
	}
	if accepted != 10 {
		t.Errorf("%d of 10 accepted in the end", accepted)
	}
	// Nobody asks for more than is allowed.
	l.must(l.Listen(1 << 30))
	w.b.Do(func(b *Boxes, _ []*Interface) {
		k := l.Socket.(*stream)
		k.listener.SetBacklog(1 << 30)
	})
}

func TestEphemeralPorts(t *testing.T) {
	s := New(Config{Memory: 1 << 30, Clock: nettest.NewClock().Alarm()})
	h := &host{Stack: s}
	const n = tcp.EphemeralLast - tcp.EphemeralFirst + 1
	for _, typ := range []int{sockStream, sockDgram} {
		seen := map[uint16]bool{}
		for range n {
			k := h.socket(t, typ, 0)
			k.must(k.Bind(ap("0.0.0.0:0")))
			a, _ := k.Name(false)
			if seen[a.Port()] || a.Port() < tcp.EphemeralFirst || a.Port() > tcp.EphemeralLast {
				t.Fatalf("port %d", a.Port())
			}
			seen[a.Port()] = true
		}
		k := h.socket(t, typ, 0)
		k.want("no port is left", k.Bind(ap("0.0.0.0:0")), syscall.EADDRINUSE)
	}
}

func TestLoopbackQueue(t *testing.T) {
	s := New(Config{Clock: nettest.NewClock().Alarm()})
	s.Do(func(b *Boxes, _ []*Interface) {
		for range loopback.QueueMax + 5 {
			p := s.Pool().Linear(8)
			wire.UDP(p.Bytes()).Encode(1, 2, 8, 0)
			p.Dst, p.Proto = netip.MustParseAddr("127.0.0.1"), wire.ProtoUDP
			b.IP4.Send(p)
		}
		if b.Loopback.Stats.SendqDropped != 5 {
			t.Errorf("%+v", b.Loopback.Stats)
		}
		b.IP4.ToUDP = func(p *packet.Packet) { p.Release() }
	})
}
