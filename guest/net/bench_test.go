package net

import (
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/posix"
	"ukvm.dev/hypercall"
)

// wirePair is two hosts joined by function calls in real time: what one transmits is copied, as a device would, into
// the other's receive buffers, and handed over in batches by shuttle.
type wirePair struct {
	a, b *host
	toA  []*packet.Packet
	toB  []*packet.Packet

	spare []*packet.Packet
}

func newWirePair(tb testing.TB, features nic.Features, mtu int) *wirePair {
	w := &wirePair{}
	w.a = newWireHost(tb, 1, features, mtu, &w.toB)
	w.b = newWireHost(tb, 2, features, mtu, &w.toA)
	return w
}

func newWireHost(tb testing.TB, n byte, features nic.Features, mtu int, to *[]*packet.Packet) *host {
	h := &host{Stack: New(Config{Memory: 512 << 20}), addr: netip.AddrFrom4([4]byte{10, 0, 0, n})}
	pool := h.Pool() // one side's memory ends up in the other's packets, but returns here
	i, err := h.AddCard(Card{
		Name: "eth0", MAC: [6]byte{2, 0, 0, 0, 0, n}, MTU: mtu, Features: features,
		Transmit: func(p *packet.Packet) bool {
			if len(*to) >= 256 {
				return false
			}
			q := pool.Receive(min(p.Len(), packet.Small))
			off := copyFrom(q.Bytes(), p, 0)
			q.Truncate(off)
			for off < p.Len() {
				r := pool.Receive(p.Len() - off)
				k := copyFrom(r.Bytes(), p, off)
				r.Truncate(k)
				off += k
				q.Append(r)
			}
			q.Net = p.Net
			if features.TxChecksum {
				q.Net.Flags |= hypercall.DataValid
			}
			*to = append(*to, q)
			p.Release()
			return true
		},
		Flush: func() {},
	})
	if err != nil {
		tb.Fatal(err)
	}
	h.iface = i
	if err := i.Configure(hypercall.NetConfig{Addr: h.addr.As4(), Prefix: 24}); err != nil {
		tb.Fatal(err)
	}
	return h
}

// copyFrom copies from offset off of p.
func copyFrom(b []byte, p *packet.Packet, off int) int {
	n := 0
	for i := range p.Pieces() {
		d := p.Piece(i)
		if off >= len(d) {
			off -= len(d)
			continue
		}
		n += copy(b[n:], d[off:])
		off = 0
	}
	return n
}

// shuttle carries frames until there are none.
func (w *wirePair) shuttle() {
	for {
		n := w.carry(w.a, w.b, &w.toB)
		n += w.carry(w.b, w.a, &w.toA)
		if n == 0 {
			return
		}
	}
}

// carry hands over what is on its way, and returns how many frames that was. Timers may send at any time, under the lock
// of who sends.
func (w *wirePair) carry(from, to *host, frames *[]*packet.Packet) int {
	from.mu.Lock()
	*frames, w.spare = w.spare[:0], *frames
	from.mu.Unlock()
	n := len(w.spare)
	if n > 0 {
		to.iface.Receive(w.spare)
		from.iface.Room()
	}
	return n
}

func (w *wirePair) connect(tb testing.TB) (c, s *sock) {
	l := w.b.listen(tb, 80)
	c = w.a.socket(tb, sockStream, 0)
	c.must(c.Connect(netip.AddrPortFrom(w.b.addr, 80)), syscall.EINPROGRESS)
	w.shuttle()
	if l.level&posix.EventIn == 0 {
		tb.Fatal("no connection")
	}
	k, _, e := l.Accept()
	l.must(e)
	return c, watch(tb, k)
}

// cpuTime reports, beside the time on the clock, which on a busy machine says little, the processor time of an
// operation. The function it returns is called at the end.
func cpuTime(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := used()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op") }
}

func benchmarkBulk(b *testing.B, features nic.Features, mtu int) {
	w := newWirePair(b, features, mtu)
	c, s := w.connect(b)
	buf := make([]byte, 64<<10)
	in := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	defer cpuTime(b)()
	sent, got := 0, 0
	total := b.N * len(buf)
	for got < total {
		if sent < total {
			n, e := c.Send(buf[:min(len(buf), total-sent)], netip.AddrPort{}, 0)
			if e != 0 && e != syscall.EAGAIN {
				b.Fatal(e)
			}
			sent += n
		}
		w.shuttle()
		for {
			n, _, _, e := s.Recv(in, 0)
			if e == syscall.EAGAIN {
				break
			}
			if e != 0 || n == 0 {
				b.Fatal(n, e)
			}
			got += n
		}
		w.shuttle()
	}
}

