package net

import (
	"bytes"
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
	Socket
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

func watch(t testing.TB, k Socket) *sock {
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

// noise is what pumps write, over and over; its length has nothing to do with any buffer's.
var noise = func() []byte {
	b := make([]byte, 65521)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}()

// pattern fills b with the bytes that lie at off in the stream of a seed.
func pattern(b []byte, off int, seed uint64) {
	for len(b) > 0 {
		n := copy(b, noise[(off+int(seed)*1000)%len(noise):])
		b = b[n:]
		off += n
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
		if pattern(want[:n], p.in, p.seed); !bytes.Equal(p.buf[:n], want[:n]) {
			return fmt.Errorf("wrong bytes among the %d from %d on", n, p.in)
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

var offload = nic.Features{TxChecksum: true, TSO4: 60000, TSO6: 60000}

// fast is a link of 1 Gbit/s with 10 ms round trip.
var fast = nettest.Faults{Delay: 5_000_000, Rate: 125_000_000}

func TestTransfer(t *testing.T) {
	for name, features := range map[string]nic.Features{"plain": {}, "offload": offload} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, nettest.Faults{Loss: 0.005, Reorder: 0.01, Late: 3_000_000, Delay: 5_000_000, Jitter: 100_000, Rate: 125_000_000}, features)
			a, b := w.pair(80)
			size := 20 << 20
			if raceEnabled {
				size = 2 << 20
			}
			d := w.transfer(a, b, size)
			t.Logf("%d MB each way in %.2f s: %+v", size>>20, float64(d)/seconds, w.a.boxes.TCP.Stats)
			w.finish(a, b)
		})
	}
}

// TestTransferMatrix moves data both ways over links with all kinds of faults.
func TestTransferMatrix(t *testing.T) {
	for i, c := range []struct {
		name string
		nettest.Faults
	}{
		{"perfect", nettest.Faults{}},
		{"loss 0.1 %", nettest.Faults{Loss: 0.001}},
		{"loss 1 %", nettest.Faults{Loss: 0.01}},
		{"loss 2 %", nettest.Faults{Loss: 0.02}},
		{"loss 5 %", nettest.Faults{Loss: 0.05}},
		{"reordering", nettest.Faults{Reorder: 0.05, Late: 2_000_000}},
		{"heavy reordering", nettest.Faults{Reorder: 0.2, Late: 20_000_000}},
		{"duplicates", nettest.Faults{Duplicate: 0.05}},
		{"many duplicates", nettest.Faults{Duplicate: 0.5}},
		{"corruption", nettest.Faults{Corrupt: 0.01}},
		{"jitter", nettest.Faults{Jitter: 3_000_000}},
		{"everything", nettest.Faults{Loss: 0.02, Reorder: 0.02, Late: 1_000_000, Duplicate: 0.02, Corrupt: 0.005, Jitter: 1_000_000}},
		{"8 Mbit/s", nettest.Faults{Rate: 1_000_000, Queue: 50_000_000}},
		{"long, small queue", nettest.Faults{Rate: 125_000_000, Queue: 1_000_000, Delay: 20_000_000}},
	} {
		f := c.Faults
		if f.Delay == 0 {
			f.Delay = 2_000_000
		}
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(3) {
				if raceEnabled && seed != uint64(i)%3 {
					continue
				}
				w := newWorld(t, seed+uint64(i)*10, f, []nic.Features{{}, offload, {TxChecksum: true}}[seed])
				a, b := w.pair(80)
				size := 1 << 20
				if f.Rate == 1_000_000 {
					size = 1 << 19
				}
				d := w.transfer(a, b, size)
				if seed == uint64(i)%3 {
					s := &w.a.boxes.TCP.Stats
					t.Logf("%d KiB each way in %.2f s; %d segments, %d repeated, %d timeouts", size>>10, float64(d)/seconds, s.PacketsTx, s.Retransmits, s.Timeouts)
				}
				w.finish(a, b)
			}
		})
	}
}

// finish closes both ends and checks that nothing stays behind.
func (w *world) finish(socks ...*sock) {
	w.t.Helper()
	for _, s := range socks {
		s.must(s.Close())
	}
	w.clock.Run(300 * seconds)
	for _, h := range []*host{w.a, w.b} {
		b := &h.boxes.TCP
		if b.Conns() != 0 || b.Waiting() != 0 || b.Memory() != 0 || h.sockets != 0 {
			w.t.Errorf("%v: left behind: %d connections, %d in TIME-WAIT, %d bytes, %d sockets", h.addr, b.Conns(), b.Waiting(), b.Memory(), h.sockets)
		}
		if n := h.wheel.Len(); n != 0 {
			w.t.Errorf("%v: %d timers are still set", h.addr, n)
		}
	}
}

// TestThroughput sees to it that a clean link is used nearly fully, and that buffers grow to do it.
func TestThroughput(t *testing.T) {
	for name, f := range map[string]nettest.Faults{
		"10 ms": fast,
		"40 ms": {Delay: 20_000_000, Rate: 25_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, f, offload)
			a, b := w.pair(80)
			size := 64 << 20
			if raceEnabled {
				size = 16 << 20
			}
			p := &pump{from: a, to: b, size: size}
			start := w.clock.Now()
			var err error
			w.clock.RunUntil(1000*seconds, func() bool { err = p.run(); return p.complete || err != nil })
			if err != nil {
				t.Fatal(err)
			}
			rate := float64(size) / (float64(w.clock.Now()-start) / seconds)
			t.Logf("%.1f MB/s of %.1f; %+v", rate/1e6, float64(f.Rate)/1e6, w.a.boxes.TCP.Stats)
			if rate < 0.8*float64(f.Rate) && !raceEnabled {
				t.Errorf("only %.1f MB/s of %.1f", rate/1e6, float64(f.Rate)/1e6)
			}
		})
	}
}

// TestDeterministic runs the same world twice: everything must happen alike.
func TestDeterministic(t *testing.T) {
	run := func() string {
		w := newWorld(t, 42, nettest.Faults{Loss: 0.03, Reorder: 0.05, Late: 3_000_000, Delay: 1_000_000, Jitter: 500_000}, nic.Features{})
		a, b := w.pair(80)
		w.transfer(a, b, 300<<10)
		return fmt.Sprintf("%d %+v %+v", w.clock.Now(), w.a.boxes.TCP.Stats, w.b.boxes.TCP.Stats)
	}
	if first, second := run(), run(); first != second {
		t.Errorf("two runs differ:\n%s\n%s", first, second)
	}
}
