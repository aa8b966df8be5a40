package net

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ukvm.dev/guest/net/event"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/tcp"
)

// echo answers with what it gets, stopping to read while the peer does not.
func echo(c *event.Conn) {
	var rest []byte
	c.OnRead(0, func(b []byte) {
		n, err := c.Write(b)
		if err == event.ErrFull {
			rest = append(rest, b[n:]...)
			c.Pause()
		}
	})
	c.OnDrain(func() {
		n, err := c.Write(rest)
		if rest = rest[n:]; err == nil {
			c.Resume()
		}
	})
	c.OnEnd(func() {
		if len(rest) == 0 {
			c.CloseWrite()
			return
		}
		c.OnDrain(func() {
			n, err := c.Write(rest)
			if rest = rest[n:]; err == nil {
				c.CloseWrite()
			}
		})
	})
}

// must returns what has no error.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// left checks, after a while, that nothing is left open or set.
func (w *world) left() {
	w.t.Helper()
	w.finish()
	for _, h := range []*host{w.a, w.b} {
		done := make(chan bool)
		go func() { h.Events().Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			w.t.Fatal("the loop has something open")
		}
	}
}

// client sends size bytes of the pattern to an echo server and checks what comes back.
type client struct {
	conn         *event.Conn
	out, in, ack int
	closed       bool
	err          error
}

func (w *world) client(port uint16, size int) *client {
	k := &client{}
	to := netip.AddrPortFrom(w.b.addr, port)
	must[*event.Conn](w.t)(w.a.TCP().Connect(to, func(c *event.Conn, err error) {
		if err != nil {
			k.closed, k.err = true, err
			return
		}
		k.conn = c
		b := make([]byte, 10000)
		write := func() {
			for k.out < size {
				part := b[:min(len(b), size-k.out)]
				pattern(part, k.out, 1)
				n, err := c.Write(part)
				k.out += n
				if err != nil {
					return
				}
			}
			if k.out == size {
				c.CloseWrite()
			}
		}
		c.OnDrain(write)
		c.OnWrite(func(n int) { k.ack += n })
		c.OnClose(func(err error) { k.closed, k.err = true, err })
		c.OnRead(5000, func(got []byte) {
			if len(got) == 0 || len(got) > 5000 {
				w.t.Errorf("%d bytes at once", len(got))
			}
			want := make([]byte, len(got))
			if pattern(want, k.in, 1); !bytes.Equal(got, want) {
				w.t.Errorf("wrong bytes from %d on", k.in)
			}
			k.in += len(got)
		})
		write()
	}))
	return k
}

// TestEventEcho moves data there and back through callbacks, over good and bad links.
func TestEventEcho(t *testing.T) {
	for name, f := range map[string]nettest.Faults{
		"clean": {Delay: 1_000_000, Rate: 125_000_000},
		"bad":   {Loss: 0.01, Reorder: 0.02, Late: 1_000_000, Duplicate: 0.02, Corrupt: 0.005, Delay: 1_000_000},
	} {
		for i, features := range []nic.Features{{}, offload} {
			t.Run(fmt.Sprint(name, i), func(t *testing.T) {
				w := newWorld(t, uint64(i), f, features)
				l := must[*event.Listener](t)(w.b.TCP().Listen(7))
				l.OnConnect(echo)
				const size = 1 << 20
				var all []*client
				for range 3 {
					all = append(all, w.client(7, size))
				}
				w.clock.RunUntil(600*seconds, func() bool {
					return !slices.ContainsFunc(all, func(k *client) bool { return !k.closed })
				})
				for _, k := range all {
					if !k.closed || k.err != nil || k.in != size || k.out != size {
						t.Errorf("%+v", k)
					}
					if name == "clean" && k.ack != size {
						t.Errorf("%d bytes acknowledged", k.ack)
					}
				}
				l.Close()
				w.left()
			})
		}
	}
}