func BenchmarkBulkTSO(b *testing.B) {
	benchmarkBulk(b, nic.Features{TxChecksum: true, TSO4: 60000}, 1500)
}
func BenchmarkBulkChecksum(b *testing.B) { benchmarkBulk(b, nic.Features{TxChecksum: true}, 1500) }
func BenchmarkBulkPlain(b *testing.B)    { benchmarkBulk(b, nic.Features{}, 1500) }

func BenchmarkRoundTrip(b *testing.B) {
	w := newWirePair(b, nic.Features{TxChecksum: true}, 1500)
	c, s := w.connect(b)
	buf := make([]byte, 128)
	defer cpuTime(b)()
	for range b.N {
		if _, e := c.Send(buf, netip.AddrPort{}, 0); e != 0 {
			b.Fatal(e)
		}
		w.shuttle()
		if n, _, _, e := s.Recv(buf, 0); e != 0 || n != len(buf) {
			b.Fatal(n, e)
		}
		if _, e := s.Send(buf, netip.AddrPort{}, 0); e != 0 {
			b.Fatal(e)
		}
		w.shuttle()
		if n, _, _, e := c.Recv(buf, 0); e != 0 || n != len(buf) {
			b.Fatal(n, e)
		}
	}
}

// BenchmarkConnect opens a connection, sends a request and an answer, and closes it.
func BenchmarkConnect(b *testing.B) {
	w := newWirePair(b, nic.Features{TxChecksum: true}, 1500)
	l := w.b.listen(b, 80)
	buf := make([]byte, 128)
	defer cpuTime(b)()
	for range b.N {
		c := w.a.socket(b, sockStream, 0)
		c.must(c.Connect(netip.AddrPortFrom(w.b.addr, 80)), syscall.EINPROGRESS)
		w.shuttle()
		s, _, e := l.Accept()
		l.must(e)
		c.Send(buf, netip.AddrPort{}, 0)
		w.shuttle()
		s.Recv(buf, 0)
		s.Send(buf, netip.AddrPort{}, 0)
		s.Close()
		w.shuttle()
		if n, _, _, e := c.Recv(buf, 0); n != len(buf) || e != 0 {
			b.Fatal(n, e)
		}
		c.Close()
		w.shuttle()
	}
}

// BenchmarkDatagram sends a datagram and its answer.
func BenchmarkDatagram(b *testing.B) {
	w := newWirePair(b, nic.Features{TxChecksum: true}, 1500)
	c, s := w.a.socket(b, sockDgram, 0), w.b.socket(b, sockDgram, 0)
	s.must(s.Bind(netip.MustParseAddrPort("0.0.0.0:53")))
	c.must(c.Connect(netip.AddrPortFrom(w.b.addr, 53)))
	buf := make([]byte, 128)
	defer cpuTime(b)()
	for range b.N {
		c.Send(buf, netip.AddrPort{}, 0)
		w.shuttle()
		_, from, _, e := s.Recv(buf, 0)
		s.must(e)
		s.Send(buf, from, 0)
		w.shuttle()
		if n, _, _, e := c.Recv(buf, 0); n != len(buf) || e != 0 {
			b.Fatal(n, e)
		}
	}
}

// BenchmarkLoopback sends through the loopback interface.
func BenchmarkLoopback(b *testing.B) {
	h := &host{Stack: New(Config{Memory: 512 << 20})}
	l := h.listen(b, 80)
	c := h.socket(b, sockStream, 0)
	c.must(c.Connect(netip.MustParseAddrPort("127.0.0.1:80")), syscall.EINPROGRESS)
	s, _, e := l.Accept()
	l.must(e)
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	defer cpuTime(b)()
	for range b.N {
		for sent := 0; sent < len(buf); {
			n, e := c.Send(buf[sent:], netip.AddrPort{}, 0)
			sent += n
			for {
				n, _, _, e := s.Recv(buf, 0)
				if e == syscall.EAGAIN {
					break
				}
				if n == 0 || e != 0 {
					b.Fatal(n, e)
				}
			}
			if e != 0 && e != syscall.EAGAIN {
				b.Fatal(e)
			}
		}
	}
}
