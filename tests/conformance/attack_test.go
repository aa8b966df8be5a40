package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"syscall"
	"testing"

	"ukvm.dev/guest/net"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
	"ukvm.dev/tests/internal/ukvmtest"
)

// A stack under attack must do three things: go on serving those who mean well, keep its memory within bounds, and not
// become a weapon itself. The tests below check all three, with figures; time is virtual.

// server is a program on the host that echoes on port 80, event-driven.
type server struct {
	*host
	listener net.Socket
	conns    []net.Socket
	readable []net.Socket
	accept   bool
	served   int  // bytes echoed
	idle     bool // it reads nothing
	buf      [4096]byte
}

func newServer(t testing.TB, memory, backlog int) *server {
	s := &server{host: newHost(t, card{mtu: 1500, memory: memory, ecn: 2}, 0)}
	l, e := s.Socket(syscall.SOCK_STREAM, 0)
	if e == 0 {
		e = l.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), 80))
	}
	if e == 0 {
		e = l.Listen(backlog)
	}
	if e != 0 {
		t.Fatal(e)
	}
	s.listener = l
	l.Notify(func(level, _ posix.Events) { s.accept = level&posix.EventIn != 0 })
	return s
}

// work does all there is to do.
func (s *server) work() {
	for s.accept || len(s.readable) > 0 {
		for s.accept {
			k, _, e := s.listener.Accept()
			if e != 0 {
				break
			}
			s.conns = append(s.conns, k)
			k.Notify(func(level, raised posix.Events) {
				if raised&posix.EventIn != 0 && !s.idle {
					s.readable = append(s.readable, k)
				}
			})
		}
		list := s.readable
		s.readable = nil
		for _, k := range list {
			s.echo(k)
		}
	}
	s.clock.Run(0)
}

func (s *server) echo(k net.Socket) {
	for {
		n, _, _, e := k.Recv(s.buf[:], 0)
		if e == syscall.EAGAIN {
			return
		}
		if n == 0 || e != 0 {
			k.Close()
			return
		}
		k.Send(s.buf[:n], netip.AddrPort{}, 0)
		s.served += n
	}
}

// put makes a segment arrive from a peer, and lets the server work.
func (s *server) put(src netip.Addr, f wire.TCPFields, data []byte) {
	f.DstPort = 80
	s.segment(src, f, nil, data)
	s.deliver()
	s.work()
}

// take returns what has been sent to a peer since, and forgets the rest.
func (s *server) take(dst netip.Addr, port uint16) []frame {
	var list []frame
	for _, f := range s.sent {
		if f.ip.Dst() == dst && f.tcp.DstPort() == port {
			list = append(list, f)
		}
	}
	s.sent = s.sent[:0]
	return list
}

// open makes a connection as a peer and returns the sequence number that the server's first byte will have.
func (s *server) open(src netip.Addr, port uint16) (next uint32, err error) {
	s.sent = s.sent[:0]
	s.put(src, wire.TCPFields{SrcPort: port, Seq: 1000, Flags: wire.SYN, Window: 65535}, nil)
	f := s.take(src, port)
	if len(f) != 1 || f[0].tcp.Flags() != wire.SYN|wire.ACK {
		return 0, fmt.Errorf("no SYN|ACK: %d segments", len(f))
	}
	next = f[0].tcp.Seq() + 1
	s.put(src, wire.TCPFields{SrcPort: port, Seq: 1001, Ack: next, Flags: wire.ACK, Window: 65535}, nil)
	return next, nil
}

// ask sends the first question on a connection, and wants it back.
func (s *server) ask(src netip.Addr, port uint16, next uint32, question []byte) error {
	s.sent = s.sent[:0]
	s.put(src, wire.TCPFields{SrcPort: port, Seq: 1001, Ack: next, Flags: wire.ACK | wire.PSH, Window: 65535}, question)
	var answer []byte
	for _, f := range s.take(src, port) {
		answer = append(answer, f.data...)
	}
	if !bytes.Equal(answer, question) {
		return fmt.Errorf("an answer of %d bytes to a question of %d", len(answer), len(question))
	}
	return nil
}

