package net

import (
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/event"
	"ukvm.dev/guest/net/nic"
)

// eventPair is a connection from a socket of a to an event-driven server of b that answers each request.
func eventPair(tb testing.TB) (w *wirePair, c *sock) {
	w = newWirePair(tb, nic.Features{TxChecksum: true}, 1500)
	l := must[*event.Listener](tb)(w.b.TCP().Listen(80))
	answer := make([]byte, 128)
	l.OnConnect(func(c *event.Conn) {
		c.OnRead(0, func(b []byte) { c.Write(answer) })
	})
	c = w.a.socket(tb, sockStream, 0)
	c.Connect(netip.AddrPortFrom(w.b.addr, 80))
	w.shuttle()
	return w, c
}

// request sends 128 bytes and reads the answer.
func request(tb testing.TB, w *wirePair, c *sock, buf []byte) {
	if _, e := c.Send(buf, netip.AddrPort{}, 0); e != 0 {
		tb.Fatal(e)
	}
	w.shuttle()
	if n, _, _, e := c.Recv(buf, 0); e != 0 || n != len(buf) {
		tb.Fatal(n, e)
	}
}

// TestEventAllocates nothing for a request and its answer, beyond what sockets do at the other end.
func TestEventAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	w, c := eventPair(t)
	buf := make([]byte, 128)
	for range 100 {
		request(t, w, c, buf)
	}
	if n := testing.AllocsPerRun(1000, func() { request(t, w, c, buf) }); n >= 1 {
		t.Errorf("%v allocations for a request", n)
	}
}

// BenchmarkEventRoundTrip is BenchmarkRoundTrip with an event-driven server.
func BenchmarkEventRoundTrip(b *testing.B) {
	w, c := eventPair(b)
	buf := make([]byte, 128)
	defer cpuTime(b)()
	for range b.N {
		request(b, w, c, buf)
	}
}
