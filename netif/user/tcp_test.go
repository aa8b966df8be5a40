package user_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/user"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// pipe makes one connection between host and guest in the direction that the name says.
type pipe func(t *testing.T) (host, guest net.Conn)

var pipes = map[string]pipe{
	"Published": func(t *testing.T) (net.Conn, net.Conn) {
		l, g := newGuest(t, user.Config{Publish: []user.Publish{{Guest: 80}}})
		listener := g.Listen(t, 80)
		return connect(t, func() (net.Conn, error) { return net.Dial("tcp", hostPort(l, 0)) }, listener)
	},
	"FromGuest": func(t *testing.T) (net.Conn, net.Conn) {
		listener := hostListener(t)
		_, g := newGuest(t, user.Config{Dial: dialTo(listener.Addr())})
		guest, host := connect(t, func() (net.Conn, error) { return g.Dial(timeout(t), "tcp", "192.0.2.1:80") }, listener)
		return host, guest
	},
	"FromGuest6": func(t *testing.T) (net.Conn, net.Conn) {
		listener := hostListener(t)
		_, g, _ := newGuest6(t, user.Config{Dial: dialTo(listener.Addr())})
		guest, host := connect(t, func() (net.Conn, error) { return g.Dial(timeout(t), "tcp", "[2001:db8::1]:80") }, listener)
		return host, guest
	},
	"FromGuestOverOther": func(t *testing.T) (net.Conn, net.Conn) { // a connection that is no *net.TCPConn
		listener := hostListener(t)
		_, g := newGuest(t, user.Config{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := dialTo(listener.Addr())(ctx, network, "")
			if err != nil {
				return nil, err
			}
			return struct{ *net.TCPConn }{c.(*net.TCPConn)}, nil
		}})
		guest, host := connect(t, func() (net.Conn, error) { return g.Dial(timeout(t), "tcp", "192.0.2.1:80") }, listener)
		return host, guest
	},
	"DialContext": func(t *testing.T) (net.Conn, net.Conn) {
		l, g := newGuest(t, user.Config{})
		listener := g.Listen(t, 80)
		return connect(t, func() (net.Conn, error) { return l.DialContext(timeout(t), "tcp", ":80") }, listener)
	},
	"Listen": func(t *testing.T) (net.Conn, net.Conn) {
		l, g := newGuest(t, user.Config{})
		listener, err := l.Listen("tcp", ":8000")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		guest, host := connect(t, func() (net.Conn, error) { return g.Dial(timeout(t), "tcp", "10.0.2.2:8000") }, listener)
		return host, guest
	},
}

func connect(t *testing.T, dial func() (net.Conn, error), l net.Listener) (dialled, accepted net.Conn) {
	t.Helper()
	dialled, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{dialled, accepted} {
		c.SetDeadline(time.Now().Add(netiftest.Patience))
		t.Cleanup(func() { c.Close() })
	}
	return dialled, accepted
}

// forPipes runs f for each kind of connection, in both directions.
func forPipes(t *testing.T, f func(t *testing.T, a, b net.Conn)) {
	for name, mk := range pipes {
		t.Run(name+"/ToGuest", func(t *testing.T) {
			netiftest.Leaks(t)
			host, guest := mk(t)
			f(t, host, guest)
		})
		t.Run(name+"/ToHost", func(t *testing.T) {
			netiftest.Leaks(t)
			host, guest := mk(t)
			f(t, guest, host)
		})
	}
}

// TestStream moves data both ways at once.
func TestStream(t *testing.T) {
	data := randomBytes(3<<20 + 17)
	forPipes(t, func(t *testing.T, a, b net.Conn) {
		var wg sync.WaitGroup
		wg.Go(func() { echo(b) })
		checkEcho(t, a, data)
		wg.Wait()
	})
}