// visit is a whole honest client: it connects, has its question echoed, and closes.
func (s *server) visit(src netip.Addr, port uint16) error {
	next, err := s.open(src, port)
	if err != nil {
		return err
	}
	if err := s.ask(src, port, next, pattern(int(port), 100)); err != nil {
		return err
	}
	s.put(src, wire.TCPFields{SrcPort: port, Seq: 1101, Ack: next + 100, Flags: wire.ACK | wire.FIN, Window: 65535}, nil)
	f := s.take(src, port)
	if len(f) == 0 || f[len(f)-1].tcp.Flags()&wire.FIN == 0 {
		return fmt.Errorf("no FIN")
	}
	s.put(src, wire.TCPFields{SrcPort: port, Seq: 1102, Ack: next + 101, Flags: wire.ACK, Window: 65535}, nil)
	s.conns = s.conns[:len(s.conns)-1]
	return nil
}

// heap is how much memory is in use, in bytes.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func (s *server) mustStat(name string) int {
	v, ok := s.stat(name)
	if !ok {
		s.t.Fatalf("there is no counter %s", name)
	}
	return int(v)
}

// stranger is the nth of many addresses that lie behind the router.
func stranger(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 64 + byte(n>>16), byte(n >> 8), byte(n)})
}

var client = netip.MustParseAddr("10.0.0.3")

