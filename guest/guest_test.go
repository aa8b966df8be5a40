package guest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// listen starts a listener on loopback.
func listen(t *testing.T, f func(*Conn)) *Listener {
	l, err := TCP().ListenAt(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	l.OnConnect(f)
	return l
}

// finished fails the test if Run does not return soon, or goroutines stay.
func finished(t *testing.T, before int) {
	t.Helper()
	done := make(chan bool)
	go func() { Run(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("Run does not return")
	}
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b := make([]byte, 1<<20)
			t.Fatalf("goroutines stay:\n%s", b[:runtime.Stack(b, true)])
		}
	}
}

// TestNativeEcho has a client of package net use an event-driven echo server, with more than all buffers hold.
func TestNativeEcho(t *testing.T) {
	before := runtime.NumGoroutine()
	var running, closed atomic.Int32
	l := listen(t, func(c *Conn) {
		var rest []byte
		c.OnRead(4000, func(b []byte) {
			if running.Add(1) != 1 || len(b) > 4000 {
				t.Error("two callbacks at once, or too many bytes")
			}
			n, err := c.Write(b)
			if err == ErrFull {
				rest = append(rest, b[n:]...)
				c.Pause()
			}
			running.Add(-1)
		})
		end := false
		c.OnDrain(func() {
			n, err := c.Write(rest)
			if rest = rest[n:]; err == nil {
				if c.Resume(); end {
					c.CloseWrite()
				}
			}
		})
		c.OnEnd(func() {
			if end = true; len(rest) == 0 {
				c.CloseWrite()
			}
		})
		c.OnClose(func(err error) {
			if err != nil {
				t.Error(err)
			}
			closed.Add(1)
		})
	})
	const clients, size = 3, 4 << 20
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i * i >> 8)
	}
	results := make(chan error, clients)
	for range clients {
		go func() {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				results <- err
				return
			}
			defer c.Close()
			go func() {
				c.Write(want)
				c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err == nil && !bytes.Equal(got, want) {
				err = errors.New("other bytes")
			}
			results <- err
		}()
	}
	for range clients {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	l.Close()
	finished(t, before)
	if closed.Load() != clients {
		t.Errorf("%d connections were closed", closed.Load())
	}
}

// TestNativeReasons: how connections end.
func TestNativeReasons(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, c := range []struct {
		name           string
		server, client func(*Conn)
		errs, errc     error
	}{
		{"close", (*Conn).Close, func(*Conn) {}, nil, nil},
		{"abort", func(c *Conn) { c.OnRead(0, func([]byte) { c.Abort() }) }, func(c *Conn) { c.Write([]byte("x")) }, ErrAborted, ErrReset},
		{"half-close", func(c *Conn) { c.CloseWrite() }, func(c *Conn) {
			sent := 0
			c.OnWrite(func(n int) {
				if sent += n; sent == 5 {
					c.CloseWrite()
				}
			})
			c.Write([]byte("hello"))
			c.OnEnd(func() {})
		}, nil, nil},
	} {
		errs := make(chan error, 2)
		errc := make(chan error, 2)
		l := listen(t, func(k *Conn) {
			k.OnRead(0, func([]byte) {})
			k.OnClose(func(err error) { errs <- err })
			c.server(k)
		})
		if _, err := TCP().Connect(l.Addr(), func(k *Conn, err error) {
			if err != nil {
				t.Error(err)
				return
			}
			if k.RemoteAddr() != l.Addr() || !k.LocalAddr().IsValid() {
				t.Errorf("from %v to %v", k.LocalAddr(), k.RemoteAddr())
			}
			k.OnClose(func(err error) { errc <- err })
			c.client(k)
		}); err != nil {
			t.Fatal(err)
		}
		if s, k := <-errs, <-errc; s != c.errs || k != c.errc {
			t.Errorf("%s: server %v, client %v; want %v, %v", c.name, s, k, c.errs, c.errc)
		}
		l.Close()
		// Nobody listens any more.
		if _, err := TCP().Connect(l.Addr(), func(k *Conn, err error) { errc <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-errc; err != ErrRefused {
			t.Errorf("connect to nobody: %v", err)
		}
	}
	if _, err := TCP().ListenAt(netip.MustParseAddrPort("192.0.2.1:1")); err != syscall.EADDRNOTAVAIL {
		t.Errorf("listen at another's address: %v", err)
	}
	l := listen(t, func(*Conn) {})
	if _, err := TCP().ListenAt(l.Addr()); err != ErrInUse {
		t.Errorf("listen where another does: %v", err)
	}
	l.Close()
	finished(t, before)
}

// TestNativeTimers: timers and posted calls run on the loop, and keep Run waiting.
func TestNativeTimers(t *testing.T) {
	before := runtime.NumGoroutine()
	var order []string // only the loop uses it
	n := 0
	begin := time.Now()
	var tick *Timer
	tick = Every(5*time.Millisecond, func() {
		if n++; n == 3 {
			tick.Stop()
		}
	})
	After(40*time.Millisecond, func() { order = append(order, "after") })
	Post(func() { order = append(order, "post") })
	finished(t, before)
	if n != 3 || len(order) != 2 || order[0] != "post" || order[1] != "after" || time.Since(begin) < 40*time.Millisecond {
		t.Errorf("%d ticks, %v, after %v", n, order, time.Since(begin))
	}
}

// TestNativeDatagrams echoes datagrams.
func TestNativeDatagrams(t *testing.T) {
	before := runtime.NumGoroutine()
	s, err := UDP().OpenAt(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	s.OnReceive(func(b []byte, from netip.AddrPort) {
		if err := s.SendTo(b, from); err != nil {
			t.Error(err)
		}
	})
	c, err := UDP().Open(0)
	if err != nil {
		t.Fatal(err)
	}
	sizes := make(chan int, 10)
	c.OnReceive(func(b []byte, from netip.AddrPort) {
		if from != s.Addr() {
			t.Errorf("from %v", from)
		}
		sizes <- len(b)
	})
	for _, n := range []int{0, 1, 1472, 9000, 60000} {
		if err := c.SendTo(make([]byte, n), s.Addr()); err != nil {
			t.Fatal(err)
		}
		if got := <-sizes; got != n {
			t.Errorf("%d bytes, want %d", got, n)
		}
	}
	c.Close()
	s.Close()
	if err := c.SendTo(nil, s.Addr()); err != ErrClosed {
		t.Error(err)
	}
	finished(t, before)
}
