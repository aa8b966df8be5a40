package user_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/user"
)

// hostPackets is a UDP socket on the host's loopback that answers each datagram with the function's result.
func hostPackets(t testing.TB, answer func([]byte) []byte) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go servePackets(c, answer)
	return c
}

func servePackets(c net.PacketConn, answer func([]byte) []byte) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err == nil {
			c.WriteTo(answer(buf[:n]), from)
		} else if !errors.Is(err, syscall.ECONNREFUSED) { // of an earlier answer
			return
		}
	}
}

func same(b []byte) []byte { return b }

// ask sends a datagram until an answer comes, as users of UDP do.
func ask(t testing.TB, c net.Conn, question []byte) []byte {
	t.Helper()
	buf := make([]byte, 1<<16)
	for deadline := time.Now().Add(netiftest.Patience); time.Now().Before(deadline); {
		if _, err := c.Write(question); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(buf); err == nil {
			return buf[:n]
		}
	}
	t.Fatal("no answer")
	return nil
}

var datagrams = [][]byte{[]byte("a"), {}, bytes.Repeat([]byte("long "), 13000)}

func TestUDPFromGuest(t *testing.T) {
	for _, mtu := range []int{0, 1500, 576} {
		netiftest.Leaks(t)
		peer := hostPackets(t, same)
		l, g := newGuest(t, user.Config{Dial: dialTo(peer.LocalAddr()), MTU: mtu})
		c, err := g.Dial(timeout(t), "udp", "192.0.2.1:99")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, d := range datagrams {
			if got := ask(t, c, d); !bytes.Equal(got, d) {
				t.Errorf("mtu %d: %d bytes for %d", mtu, len(got), len(d))
			}
		}
		if s := l.Stats().UDP; s.Open != 1 || s.ToHost < 3 || s.ToGuest < 3 {
			t.Errorf("stats %+v", s)
		}
	}
}

// TestUDPOverOther uses a connection that is no *net.UDPConn.
func TestUDPOverOther(t *testing.T) {
	netiftest.Leaks(t)
	peer := hostPackets(t, same)
	_, g := newGuest(t, user.Config{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := dialTo(peer.LocalAddr())(ctx, network, "")
		return struct{ net.Conn }{c}, err
	}})
	c, err := g.Dial(timeout(t), "udp", "192.0.2.1:99")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, d := range datagrams {
		if got := ask(t, c, d); !bytes.Equal(got, d) {
			t.Errorf("%d bytes for %d", len(got), len(d))
		}
	}
}

func TestUDPPublished(t *testing.T) {
	for _, mtu := range []int{0, 1500} {
		netiftest.Leaks(t)
		l, g := newGuest(t, user.Config{Publish: []user.Publish{{Network: "udp", Guest: 53}}, MTU: mtu})
		server := g.ListenPacket(t, 53)
		seen := make(map[string]bool)
		go servePackets(server, same)
		for range 3 {
			c, err := net.Dial("udp", hostPort(l, 0))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			seen[c.LocalAddr().String()] = true
			for _, d := range datagrams {
				if got := ask(t, c, d); !bytes.Equal(got, d) {
					t.Errorf("mtu %d: %d bytes for %d", mtu, len(got), len(d))
				}
			}
		}
		// The same port of another loopback address is another peer, although the guest sees both at its router.
		port := netip.MustParseAddrPort(first(seen)).Port()
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: int(port)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(l.Published()[0].Host)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := ask(t, c, []byte("other")); string(got) != "other" {
			t.Errorf("got %q", got)
		}
		if s := l.Stats().UDP; s.Open != 4 {
			t.Errorf("stats %+v", s)
		}
	}
}

func first(m map[string]bool) string {
	for k := range m {
		return k
	}
	return ""
}

func TestUDPRefused(t *testing.T) {
	netiftest.Leaks(t)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	l, g := newGuest(t, user.Config{Dial: dialTo(closed.LocalAddr())})
	for _, addr := range []string{"192.0.2.1:99", "10.0.2.2:99"} {
		c, err := g.Dial(timeout(t), "udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		eventually(t, "refusal of "+addr, func() bool {
			_, err := c.Write([]byte("anyone?"))
			return err != nil && strings.Contains(err.Error(), "refused")
		})
	}
	eventually(t, "flow gone", func() bool { return l.Stats().UDP.Open == 0 })
}

func TestUDPLimitAndTimeout(t *testing.T) {
	netiftest.Leaks(t)
	peer := hostPackets(t, same)
	l, g := newGuest(t, user.Config{Dial: dialTo(peer.LocalAddr()), MaxUDP: 2, UDPTimeout: 500 * time.Millisecond})
	var conns []net.Conn
	for range 3 {
		c, err := g.Dial(timeout(t), "udp", "192.0.2.1:99")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("x"))
		conns = append(conns, c)
	}
	eventually(t, "two flows, one refused", func() bool { s := l.Stats().UDP; return s.Open == 2 && s.Refused == 1 })
	ask(t, conns[2], []byte("there is room again"))
	eventually(t, "idle flows gone", func() bool { return l.Stats().UDP.Open == 0 })
}

func TestDialContextUDP(t *testing.T) {
	netiftest.Leaks(t)
	l, g := newGuest(t, user.Config{})
	go servePackets(g.ListenPacket(t, 53), same)
	c, err := l.DialContext(timeout(t), "udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, d := range datagrams {
		if got := ask(t, c, d); !bytes.Equal(got, d) {
			t.Errorf("%d bytes for %d", len(got), len(d))
		}
	}
}

// TestUDPRefusedTwice sends two datagrams before the flow's socket is there: the answer to the first comes as the error of
// sending the second, and the flow ends all the same.
func TestUDPRefusedTwice(t *testing.T) {
	netiftest.Leaks(t)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	dial := make(chan struct{})
	l, g := newGuest(t, user.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		<-dial
		return dialTo(closed.LocalAddr())(ctx, network, address)
	}})
	c, err := g.Dial(timeout(t), "udp", "192.0.2.1:99")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if _, err := c.Write([]byte("anyone?")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "two datagrams", func() bool { return l.Stats().UDP.ToHost == 2 })
	close(dial)
	eventually(t, "flow gone", func() bool { return l.Stats().UDP.Open == 0 })
}