// TestEventPause: what is not read closes the window, and comes, all of it, when reading goes on.
func TestEventPause(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{})
	l := must[*event.Listener](t)(w.b.TCP().Listen(9))
	var s *event.Conn
	got, ended := 0, false
	l.OnConnect(func(c *event.Conn) {
		s = c
		c.OnRead(1, func(b []byte) {
			if got += len(b); got == 100 {
				c.Pause() // in the middle of a packet
			}
			if len(b) != 1 {
				t.Errorf("%d bytes at once", len(b))
			}
		})
		c.OnEnd(func() { ended = true; c.Close() })
	})
	const size = 4 << 20
	k := w.client(9, size)
	w.clock.Run(20 * seconds)
	if got != 100 || k.out == size || ended {
		t.Fatalf("paused: %d read, %d written, end %v", got, k.out, ended)
	}
	if m := w.b.boxes.TCP.Memory(); m == 0 || m > w.b.limits.TCP.ReceiveMax*5/2 {
		t.Errorf("%d bytes wait", m)
	}
	at := k.out
	w.clock.Run(20 * seconds)
	if k.out != at {
		t.Errorf("it goes on writing: %d, %d", at, k.out)
	}
	s.Resume()
	w.clock.Run(20 * seconds)
	if got != size || !ended || !k.closed || k.err != nil {
		t.Errorf("resumed: %d read, end %v, client %+v", got, ended, k)
	}
	l.Close()
	w.left()
}

// TestEventReasons: how connections end, and that each end is told once.
func TestEventReasons(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{})
	l := must[*event.Listener](t)(w.b.TCP().Listen(7))
	var server []error
	var what func(c *event.Conn)
	l.OnConnect(func(c *event.Conn) {
		c.OnClose(func(err error) { server = append(server, err) })
		what(c)
	})
	try := func(name string, s, c func(*event.Conn), wantServer, wantClient error) {
		t.Helper()
		server, what = nil, s
		var client []error
		must[*event.Conn](t)(w.a.TCP().Connect(netip.AddrPortFrom(w.b.addr, 7), func(k *event.Conn, err error) {
			if err != nil {
				t.Fatal(err)
			}
			k.OnClose(func(err error) { client = append(client, err) })
			c(k)
		}))
		w.clock.Run(300 * seconds)
		if len(server) != 1 || len(client) != 1 || server[0] != wantServer || client[0] != wantClient {
			t.Errorf("%s: server %v, client %v; want %v, %v", name, server, client, wantServer, wantClient)
		}
	}
	nothing := func(*event.Conn) {}
	try("server closes", (*event.Conn).Close, nothing, nil, nil)
	try("client closes", nothing, (*event.Conn).Close, nil, nil)
	try("both close", (*event.Conn).Close, (*event.Conn).Close, nil, nil)
	try("both half-close", func(c *event.Conn) { c.CloseWrite() }, func(c *event.Conn) { c.CloseWrite() }, nil, nil)
	try("server aborts", (*event.Conn).Abort, nothing, event.ErrAborted, tcp.ErrReset)
	try("client aborts", nothing, func(c *event.Conn) { w.a.Events().After(time.Second, c.Abort) }, tcp.ErrReset, event.ErrAborted)
	try("twice", func(c *event.Conn) { c.Close(); c.Abort(); c.Close() }, nothing, nil, nil)
	try("unread", func(c *event.Conn) {
		w.b.Events().After(time.Second, c.Close) // resets, because something is there unread
	}, func(c *event.Conn) { c.Write([]byte("unread")) }, nil, tcp.ErrReset)
	try("reset after data", func(c *event.Conn) { c.Write([]byte("read this")); w.b.Events().After(time.Second, c.Abort) },
		func(c *event.Conn) { c.Pause() }, event.ErrAborted, tcp.ErrReset)

	// Connections that do not come about.
	for _, c := range []struct {
		to   string
		want error
	}{{"10.0.0.2:99", packet.ErrRefused}, {"10.0.0.77:7", packet.ErrHostUnreachable}} {
		var got []error
		must[*event.Conn](t)(w.a.TCP().Connect(netip.MustParseAddrPort(c.to), func(k *event.Conn, err error) {
			if k != nil {
				t.Error("a connection beside an error")
			}
			got = append(got, err)
		}))
		w.clock.Run(300 * seconds)
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %v, want %v", c.to, got, c.want)
		}
	}
	// One that is given up.
	var got error
	k := must[*event.Conn](t)(w.a.TCP().Connect(netip.MustParseAddrPort("10.0.0.77:7"), func(_ *event.Conn, err error) { got = err }))
	k.Close()
	w.clock.Run(seconds)
	if got != event.ErrClosed {
		t.Errorf("given up: %v", got)
	}
	if _, err := k.Write([]byte("x")); err != event.ErrClosed {
		t.Errorf("write to a closed connection: %v", err)
	}
	l.Close()
	l.Close()
	w.left()
}

