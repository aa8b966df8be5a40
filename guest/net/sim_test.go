package net

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/posix"
	"ukvm.dev/hypercall"
)

// world is some hosts on one simulated link, with a virtual clock.
type world struct {
	t     testing.TB
	clock *nettest.Clock
	link  *nettest.Link
	a, b  *host // 10.0.0.1, 10.0.0.2
}

// host is a stack with one card.
type host struct {
	*Stack
	iface *Interface
	addr  netip.Addr
}

// newWorld makes two hosts on a link with the given faults.
func newWorld(t testing.TB, seed uint64, f nettest.Faults, features nic.Features) *world {
	w := &world{t: t, clock: nettest.NewClock()}
	w.a, w.b = w.newHost(seed, 1), w.newHost(seed, 2)
	w.link = nettest.NewLink(w.clock, seed, f, w.a.Pool(), w.b.Pool())
	w.a.attach(t, w.link.A, features)
	w.b.attach(t, w.link.B, features)
	return w
}

func (w *world) newHost(seed uint64, n byte) *host {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	s := New(Config{Clock: w.clock.Alarm(), Random: rng.Uint64, Memory: 256 << 20})
	return &host{Stack: s, addr: netip.AddrFrom4([4]byte{10, 0, 0, n})}
}

// attach gives the host a card at an end of a link, and its address.
func (h *host) attach(t testing.TB, e *nettest.End, features nic.Features) {
	t.Helper()
	mac := h.addr.As4()
	i, err := h.AddCard(Card{
		Name: "eth0", MAC: [6]byte{2, 0, mac[0], mac[1], mac[2], mac[3]}, MTU: 1500, Features: features,
		Transmit: e.Transmit, Flush: e.Flush,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.iface = i
	e.Receive = i.Receive
	if err := i.Configure(hypercall.NetConfig{Addr: h.addr.As4(), Prefix: 24}); err != nil {
		t.Fatal(err)
	}
}

const seconds = 1_000_000_000

// sock is a socket in an event-driven test.
type sock struct {
	posix.Socket
	t      testing.TB
	level  posix.Events
	raised posix.Events
}

func (h *host) socket(t testing.TB, typ, protocol int) *sock {
	t.Helper()
	k, e := h.Socket(typ, protocol)
	if e != 0 {
		t.Fatalf("socket: %v", e)
	}
	return watch(t, k)
}

func watch(t testing.TB, k posix.Socket) *sock {
	s := &sock{Socket: k, t: t}
	k.Notify(func(level, raised posix.Events) { s.level, s.raised = level, s.raised|raised })
	return s
}

func (s *sock) must(e syscall.Errno, ok ...syscall.Errno) {
	s.t.Helper()
	for _, x := range append(ok, 0) {
		if e == x {
			return
		}
	}
	s.t.Fatalf("unexpected error: %v", e)
}

// listen makes a listener on a port.
func (h *host) listen(t testing.TB, port uint16) *sock {
	t.Helper()
	l := h.socket(t, sockStream, 0)
	l.must(l.SetOption(solSocket, soReuseAddr, []byte{1, 0, 0, 0}))
	l.must(l.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), port)))
	l.must(l.Listen(128))
	return l
}

// pair connects a to a listener of b.
func (w *world) pair(port uint16) (client, server *sock) {
	w.t.Helper()
	l := w.b.listen(w.t, port)
	c := w.a.socket(w.t, sockStream, 0)
	c.must(c.Connect(netip.AddrPortFrom(w.b.addr, port)), syscall.EINPROGRESS)
	if !w.clock.RunUntil(300*seconds, func() bool { return l.level&posix.EventIn != 0 && c.level&posix.EventOut != 0 }) {
		w.t.Fatalf("no connection: client %x, listener %x", c.level, l.level)
	}
	k, _, e := l.Accept()
	l.must(e)
	l.must(l.Close())
	return c, watch(w.t, k)
}

// pump writes size bytes of a pattern into from, closes its writing side, and checks what comes out of to.
type pump struct {
	from, to       *sock
	size, out, in  int
	seed           uint64
	buf            [16384]byte
	shut, complete bool
}

func pattern(b []byte, off int, seed uint64) {
	for i := range b {
		x := uint64(off+i) + seed
		b[i] = byte(x>>16) ^ byte(x>>8)*7 ^ byte(x)*31
	}
}

// run does what can be done now.
func (p *pump) run() error {
	for p.out < p.size {
		b := p.buf[:min(len(p.buf), p.size-p.out)]
		pattern(b, p.out, p.seed)
		n, e := p.from.Send(b, netip.AddrPort{}, 0)
		if e == syscall.EAGAIN {
			break
		}
		if e != 0 {
			return fmt.Errorf("send after %d: %w", p.out, e)
		}
		p.out += n
	}
	if p.out == p.size && !p.shut {
		p.shut = true
		if e := p.from.Shutdown(shutWR); e != 0 {
			return fmt.Errorf("shutdown: %w", e)
		}
	}
	var want [16384]byte
	for !p.complete {
		n, _, _, e := p.to.Recv(p.buf[:], 0)
		if e == syscall.EAGAIN {
			break
		}
		if e != 0 {
			return fmt.Errorf("recv after %d: %w", p.in, e)
		}
		if n == 0 {
			p.complete = true
			if p.in != p.size {
				return fmt.Errorf("stream ended after %d of %d bytes", p.in, p.size)
			}
			break
		}
		pattern(want[:n], p.in, p.seed)
		for i := range n {
			if p.buf[i] != want[i] {
				return fmt.Errorf("byte %d is %#x, not %#x", p.in+i, p.buf[i], want[i])
			}
		}
		p.in += n
	}
	return nil
}

// transfer moves size bytes each way at the same time and returns how long it took, in virtual nanoseconds.
func (w *world) transfer(a, b *sock, size int) int64 {
	w.t.Helper()
	start := w.clock.Now()
	pumps := []*pump{{from: a, to: b, size: size, seed: 1}, {from: b, to: a, size: size, seed: 99}}
	var err error
	done := w.clock.RunUntil(24*3600*seconds, func() bool {
		all := true
		for _, p := range pumps {
			if err == nil {
				err = p.run()
			}
			all = all && p.complete
		}
		return all || err != nil
	})
	if err != nil || !done {
		w.t.Fatalf("transfer: done %v, error %v, %d and %d of %d bytes in %.1f s", done, err, pumps[0].in, pumps[1].in, size,
			float64(w.clock.Now()-start)/seconds)
	}
	return w.clock.Now() - start
}

var offload = nic.Features{TxChecksum: true, TSO4: 60000}

func TestTransferLossy(t *testing.T) {
	f := nettest.Faults{Loss: 0.005, Reorder: 0.01, Late: 3_000_000, Delay: 5_000_000, Jitter: 100_000, Rate: 125_000_000}
	for _, features := range []nic.Features{{}, offload} {
		w := newWorld(t, 1, f, features)
		a, b := w.pair(80)
		d := w.transfer(a, b, 20<<20)
		t.Logf("%+v: 20 MB each way in %.2f s virtual, %+v", features, float64(d)/seconds, w.a.boxes.TCP.Stats)
	}
}
