package user_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/pair"
	"ukvm.dev/netif/tap"
	"ukvm.dev/netif/user"
)

// kernelGuest is Linux's own stack as the guest: a TAP device in a namespace whose host side has the guest's addresses,
// joined to the link.
type kernelGuest struct {
	t  testing.TB
	ns *netiftest.NetNS
}

func newKernelGuest(t testing.TB, l *user.Link) *kernelGuest {
	t.Helper()
	c := l.Config()
	ns := netiftest.NewNetNS(t)
	wire, err := tap.New(tap.Config{
		Name: "guest0", NetNSFile: ns, MTU: min(c.MTU, 65521),
		Addr: netip.PrefixFrom(c.Router, c.Addr.Bits()), Gateway: c.Addr.Addr(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wire.Close() })
	ns.Do(t, func() error {
		link, err := netlink.LinkByName(wire.Name())
		if err != nil {
			return err
		}
		if err := netlink.LinkSetHardwareAddr(link, c.MAC[:]); err != nil {
			return fmt.Errorf("set address: %w", err)
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: c.Router.AsSlice()})
	})
	netiftest.Join(t, l, wire, c.MTU)
	return &kernelGuest{t, ns}
}

func (g *kernelGuest) listen(port int) (l net.Listener) {
	g.t.Helper()
	g.ns.Do(g.t, func() (err error) {
		l, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		return err
	})
	g.t.Cleanup(func() { l.Close() })
	return l
}

func (g *kernelGuest) dial(network, addr string) (c net.Conn, err error) {
	g.ns.Do(g.t, func() error {
		c, err = net.DialTimeout(network, addr, netiftest.Patience)
		return nil
	})
	return c, err
}

// kernelPipes are connections like pipes, with Linux as the guest.
var kernelPipes = map[string]pipe{
	"Published": func(t *testing.T) (net.Conn, net.Conn) {
		l := newLink(t, user.Config{Publish: []user.Publish{{Guest: 80}}})
		listener := newKernelGuest(t, l).listen(80)
		return connect(t, func() (net.Conn, error) { return net.Dial("tcp", hostPort(l, 0)) }, listener)
	},
	"PublishedSmallMTU": func(t *testing.T) (net.Conn, net.Conn) {
		l := newLink(t, user.Config{MTU: 1500, Publish: []user.Publish{{Guest: 80}}})
		listener := newKernelGuest(t, l).listen(80)
		return connect(t, func() (net.Conn, error) { return net.Dial("tcp", hostPort(l, 0)) }, listener)
	},
	"FromGuest": func(t *testing.T) (net.Conn, net.Conn) {
		listener := hostListener(t)
		g := newKernelGuest(t, newLink(t, user.Config{Dial: dialTo(listener.Addr())}))
		guest, host := connect(t, func() (net.Conn, error) { return g.dial("tcp", "192.0.2.1:80") }, listener)
		return host, guest
	},
	"FromGuest6": func(t *testing.T) (net.Conn, net.Conn) {
		listener := hostListener(t)
		g, _ := newKernelGuest6(t, newLink(t, user.Config{Dial: dialTo(listener.Addr())}))
		guest, host := connect(t, func() (net.Conn, error) { return g.dial("tcp", "[2001:db8::1]:80") }, listener)
		return host, guest
	},
	"FromGuest6OverOther": func(t *testing.T) (net.Conn, net.Conn) {
		listener := hostListener(t)
		g, _ := newKernelGuest6(t, newLink(t, user.Config{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := dialTo(listener.Addr())(ctx, network, "")
			if err != nil {
				return nil, err
			}
			return struct{ *net.TCPConn }{c.(*net.TCPConn)}, nil
		}}))
		guest, host := connect(t, func() (net.Conn, error) { return g.dial("tcp", "[2001:db8::1]:80") }, listener)
		return host, guest
	},
	"FromGuestOverOther": func(t *testing.T) (net.Conn, net.Conn) {
		listener := hostListener(t)
		g := newKernelGuest(t, newLink(t, user.Config{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := dialTo(listener.Addr())(ctx, network, "")
			if err != nil {
				return nil, err
			}
			return struct{ *net.TCPConn }{c.(*net.TCPConn)}, nil
		}}))
		guest, host := connect(t, func() (net.Conn, error) { return g.dial("tcp", "192.0.2.1:80") }, listener)
		return host, guest
	},
	"DialContext": func(t *testing.T) (net.Conn, net.Conn) {
		l := newLink(t, user.Config{})
		listener := newKernelGuest(t, l).listen(80)
		return connect(t, func() (net.Conn, error) { return l.DialContext(timeout(t), "tcp", ":80") }, listener)
	},
	"FaultyWire": func(t *testing.T) (net.Conn, net.Conn) {
		l := newLink(t, user.Config{MTU: 1500, Publish: []user.Publish{{Guest: 80}}})
		faults := pair.Faults{Loss: 0.002, Duplicate: 0.002, Reorder: 0.002}
		a, b, err := pair.New(pair.Config{Seed: 3, AtoB: faults, BtoA: faults})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close(); b.Close() })
		netiftest.Join(t, l, a, 1500)
		g := netiftest.NewGuest(t, b, l.Config(), netiftest.GuestOptions{})
		listener := g.Listen(t, 80)
		return connect(t, func() (net.Conn, error) { return net.Dial("tcp", hostPort(l, 0)) }, listener)
	},
}