// TestEventTimers: on the virtual clock timers go off when they are to, to the millisecond.
func TestEventTimers(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{})
	e := w.a.Events()
	start := w.clock.Now()
	var log []string
	note := func(s string) { log = append(log, fmt.Sprintf("%s@%d", s, (w.clock.Now()-start)/1e6)) }
	e.After(25*time.Millisecond, func() { note("b") })
	e.After(5*time.Millisecond, func() { note("a") })
	stopped := e.After(30*time.Millisecond, func() { note("never") })
	moved := e.After(50*time.Millisecond, func() { note("moved") })
	n := 0
	var tick *event.Timer
	tick = e.Every(10*time.Millisecond, func() {
		note("tick")
		switch n++; n {
		case 1:
			stopped.Stop()
			moved.Reset(75 * time.Millisecond)
		case 3:
			if !tick.Stop() || tick.Stop() {
				t.Error("Stop does not say whether it was active")
			}
			e.After(0, func() { note("last") })
		}
	})
	w.clock.Run(seconds)
	want := "[a@5 tick@10 tick@20 b@25 tick@30 last@31 moved@85]"
	if got := fmt.Sprint(log); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	w.left()
}

// TestEventDatagrams echoes datagrams of all sizes.
func TestEventDatagrams(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{})
	s := must[*event.Socket](t)(w.b.UDP().Open(7))
	s.OnReceive(func(b []byte, from netip.AddrPort) {
		if err := s.SendTo(b, from); err != nil {
			t.Error(err)
		}
	})
	c := must[*event.Socket](t)(w.a.UDP().Open(0))
	sizes := []int{1, 0, 512, 1472, 1473, 9000, 60000, 65507}
	i := 0
	send := func() {
		b := make([]byte, sizes[i])
		pattern(b, i, 3)
		if err := c.SendTo(b, netip.AddrPortFrom(w.b.addr, 7)); err != nil {
			t.Fatal(err)
		}
	}
	c.OnReceive(func(b []byte, from netip.AddrPort) {
		want := make([]byte, sizes[i])
		pattern(want, i, 3)
		if from != netip.AddrPortFrom(w.b.addr, 7) || !bytes.Equal(b, want) {
			t.Errorf("%d bytes from %v, or others", len(b), from)
		}
		if i++; i < len(sizes) {
			send()
			return
		}
		c.Close()
	})
	send()
	w.clock.Run(60 * seconds)
	if i != len(sizes) {
		t.Errorf("%d of %d", i, len(sizes))
	}
	if err := c.SendTo(nil, netip.AddrPortFrom(w.b.addr, 7)); err != event.ErrClosed {
		t.Errorf("send on a closed socket: %v", err)
	}
	s.Close()
	w.left()
}