// TestSynFlood: 100 000 SYNs from as many addresses, within 10 s. Every honest client in between is served.
func TestSynFlood(t *testing.T) {
	s := newServer(t, 64, 128)
	before := heap()
	visits, most := 0, 0
	for n := range 100_000 {
		s.put(stranger(n), wire.TCPFields{SrcPort: 4000, Seq: uint32(n) * 7919, Flags: wire.SYN, Window: 1024}, nil)
		if n%100 == 0 {
			s.clock.Run(10 * millisecond)
		}
		if n%1000 == 999 {
			if err := s.visit(client, uint16(5000+visits)); err != nil {
				t.Fatalf("client %d: %v", visits, err)
			}
			visits++
		}
		most = max(most, s.mustStat("tcp.connections"))
		s.sent = s.sent[:0]
	}
	grown := heap() - before
	ukvmtest.Figure(t, "tcp: heap under a flood of 100 000 SYNs", float64(grown>>10), "KiB")
	t.Logf("%d clients served; at most %d connections, %d cookies sent, %d taken; heap grown by %d KiB", visits, most,
		s.mustStat("tcp.cookies_tx"), s.mustStat("tcp.cookies_rx"), grown>>10)
	if most > 2*128+1 {
		t.Errorf("%d connections", most)
	}
	if limit := 1 << 20; grown > limit {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if s.mustStat("tcp.cookies_rx") == 0 {
		t.Error("no cookie came back")
	}
	s.tap = func(frame) {}
	s.clock.Run(200 * second)
	if err := s.empty(); err != nil {
		t.Error(err)
	}
}

// TestAckFlood: 100 000 ACKs with random numbers, for a connection and for none. The connection is answered ten times a
// second at most (RFC 5961 §7), strangers get one short RST each, and nothing is remembered.
func TestAckFlood(t *testing.T) {
	s := newServer(t, 64, 128)
	next, err := s.open(client, 5000)
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	r := rand.New(rand.NewPCG(1, 1))
	answers, resets := 0, 0
	for n := range 100_000 {
		f := wire.TCPFields{SrcPort: 5000, Seq: r.Uint32(), Ack: r.Uint32(), Flags: wire.ACK, Window: uint16(r.Uint32())}
		s.put(client, f, nil)
		answers += len(s.take(client, 5000))
		s.put(stranger(n), f, nil)
		resets += len(s.take(stranger(n), 5000))
		if n%100 == 0 {
			s.clock.Run(10 * millisecond)
		}
	}
	grown := heap() - before
	t.Logf("%d answers in 10 s, %d RSTs to 100 000 ACKs of strangers; heap grown by %d KiB", answers, resets, grown>>10)
	if answers > 101 || resets > 100_000 || s.mustStat("tcp.connections") != 1 || grown > 1<<20 {
		t.Errorf("%d answers, %d RSTs, %d connections", answers, resets, s.mustStat("tcp.connections"))
	}
	if err := s.ask(client, 5000, next, []byte("still there?")); err != nil {
		t.Error(err)
	}
	if err := s.visit(client, 5001); err != nil {
		t.Error(err)
	}
}

// TestSpoofedResets: RSTs, SYNs and data with all numbers but the right one, over the window and beyond (RFC 5961).
func TestSpoofedResets(t *testing.T) {
	s := newServer(t, 64, 128)
	next, err := s.open(client, 5000)
	if err != nil {
		t.Fatal(err)
	}
	answers := 0
	for n := range 100_000 {
		f := wire.TCPFields{SrcPort: 5000, Seq: 1002 + uint32(n)*331, Flags: wire.RST}
		switch n % 3 {
		case 1:
			f.Flags = wire.SYN
		case 2:
			f.Flags, f.Ack = wire.RST|wire.ACK, next
		}
		s.put(client, f, nil)
		answers += len(s.take(client, 5000))
		if n%100 == 0 {
			s.clock.Run(10 * millisecond)
		}
	}
	t.Logf("%d challenges in 10 s", answers)
	if answers == 0 || answers > 101 {
		t.Errorf("%d challenges", answers)
	}
	if err := s.ask(client, 5000, next, []byte("still there?")); err != nil {
		t.Error(err)
	}
}

// TestTinySegments: a stream in segments of one byte that nobody reads, and one of every other byte, so that nothing is
// ever in order. What is kept stays within a small multiple of the window.
func TestTinySegments(t *testing.T) {
	for _, c := range []struct {
		name string
		step uint32
	}{{"in order", 1}, {"every other byte", 2}} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, 64, 128)
			s.idle = true
			next, err := s.open(client, 5000)
			if err != nil {
				t.Fatal(err)
			}
			s.tap = func(frame) {}
			before := heap()
			most := 0
			for n := range uint32(100_000) {
				s.put(client, wire.TCPFields{SrcPort: 5000, Seq: 1000 + c.step + n*c.step, Ack: next, Flags: wire.ACK, Window: 65535}, []byte{byte(n)})
				most = max(most, s.mustStat("tcp.memory"))
			}
			grown := heap() - before
			t.Logf("at most %d KiB charged, heap grown by %d KiB", most>>10, grown>>10)
			// 128 KiB of receive buffer, kept at 2.5 times its size at most, and 4096 packets ahead of a hole.
			if limit := 4 << 20; most > limit || grown > limit {
				t.Errorf("%d KiB charged, heap grown by %d KiB", most>>10, grown>>10)
			}
			if grown > most+most/2+1<<20 {
				t.Errorf("the heap has grown by %d KiB, of which %d are accounted for", grown>>10, most>>10)
			}
			for _, k := range s.conns {
				k.Close()
			}
			s.clock.Run(200 * second)
			if err := s.empty(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOverlaps: segments that overlap in all ways, in random order, over and over. The stream comes out right, once.
func TestOverlaps(t *testing.T) {
	s := newServer(t, 64, 128)
	s.idle = true
	next, err := s.open(client, 5000)
	if err != nil {
		t.Fatal(err)
	}
	s.tap = func(frame) {}
	const size = 60_000
	r := rand.New(rand.NewPCG(3, 3))
	most := 0
	for range 100_000 {
		at := 1 + r.IntN(size-1) // never the first byte
		n := min(1+r.IntN(1400), size-at)
		s.put(client, wire.TCPFields{SrcPort: 5000, Seq: 1001 + uint32(at), Ack: next, Flags: wire.ACK, Window: 65535}, pattern(at, n))
		most = max(most, s.mustStat("tcp.memory"))
	}
	t.Logf("at most %d KiB charged", most>>10)
	if most > 1<<20 {
		t.Errorf("%d KiB charged for %d bytes", most>>10, size)
	}
	s.put(client, wire.TCPFields{SrcPort: 5000, Seq: 1001, Ack: next, Flags: wire.ACK, Window: 65535}, pattern(0, 1))
	b := make([]byte, size+1)
	n := 0
	for {
		k, _, _, e := s.conns[0].Recv(b[n:], 0)
		if e != 0 {
			break
		}
		n += k
	}
	if n != size || !bytes.Equal(b[:n], pattern(0, size)) {
		t.Errorf("%d bytes, right: %v", n, bytes.Equal(b[:n], pattern(0, n)))
	}
	s.conns[0].Close()
	s.clock.Run(200 * second)
	if err := s.empty(); err != nil {
		t.Error(err)
	}
}

// TestFragments: 100 000 fragments that overlap or never become whole, of as many datagrams. What is kept of them stays
// within bounds, and is gone when their time is over.
func TestFragments(t *testing.T) {
	s := newServer(t, 64, 128)
	r := rand.New(rand.NewPCG(9, 9))
	s.tap = func(frame) {}
	before := heap()
	for n := range 100_000 {
		f := wire.IPv4Fields{
			Proto: wire.ProtoTCP, Src: stranger(n / 4), Dst: hostAddr, ID: uint16(n / 4), TTL: 64,
			Flags: wire.IPv4MF, Offset: 8 * r.IntN(4000),
		}
		data := pattern(n, 8*(1+r.IntN(180)))
		f.TotalLen = wire.IPv4Size + len(data)
		b := make([]byte, f.TotalLen)
		wire.IPv4(b[:wire.IPv4Size]).Encode(&f)
		copy(b[wire.IPv4Size:], data)
		s.hold(wire.TypeIPv4, b)
		s.deliver()
		if n%100 == 0 {
			s.clock.Run(10 * millisecond)
		}
	}
	grown := heap() - before
	ukvmtest.Figure(t, "ip: heap under 100 000 fragments", float64(grown>>10), "KiB")
	if limit := 8 << 20; grown > limit {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	s.tap = nil
	if err := s.visit(client, 5000); err != nil {
		t.Error(err)
	}
	s.tap = func(frame) {}
	s.clock.Run(100 * second)
	if left := heap() - before; left > 1<<20 {
		t.Errorf("%d KiB are still in use", left>>10)
	}
}

// TestSlowReaders: 1000 clients ask for much and read nothing. What the server writes for them stays within the stack's
// memory, and another client is served meanwhile.
func TestSlowReaders(t *testing.T) {
	s := newServer(t, 64, 128)
	s.idle = true
	limit := s.Limits().TCP.Memory
	for n := range 1000 {
		next, err := s.open(stranger(n), 4000)
		if err != nil {
			t.Fatal(err)
		}
		s.put(stranger(n), wire.TCPFields{SrcPort: 4000, Seq: 1001, Ack: next, Flags: wire.ACK}, nil)
	}
	s.tap = func(frame) {}
	before := heap()
	written := 0
	data := pattern(0, 1<<20)
	for range 3 {
		for _, k := range s.conns {
			n, _ := k.Send(data, netip.AddrPort{}, 0)
			written += max(n, 0)
		}
		s.clock.Run(second)
	}
	memory, grown := s.mustStat("tcp.memory"), heap()-before
	ukvmtest.Figure(t, "tcp: heap for 1000 slow readers", float64(grown>>10), "KiB")
	t.Logf("%d KiB written, %d KiB of %d charged, heap grown by %d KiB", written>>10, memory>>10, limit>>10, grown>>10)
	// Every connection may have one small block beyond the limit, so that none starves.
	if bound := limit + 1000*packet.Small; memory > bound || grown > bound+bound/4 {
		t.Errorf("%d KiB charged, heap grown by %d KiB; the limit is %d KiB", memory>>10, grown>>10, limit>>10)
	}
	s.idle, s.tap = false, nil
	if err := s.visit(client, 5000); err != nil {
		t.Error(err)
	}
	s.tap = func(frame) {}
	for _, k := range s.conns {
		k.Close()
	}
	s.clock.Run(4000 * second)
	if err := s.empty(); err != nil {
		t.Error(err)
	}
}

// TestIdleConnections: 50 000 idle connections that have had a question answered, and 100 000 in a stack for 1 GiB: what
// one costs, and that clients are served beside them.
func TestIdleConnections(t *testing.T) {
	for _, c := range []struct{ count, memory int }{{50_000, 512}, {100_000, 1024}} {
		t.Run(fmt.Sprint(c.count), func(t *testing.T) {
			s := newServer(t, c.memory, 128)
			s.conns = make([]net.Socket, 0, c.count+1)
			before := heap()
			for n := range c.count {
				next, err := s.open(stranger(n), 4000)
				if err == nil {
					err = s.ask(stranger(n), 4000, next, []byte("hello"))
				}
				if err != nil {
					t.Fatalf("connection %d: %v", n, err)
				}
				s.put(stranger(n), wire.TCPFields{SrcPort: 4000, Seq: 1006, Ack: next + 5, Flags: wire.ACK, Window: 65535}, nil)
			}
			grown := heap() - before
			each := grown / c.count
			ukvmtest.Figure(t, fmt.Sprintf("tcp: one of %d idle connections, socket included", c.count), float64(each), "bytes")
			if each > idleMax {
				t.Errorf("%d bytes a connection, want at most %d", each, idleMax)
			}
			if v := s.mustStat("tcp.connections"); v != c.count {
				t.Errorf("%d connections", v)
			}
			if err := s.visit(client, 5000); err != nil {
				t.Error(err)
			}
			s.tap = func(frame) {}
			for _, k := range s.conns {
				k.Close()
			}
			s.clock.Run(200 * second)
			if err := s.empty(); err != nil {
				t.Error(err)
			}
		})
	}
}

// idleMax is what an idle connection may cost, in bytes, with its socket and its place in the tables.
const idleMax = 2048
