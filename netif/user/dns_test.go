package user_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/user"
)

// fakeDNS answers a query, as a resolver would, with one A record.
func fakeDNS(addr [4]byte, asked *atomic.Int32) func([]byte) []byte {
	return func(query []byte) []byte {
		asked.Add(1)
		end := 12
		for query[end] != 0 {
			end += 1 + int(query[end])
		}
		b := append([]byte(nil), query[:end+5]...)
		b[2], b[3] = 0x81, 0x80
		copy(b[6:], []byte{0, 1, 0, 0, 0, 0})
		b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
		return append(b, addr[:]...)
	}
}

// lookup resolves a name inside the guest with Go's resolver.
func lookup(t *testing.T, g *netiftest.Guest, network, name string) ([]netip.Addr, error) {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return g.Dial(ctx, network, "10.0.2.3:53")
	}}
	return r.LookupNetIP(timeout(t), "ip", name)
}

func addrPortOf(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

func TestDNS(t *testing.T) {
	netiftest.Leaks(t)
	var asked atomic.Int32
	answer := fakeDNS([4]byte{192, 0, 2, 7}, &asked)
	server := hostPackets(t, answer)
	stream, err := net.Listen("tcp", server.LocalAddr().String())
	for range 20 { // the port may be taken, for TCP
		if err == nil {
			break
		}
		server = hostPackets(t, answer)
		stream, err = net.Listen("tcp", server.LocalAddr().String())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	serve(stream, func(c net.Conn) {
		defer c.Close()
		buf := make([]byte, 600)
		if n, err := c.Read(buf); err == nil && n > 2 { // the forwarder writes a query at once
			response := answer(buf[2:n])
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(response))), response...))
		}
	})
	closed := addrPortOf(hostListener(t).Addr()) // nothing there over UDP, nor DNS over TCP
	l, g := newGuest(t, user.Config{DNS: []netip.AddrPort{closed, addrPortOf(server.LocalAddr())}})
	for _, network := range []string{"udp", "tcp"} {
		if network == "tcp" {
			l, g = newGuest(t, user.Config{DNS: []netip.AddrPort{addrPortOf(server.LocalAddr())}})
		}
		got, err := lookup(t, g, network, "www.example.org")
		if err != nil || len(got) == 0 || got[0].String() != "192.0.2.7" {
			t.Errorf("over %s: %v, %v", network, got, err)
		}
		if n := l.Stats().DNS; n < 1 {
			t.Errorf("%d queries counted", n)
		}
	}
	if asked.Load() == 0 {
		t.Error("nobody asked")
	}
}

func TestDNSFailure(t *testing.T) {
	netiftest.Leaks(t)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, g := newGuest(t, user.Config{DNS: []netip.AddrPort{addrPortOf(closed.LocalAddr())}})
	_, err = lookup(t, g, "udp", "www.example.org")
	if err == nil || !strings.Contains(err.Error(), "server misbehaving") { // SERVFAIL, to Go
		t.Errorf("lookup without a resolver: %v", err)
	}
}

func TestDNSHostAlias(t *testing.T) {
	netiftest.Leaks(t)
	var asked atomic.Int32
	server := hostPackets(t, fakeDNS([4]byte{192, 0, 2, 7}, &asked))
	dns := []netip.AddrPort{addrPortOf(server.LocalAddr())}
	_, g := newGuest(t, user.Config{HostLoopback: true, DNS: dns})
	for _, network := range []string{"udp", "tcp"} {
		got, err := lookup(t, g, network, "Host.UKVM.internal")
		if err != nil || len(got) != 1 || got[0].String() != "10.0.2.4" {
			t.Errorf("alias: %v, %v", got, err)
		}
	}
	_, g = newGuest(t, user.Config{DNS: dns})
	if got, err := lookup(t, g, "udp", "host.ukvm.internal"); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("alias without HostLoopback: %v, %v", got, err)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d questions about the alias left the host", n)
	}
}

// TestResolvConf changes the host's file while the link is up.
func TestResolvConf(t *testing.T) {
	netiftest.Leaks(t)
	var asked [2]atomic.Int32
	servers := []net.PacketConn{
		hostPackets(t, fakeDNS([4]byte{192, 0, 2, 1}, &asked[0])),
		hostPackets(t, fakeDNS([4]byte{192, 0, 2, 2}, &asked[1])),
	}
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(i int) {
		text := fmt.Sprintf("# comment\nnameserver 127.0.0.5%d ; systemd's, say\nsearch a.example b.example%d\n", i+3, i*1000)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	l, g := newGuest(t, user.WithResolvConf(user.Config{
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			switch address {
			case "127.0.0.53:53":
				return dialTo(servers[0].LocalAddr())(ctx, network, "")
			case "127.0.0.54:53":
				return dialTo(servers[1].LocalAddr())(ctx, network, "")
			}
			return nil, fmt.Errorf("unexpected %s", address)
		},
	}, file))
	if got := strings.Join(l.Config().Search, " "); got != "a.example b.example0" {
		t.Errorf("search list %q", got)
	}
	for i, want := range []string{"192.0.2.1", "192.0.2.2"} {
		write(i)
		got, err := lookup(t, g, "udp", "www.example.org")
		if err != nil || len(got) == 0 || got[0].String() != want {
			t.Errorf("lookup: %v, %v, want %s", got, err, want)
		}
	}
	os.Remove(file)
	if _, err := lookup(t, g, "udp", "www.example.org"); err == nil {
		t.Error("lookup without a file succeeded")
	}
}