// TestEventCardFull: while a card takes nothing, datagrams are refused and connections wait; both go on when it does.
func TestEventCardFull(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{})
	got := 0
	s := must[*event.Socket](t)(w.b.UDP().Open(9))
	s.OnReceive(func(b []byte, from netip.AddrPort) { got++ })
	l := must[*event.Listener](t)(w.b.TCP().Listen(7))
	l.OnConnect(echo)
	c := must[*event.Socket](t)(w.a.UDP().Open(0))
	to := netip.AddrPortFrom(w.b.addr, 9)
	if err := c.SendTo([]byte("first"), to); err != nil { // and ARP is done with
		t.Fatal(err)
	}
	w.clock.Run(seconds)

	full := true
	w.a.iface.NIC.Transmit = func(p *packet.Packet) bool { return !full && w.link.A.Transmit(p) }
	sent, refused := 1, 0
	const total = 500
	send := func() {
		for sent < total {
			if err := c.SendTo([]byte("more"), to); err == event.ErrFull {
				refused++
				return
			} else if err != nil {
				t.Fatal(err)
			}
			sent++
		}
	}
	c.OnDrain(send)
	send()
	k := w.client(7, 100_000)
	w.clock.Run(seconds / 2)
	if refused == 0 || sent > nic.QueueMax || got != 1 || k.conn != nil {
		t.Fatalf("a full card: %d sent, %d refused, %d received, %+v", sent, refused, got, k)
	}
	full = false
	w.clock.Run(10 * seconds)
	if sent != total || got != total || !k.closed || k.err != nil || k.in != 100_000 {
		t.Errorf("with room again: %d sent, %d received, %+v", sent, got, k)
	}
	c.Close()
	s.Close()
	l.Close()
	w.left()
}

// TestEventPanic: a callback that panics takes down what called it, but the stack goes on: the lock is free, and
// the other callbacks of the batch are not forgotten.
func TestEventPanic(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{})
	e := w.a.Events()
	ran := 0
	for i := range 5 {
		e.After(time.Millisecond, func() {
			if i == 2 {
				panic("oh")
			}
			ran++
		})
	}
	caught := 0
	for range 10 {
		func() {
			defer func() {
				if recover() != nil {
					caught++
				}
			}()
			w.clock.Run(seconds)
		}()
	}
	if caught != 1 || ran != 4 {
		t.Errorf("%d panics, %d of the others ran", caught, ran)
	}
	w.left()
}

// TestEventNotWithin: callbacks never run within a call, also where it has consequences at once, so a program may hold
// its mutex while it calls, and take it in callbacks.
func TestEventNotWithin(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{})
	var mu sync.Mutex
	guarded := func(f func()) {
		if !mu.TryLock() {
			t.Fatal("a callback within a call")
		}
		f()
		mu.Unlock()
	}
	mu.Lock()
	l := must[*event.Listener](t)(w.a.TCP().Listen(80))
	answers := 0
	l.OnConnect(func(c *event.Conn) {
		guarded(func() { c.OnRead(0, func(b []byte) { guarded(func() { c.Write(b) }) }) })
	})
	_, err := w.a.TCP().Connect(netip.MustParseAddrPort("127.0.0.1:80"), func(c *event.Conn, err error) {
		guarded(func() {
			c.OnRead(0, func(b []byte) {
				guarded(func() {
					if answers++; answers < 1000 {
						c.Write(b)
						return
					}
					c.Close()
					l.Close()
				})
			})
			c.Write([]byte("ball"))
		})
	})
	mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Run(seconds)
	if answers != 1000 {
		t.Errorf("%d answers", answers)
	}
	w.left()
}

// TestEventWithin does everything from within a callback that there is, which must not wait for itself.
func TestEventWithin(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{})
	done := false
	w.a.Events().Post(func() {
		l := must[*event.Listener](t)(w.a.TCP().ListenAt(netip.MustParseAddrPort("10.0.0.1:0")))
		l.OnConnect(func(c *event.Conn) {
			c.LocalAddr()
			c.RemoteAddr()
			c.OnClose(func(error) { done = true })
			c.Unacked()
			l.Close()
		})
		must[*event.Conn](t)(w.a.TCP().Connect(l.Addr(), func(c *event.Conn, err error) { c.CloseWrite() }))
		s := must[*event.Socket](t)(w.a.UDP().Open(0))
		s.Addr()
		s.Close()
		w.a.Events().After(time.Second, func() {}).Stop()
		w.a.Events().Post(func() {})
		if _, err := w.a.TCP().ListenAt(netip.MustParseAddrPort("10.9.9.9:80")); err == nil {
			t.Error("listening at an address of another host")
		}
		w.a.Do(func(*Boxes, []*Interface) {})
	})
	w.clock.Run(seconds)
	if !done {
		t.Error("not all was called")
	}
	w.left()
}

