package net

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"ukvm.dev/guest/net/event"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
)

// chaos is a program that does, in every callback, whatever comes to its mind.
type chaos struct {
	t       testing.TB
	w       *world
	rand    *rand.Rand
	conns   []*chaosConn
	depth   int
	callers int // connections made
}

// chaosConn is one end of a connection. Its data is the pattern, so that the reader knows what comes.
type chaosConn struct {
	*event.Conn
	*chaos
	host    *host
	out, in int
	closed  bool
}

// within is around all callbacks: they are called one at a time, and none after OnClose.
func (k *chaosConn) within(f func()) {
	if k.closed {
		k.t.Error("a callback after OnClose")
	}
	if k.depth++; k.depth != 1 {
		k.t.Error("a callback within another")
	}
	f()
	k.depth--
}

func (c *chaos) accept(h *host, conn *event.Conn) {
	k := &chaosConn{Conn: conn, chaos: c, host: h}
	c.conns = append(c.conns, k)
	k.read()
	k.OnClose(func(error) {
		k.within(func() {})
		k.closed = true
	})
	for range 3 {
		k.act()
	}
}

// read has the data checked from now on.
func (k *chaosConn) read() {
	most := k.rand.IntN(3) * k.rand.IntN(3000)
	k.OnRead(most, func(b []byte) {
		k.within(func() {
			want := make([]byte, len(b))
			if pattern(want, k.in, 5); !bytes.Equal(b, want) || len(b) == 0 || most > 0 && len(b) > most {
				k.t.Errorf("%d wrong bytes from %d on", len(b), k.in)
			}
			k.in += len(b)
			k.act()
		})
	})
}

// act does one thing.
func (k *chaosConn) act() {
	r := k.rand
	again := func() { k.within2(k.act) }
	switch r.IntN(24) {
	case 0, 1, 2, 3, 4, 5, 6:
		b := make([]byte, r.IntN(r.IntN(60_000)+1))
		pattern(b, k.out, 5)
		n, err := k.Write(b)
		if n < 0 || n > len(b) || n < len(b) && err == nil {
			k.t.Errorf("%d of %d bytes, %v", n, len(b), err)
		}
		k.out += n
	case 7:
		k.Pause()
	case 8, 9:
		k.Resume()
	case 10, 11, 12, 13:
		k.host.Events().After(time.Duration(r.IntN(300))*time.Millisecond, again)
	case 14:
		k.OnDrain(func() { k.within(k.act) })
	case 15:
		k.OnWrite(func(n int) {
			k.within(func() {
				if n <= 0 {
					k.t.Errorf("%d bytes are acknowledged", n)
				}
				k.act()
			})
		})
	case 16:
		k.OnEnd(func() { k.within(k.act) })
	case 17:
		k.OnEnd(nil)
	case 18:
		k.OnRead(0, nil)
	case 19, 20:
		k.read()
	case 21:
		k.CloseWrite()
	case 22:
		if r.IntN(3) == 0 {
			k.Close()
		} else {
			k.Post()
		}
	case 23:
		switch r.IntN(6) {
		case 0:
			k.Abort()
		case 1:
			k.call(k.host)
		}
	}
}

// within2 is within for what does not belong to the connection, which may be closed.
func (k *chaosConn) within2(f func()) {
	if k.depth++; k.depth != 1 {
		k.t.Error("a callback within another")
	}
	f()
	k.depth--
}

// Post acts a little later.
func (k *chaosConn) Post() { k.host.Events().Post(func() { k.within2(k.act) }) }

// call makes a connection to the other host, or to the same one.
func (c *chaos) call(h *host) {
	if c.callers >= 30 {
		return
	}
	c.callers++
	to := []netip.Addr{c.w.a.addr, c.w.b.addr, netip.MustParseAddr("127.0.0.1")}[c.rand.IntN(3)]
	conn, err := h.TCP().Connect(netip.AddrPortFrom(to, uint16(7+c.rand.IntN(2))), func(conn *event.Conn, err error) {
		if err == nil {
			c.accept(h, conn)
		}
	})
	if err == nil && c.rand.IntN(10) == 0 {
		conn.Close()
	}
}

// run lets the program have its way for a minute, then ends it, and sees that nothing is left.
func (c *chaos) run() {
	var listeners []*event.Listener
	for _, h := range []*host{c.w.a, c.w.b} {
		l := must[*event.Listener](c.t)(h.TCP().Listen(7))
		l.OnConnect(func(conn *event.Conn) { c.accept(h, conn) })
		listeners = append(listeners, l)
	}
	for range 10 {
		c.call(c.w.a)
		c.call(c.w.b)
	}
	c.w.clock.Run(60 * seconds)
	c.callers = 1000
	for _, l := range listeners {
		l.Close()
	}
	for _, k := range c.conns {
		k.Abort()
	}
	c.w.clock.Run(600 * seconds)
	bytes := 0
	for _, k := range c.conns {
		bytes += k.in
		if !k.closed {
			c.t.Error("a connection was not told of its end")
		}
	}
	c.t.Logf("%d ends of connections, %d bytes", len(c.conns), bytes)
	c.w.left()
}

// FuzzEvents: whatever a program does in its callbacks, and whatever becomes of its packets, data is right, connections
// are told of their end once, and nothing is left.
func FuzzEvents(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, uint8(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, faults uint8) {
		link := nettest.Faults{Delay: 1_000_000}
		if faults&1 != 0 {
			link.Loss, link.Reorder, link.Late, link.Duplicate = 0.02, 0.02, 2_000_000, 0.02
		}
		if faults&2 != 0 {
			link.Rate, link.Queue = 1_000_000, 50_000_000
		}
		features := nic.Features{}
		if faults&4 != 0 {
			features = offload
		}
		w := newWorld(t, seed, link, features)
		(&chaos{t: t, w: w, rand: rand.New(rand.NewPCG(seed, 99))}).run()
	})
}