func TestInterop(t *testing.T) {
	netiftest.NewNetNS(t) // skips once for all
	for name, mk := range kernelPipes {
		data := randomBytes(5<<20 + 3)
		if name == "FaultyWire" { // every loss that nothing follows costs a second
			data = data[:1<<20]
		}
		t.Run(name, func(t *testing.T) {
			netiftest.Leaks(t)
			host, guest := mk(t)
			for _, c := range []net.Conn{host, guest} {
				c.SetDeadline(time.Now().Add(3 * netiftest.Patience))
			}
			var wg sync.WaitGroup
			wg.Go(func() { echo(guest) })
			checkEcho(t, host, data)
			wg.Wait()
		})
	}
}

func TestInteropHalfCloseAndReset(t *testing.T) {
	for name, mk := range kernelPipes {
		if name == "FaultyWire" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			netiftest.Leaks(t)
			host, guest := mk(t)
			for _, ends := range [][2]net.Conn{{host, guest}, {guest, host}} {
				ends[0].Write([]byte("question"))
				buf := make([]byte, 8)
				if _, err := io.ReadFull(ends[1], buf); err != nil || string(buf) != "question" {
					t.Fatalf("read %q, %v", buf, err)
				}
			}
			host.(interface{ CloseWrite() error }).CloseWrite()
			if got, err := io.ReadAll(guest); len(got) != 0 || err != nil {
				t.Fatalf("read %q, %v", got, err)
			}
			guest.Write([]byte("answer"))
			if _, err := io.ReadFull(host, make([]byte, 6)); err != nil {
				t.Fatal(err)
			}
			guest.(*net.TCPConn).SetLinger(0)
			guest.Close()
			if _, err := host.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("read after a reset: %v", err)
			}
		})
	}
}

// TestInteropHTTP serves a web page from Linux in the guest's place, on kept and on fresh connections.
func TestInteropHTTP(t *testing.T) {
	netiftest.Leaks(t)
	l := newLink(t, user.Config{Publish: []user.Publish{{Guest: 80}}})
	g := newKernelGuest(t, l)
	page := randomBytes(30000)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(page) })}
	go server.Serve(g.listen(80))
	defer server.Close()
	for _, keep := range []bool{true, false} {
		transport := &http.Transport{DisableKeepAlives: !keep}
		client := &http.Client{Transport: transport, Timeout: netiftest.Patience}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 25 {
					response, err := client.Get("http://" + hostPort(l, 0))
					if err != nil {
						t.Error(err)
						return
					}
					body, err := io.ReadAll(response.Body)
					response.Body.Close()
					if err != nil || len(body) != len(page) {
						t.Errorf("%d bytes, %v", len(body), err)
						return
					}
				}
			})
		}
		wg.Wait()
		transport.CloseIdleConnections()
	}
	eventually(t, "all connections gone", func() bool { return l.Stats().TCP.Open == 0 })
}

// TestInteropUDPAndErrors checks datagrams, and that Linux understands our errors.
func TestInteropUDPAndErrors(t *testing.T) {
	netiftest.Leaks(t)
	peer := hostPackets(t, same)
	g := newKernelGuest(t, newLink(t, user.Config{MTU: 1500, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		switch address {
		case "192.0.2.1:1":
			return dialTo(peer.LocalAddr())(ctx, network, "")
		case "192.0.2.1:2":
			return refuseAll(ctx, network, address)
		}
		return nil, context.DeadlineExceeded
	}}))
	c, err := g.dial("udp", "192.0.2.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, d := range datagrams {
		if got := ask(t, c, d); len(got) != len(d) {
			t.Errorf("%d bytes for %d", len(got), len(d))
		}
	}
	for addr, want := range map[string]string{"192.0.2.1:2": "connection refused", "192.0.2.1:3": "no route to host", "10.0.2.2:9": "connection refused"} {
		if _, err := g.dial("tcp", addr); err == nil || !hasSuffix(err, want) {
			t.Errorf("dial of %s: %v, want %s", addr, err, want)
		}
		if want == "no route to host" {
			continue // Linux keeps this from UDP sockets that do not ask for it (IP_RECVERR)
		}
		u, err := g.dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		eventually(t, "error of "+addr, func() bool {
			_, err := u.Write([]byte("anyone?"))
			return err != nil && hasSuffix(err, want)
		})
	}
}

func hasSuffix(err error, want string) bool {
	s := err.Error()
	return len(s) >= len(want) && s[len(s)-len(want):] == want
}