// TestEventOneSegment: answers written in several pieces, to several requests that arrived together, leave in one
// segment, and with the ACK.
func TestEventOneSegment(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{})
	l := must[*event.Listener](t)(w.b.TCP().Listen(80))
	l.OnConnect(func(c *event.Conn) {
		c.OnRead(10, func(b []byte) { c.Write([]byte("head ")); c.Write([]byte("body ")) })
	})
	var got string
	var c *event.Conn
	must[*event.Conn](t)(w.a.TCP().Connect(netip.AddrPortFrom(w.b.addr, 80), func(k *event.Conn, err error) {
		c = k
		k.OnRead(0, func(b []byte) { got += string(b) })
	}))
	w.clock.Run(seconds)
	before := w.link.B.Sent
	c.Write(make([]byte, 20))
	w.clock.RunUntil(seconds, func() bool { return got != "" })
	if n := w.link.B.Sent - before; got != "head body head body " || n != 1 {
		t.Errorf("%q in %d segments", got, n)
	}
	c.Close()
	l.Close()
	w.left()
}

// TestEventLimit: more connections than there may be are refused, and do no harm.
func TestEventLimit(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{})
	w.b.limits.Sockets = 3
	l := must[*event.Listener](t)(w.b.TCP().Listen(80))
	l.OnConnect(func(*event.Conn) {})
	open, refused := []*event.Conn{}, 0
	for range 5 {
		must[*event.Conn](t)(w.a.TCP().Connect(netip.AddrPortFrom(w.b.addr, 80), func(c *event.Conn, err error) {
			if err != nil {
				refused++
				return
			}
			open = append(open, c)
			c.OnClose(func(err error) {
				if err == tcp.ErrReset {
					refused++
				}
			})
		}))
	}
	w.clock.Run(seconds)
	if refused != 3 {
		t.Errorf("%d refused", refused)
	}
	if _, err := w.b.UDP().Open(0); !errors.Is(err, event.ErrLimit) {
		t.Errorf("one too many: %v", err)
	}
	for _, c := range open {
		c.Close()
	}
	l.Close()
	w.left()
}

// TestEventGoroutines uses the loop from many goroutines at once, in real time, over loopback.
func TestEventGoroutines(t *testing.T) {
	s := New(Config{Memory: 64 << 20})
	l := must[*event.Listener](t)(s.TCP().Listen(80))
	l.OnConnect(echo)
	var running atomic.Int32
	var wg sync.WaitGroup
	const message = 30_000 // on loopback one packet of several pieces
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			got := make(chan int, 1000)
			opened := make(chan *event.Conn, 1)
			_, err := s.TCP().Connect(netip.MustParseAddrPort("127.0.0.1:80"), func(c *event.Conn, err error) {
				if err != nil {
					t.Error(err)
				}
				opened <- c
			})
			if err != nil {
				t.Error(err)
				return
			}
			c := <-opened
			c.OnRead(0, func(b []byte) {
				if running.Add(1) != 1 {
					t.Error("two callbacks at once")
				}
				got <- len(b)
				running.Add(-1)
			})
			for range 50 {
				if n, err := c.Write(make([]byte, message)); n != message || err != nil {
					t.Error(n, err)
					return
				}
				for n := 0; n < message; {
					n += <-got
				}
				s.Events().After(0, func() { running.Load() })
			}
			c.Close()
		}()
	}
	wg.Wait()
	l.Close()
	s.Events().Wait()
}