// TestHalfClose ends one direction and goes on in the other.
func TestHalfClose(t *testing.T) {
	forPipes(t, func(t *testing.T, a, b net.Conn) {
		a.Write([]byte("question"))
		a.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		b.Write([]byte("answer"))
		b.Close()
		if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// abort makes c's peer see a reset.
func abort(c net.Conn) {
	if c, ok := c.(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	c.Close() // netstack's stand-in resets when there is unread data
}

func TestReset(t *testing.T) {
	forPipes(t, func(t *testing.T, a, b net.Conn) {
		// Unread data makes netstack reset on close, and Linux too.
		b.Write([]byte("unread"))
		if _, err := io.ReadFull(a, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		abort(a)
		_, err := io.ReadAll(b)
		if !errors.Is(err, syscall.ECONNRESET) && (err == nil || !strings.Contains(err.Error(), "connection reset by peer")) {
			t.Errorf("read after a reset: %v", err)
		}
	})
}

// TestResetWhileBlocked resets a connection while the other direction waits for a reader.
func TestResetWhileBlocked(t *testing.T) {
	forPipes(t, func(t *testing.T, a, b net.Conn) {
		wrote := make(chan error, 1)
		go func() {
			var err error
			for chunk := make([]byte, 1<<20); err == nil; {
				_, err = b.Write(chunk) // until everything is full
			}
			wrote <- err
		}()
		if _, err := io.ReadFull(a, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		abort(a)
		if err := <-wrote; err == nil || errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("write after a reset: %v", err)
		}
	})
}

// TestRefusedByGuest connects to a published port before and after the guest's server is there.
func TestRefusedByGuest(t *testing.T) {
	netiftest.Leaks(t)
	l, g := newGuest(t, user.Config{Publish: []user.Publish{{Guest: 80}}})
	probe := func() error {
		c, err := net.Dial("tcp", hostPort(l, 0))
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(netiftest.Patience))
		_, err = c.Read(make([]byte, 1))
		return err
	}
	if err := probe(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("probe without a server: %v", err)
	}
	if _, err := l.DialContext(timeout(t), "tcp", ":80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("DialContext without a server: %v", err)
	}
	serve(g.Listen(t, 80), func(c net.Conn) { c.Write([]byte("hello")); c.Close() })
	if err := probe(); err != nil {
		t.Errorf("probe with a server: %v", err)
	}
	eventually(t, "counters", func() bool {
		s := l.Stats().TCP
		return s.Failed == 1 && s.ToGuest == 1 && s.Open == 0 && s.Pending == 0
	})
}

// TestErrorsToGuest checks what the guest is told when the host's side fails.
func TestErrorsToGuest(t *testing.T) {
	netiftest.Leaks(t)
	dialled := make(chan string, 10)
	l, g := newGuest(t, user.Config{Dial: func(_ context.Context, network, address string) (net.Conn, error) {
		dialled <- network + " " + address
		switch address {
		case "192.0.2.1:1":
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		case "192.0.2.1:2":
			return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
		case "192.0.2.1:3":
			return nil, syscall.EACCES
		}
		return nil, context.DeadlineExceeded
	}})
	for _, c := range []struct{ addr, dialled, want string }{
		{"192.0.2.1:1", "tcp 192.0.2.1:1", "connection was refused"},
		{"192.0.2.1:2", "tcp 192.0.2.1:2", "network is unreachable"},
		{"192.0.2.1:3", "tcp 192.0.2.1:3", "no route to host"},
		{"192.0.2.1:4", "tcp 192.0.2.1:4", "no route to host"},
		{"10.0.2.2:80", "", "connection was refused"},
		{"10.0.2.3:80", "", "connection was refused"},
		{"8.8.8.8:53", "tcp 8.8.8.8:53", "no route to host"},
	} {
		conn, err := g.Dial(timeout(t), "tcp", c.addr)
		if err == nil {
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("guest's dial of %s: %v, want %s", c.addr, err, c.want)
		}
		if c.dialled != "" {
			if got := <-dialled; got != c.dialled {
				t.Errorf("Dial(%s), want %s", got, c.dialled)
			}
		}
	}
	if s := l.Stats().TCP; s.Failed != 7 || s.Open != 0 || len(dialled) != 0 {
		t.Errorf("stats %+v, %d unexpected dials", s, len(dialled))
	}
}

// TestOutOfReach tries addresses that must not be dialled at all.
func TestOutOfReach(t *testing.T) {
	netiftest.Leaks(t)
	var dials atomic.Int32
	l, g := newGuest(t, user.Config{Dial: func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		return nil, syscall.ECONNREFUSED
	}})
	for _, addr := range []string{"169.254.169.254:80", "224.0.0.1:80", "255.255.255.255:80", "240.0.0.1:80", "0.1.2.3:80", "10.0.2.4:80", "10.0.2.255:80", "10.0.2.77:80"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if c, err := g.Dial(ctx, "tcp", addr); err == nil {
			c.Close()
			t.Errorf("the guest reached %s", addr)
		}
		cancel()
		if c, err := g.Dial(t.Context(), "udp", addr); err == nil {
			c.Write([]byte("datagram"))
			c.Close()
		}
	}
	if n := dials.Load(); n != 0 {
		t.Errorf("%d dials", n)
	}
	if l.Stats().Blocked == 0 {
		t.Error("nothing was counted as blocked")
	}
}

// TestHostLoopback reaches a service on the host's loopback, only if that is on.
func TestHostLoopback(t *testing.T) {
	netiftest.Leaks(t)
	listener := hostListener(t)
	serve(listener, echo)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_, g := newGuest(t, user.Config{HostLoopback: true})
	c, err := g.Dial(timeout(t), "tcp", "10.0.2.4:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	checkEcho(t, c, []byte("hello"))
	if c, err := g.Dial(timeout(t), "tcp", "10.0.2.4:"+freePort(t)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("dial of a closed port of the host: %v, %v", c, err)
	}
}

// TestPeerAddress checks whom the guest sees.
func TestPeerAddress(t *testing.T) {
	netiftest.Leaks(t)
	l, g := newGuest(t, user.Config{Publish: []user.Publish{{Guest: 80}}})
	listener := g.Listen(t, 80)
	c, s := connect(t, func() (net.Conn, error) { return net.Dial("tcp", hostPort(l, 0)) }, listener)
	want := netip.AddrPortFrom(l.Config().Router, netip.MustParseAddrPort(c.LocalAddr().String()).Port())
	if got := s.RemoteAddr().String(); got != want.String() {
		t.Errorf("the guest sees a client on the loopback as %s, want %s", got, want)
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		ip := netip.MustParsePrefix(a.String()).Addr()
		if !ip.Is4() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		// The host's own address stands for a client elsewhere.
		to := net.JoinHostPort(ip.String(), strings.Split(hostPort(l, 0), ":")[1])
		c, s := connect(t, func() (net.Conn, error) { return net.Dial("tcp", to) }, listener)
		if got, want := s.RemoteAddr().String(), c.LocalAddr().String(); got != want {
			t.Errorf("the guest sees a client as %s, want %s", got, want)
		}
		break
	}
}

// TestLimits fills the table of connections.
func TestLimits(t *testing.T) {
	netiftest.Leaks(t)
	release := make(chan struct{})
	listener := hostListener(t)
	l, g := newGuest(t, user.Config{
		MaxTCP: 3, MaxPending: 2,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return dialTo(listener.Addr())(ctx, network, "")
		},
	})
	type result struct {
		c   net.Conn
		err error
	}
	results := make(chan result, 3)
	ctx := timeout(t)
	dial := func() {
		c, err := g.Dial(ctx, "tcp", "192.0.2.1:80")
		results <- result{c, err}
	}
	for range 3 {
		go dial()
	}
	eventually(t, "two dials under way, one refused", func() bool {
		s := l.Stats().TCP
		return s.Pending == 2 && s.Refused >= 1
	})
	close(release)
	for range 3 { // the third succeeds when it sends its SYN again
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		defer r.c.Close()
	}
	if _, err := g.Dial(ctx, "tcp", "192.0.2.1:80"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("fourth connection: %v", err)
	}
	if s := l.Stats().TCP; s.Open != 3 || s.Pending != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestManyConnections makes more connections at once than fit any small backlog.
func TestManyConnections(t *testing.T) {
	netiftest.Leaks(t)
	l, g := newGuest(t, user.Config{Publish: []user.Publish{{Guest: 80}}, HostLoopback: true})
	serve(g.Listen(t, 80), echo)
	host := hostListener(t)
	serve(host, echo)
	_, port, _ := net.SplitHostPort(host.Addr().String())
	ctx := timeout(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			var c net.Conn
			var err error
			if i%2 == 0 {
				c, err = new(net.Dialer).DialContext(ctx, "tcp", hostPort(l, 0))
			} else {
				c, err = g.Dial(ctx, "tcp", "10.0.2.4:"+port)
			}
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			checkEcho(t, c, bytes.Repeat([]byte{byte(i)}, 10000))
		})
	}
	wg.Wait()
	eventually(t, "all connections gone", func() bool { return l.Stats().TCP.Open == 0 })
}

// TestBurst has many clients come at once where few connections may be in the making: they wait, and none gets a reset.
func TestBurst(t *testing.T) {
	netiftest.Leaks(t)
	l, g := newGuest(t, user.Config{Publish: []user.Publish{{Guest: 80}}, MaxPending: 2})
	serve(g.Listen(t, 80), echo)
	var conns []net.Conn
	for range 50 {
		c, err := net.Dial("tcp", hostPort(l, 0))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for i, c := range conns {
		checkEcho(t, c, []byte{byte(i)})
	}
	if s := l.Stats().TCP; s.ToGuest != uint64(len(conns)) || s.Refused != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestDeadGuest fills a connection to a guest that has stopped fetching frames: what waits for it stays bounded.
func TestDeadGuest(t *testing.T) {
	netiftest.Leaks(t)
	l, g := newGuest(t, user.Config{Publish: []user.Publish{{Guest: 80}}})
	listener := g.Listen(t, 80)
	c, _ := connect(t, func() (net.Conn, error) { return net.Dial("tcp", hostPort(l, 0)) }, listener)
	g.Stop()
	c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	sent := 0
	for chunk := make([]byte, 1<<16); ; {
		n, err := c.Write(chunk)
		sent += n
		if err != nil {
			break
		}
	}
	// netstack's buffer, one of the splice, and what the host's sockets take (at most 6 MiB receiving, 4 MiB sending).
	if sent > 12<<20 {
		t.Errorf("%d bytes went nowhere", sent)
	}
}
