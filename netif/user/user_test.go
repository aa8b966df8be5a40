package user_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/user"
)

func newLink(t testing.TB, c user.Config) *user.Link {
	t.Helper()
	l, err := user.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// newGuest makes a link and a guest on it.
func newGuest(t testing.TB, c user.Config) (*user.Link, *netiftest.Guest) {
	t.Helper()
	l := newLink(t, c)
	return l, netiftest.NewGuest(t, l, l.Config(), netiftest.GuestOptions{})
}

// timeout is a context that ends a test that hangs.
func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), netiftest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// hostListener is a TCP listener on the host's loopback.
func hostListener(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// dialTo is a Config.Dial under which every address is the one of the listener or packet connection given.
func dialTo(target net.Addr) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, target.String())
	}
}

// hostPort is where the published port i is reached.
func hostPort(l *user.Link, i int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(l.Published()[i].Host)))
}

// freePort is a TCP port of the host's loopback on which nothing listens.
func freePort(t testing.TB) string {
	l := hostListener(t)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// serve runs f for each connection that l accepts.
func serve(l net.Listener, f func(net.Conn)) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c)
		}
	}()
}

func echo(c net.Conn) {
	// Without its other methods, or io.Copy would keep pipes for splice(2) until the next garbage collection.
	io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
	c.Close()
}

// checkEcho sends data through c, ends the stream and expects it back.
func checkEcho(t testing.TB, c net.Conn, data []byte) {
	t.Helper()
	c.SetDeadline(time.Now().Add(netiftest.Patience))
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("read: %v", err)
	}
	if err := <-sent; err != nil {
		t.Errorf("write: %v", err)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back changed for %d", len(got), len(data))
	}
}

// eventually waits for a condition that no event announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(netiftest.Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come true", what)
		}
	}
}

// arpRequest asks for target's address, as the guest.
func arpRequest(c netif.Config, target netip.Addr) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), c.MAC[:]...)
	b = append(b, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1) // ARP, Ethernet, IPv4, request (RFC 826)
	b = append(b, c.MAC[:]...)
	b = append(b, c.Addr.Addr().AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, target.AsSlice()...)
}

func TestConformance(t *testing.T) {
	netiftest.Run(t, func(t *testing.T) netiftest.Subject {
		l := newLink(t, user.Config{MTU: 1500})
		return netiftest.Subject{Link: l, MTU: 1500, Request: arpRequest(l.Config(), l.Config().Router)}
	})
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		config user.Config
		want   string
	}{
		{user.Config{}, "10.0.2.15/24 10.0.2.2 10.0.2.3 invalid IP"},
		{user.Config{HostLoopback: true}, "10.0.2.15/24 10.0.2.2 10.0.2.3 10.0.2.4"},
		{user.Config{Subnet: netip.MustParsePrefix("192.168.7.99/27")}, "192.168.7.111/27 192.168.7.98 192.168.7.99 invalid IP"},
	} {
		g := newLink(t, c.config).Config()
		got := g.Addr.String() + " " + g.Router.String() + " " + g.DNS[0].String() + " " + g.Host.String()
		if got != c.want || g.MTU != user.DefaultMTU || g.DHCP || g.MAC[0]&3 != 2 {
			t.Errorf("config %+v, want %s", g, c.want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	netiftest.Leaks(t)
	taken := hostListener(t)
	port := netip.MustParseAddrPort(taken.Addr().String()).Port()
	for _, c := range []struct {
		config user.Config
		want   string
	}{
		{user.Config{Subnet: netip.MustParsePrefix("fd00::/64")}, "configure user-mode network: subnet fd00::/64 is not IPv4 with a prefix length from 8 to 27"},
		{user.Config{Subnet: netip.MustParsePrefix("10.0.2.0/28")}, "configure user-mode network: subnet 10.0.2.0/28 is not IPv4 with a prefix length from 8 to 27"},
		{user.Config{Subnet: netip.MustParsePrefix("127.0.2.0/24")}, "configure user-mode network: subnet 127.0.2.0/24 cannot be used by hosts"},
		{user.Config{MTU: 575}, "configure user-mode network: mtu 575 is out of range 576 to 65535"},
		{user.Config{MAC: [6]byte{1}}, "configure user-mode network: mac 01:00:00:00:00:00 is not one a guest can have"},
		{user.Config{Publish: []user.Publish{{Host: 1}}}, "configure user-mode network: publish 1:0: the guest port is missing"},
		{
			user.Config{Publish: []user.Publish{{Guest: 9}, {Addr: netip.MustParseAddr("127.0.0.1"), Host: port, Guest: 80}}},
			"publish 127.0.0.1:" + strconv.Itoa(int(port)) + ":80: tcp port 127.0.0.1:" + strconv.Itoa(int(port)) +
				" is in use: choose another host port or stop what listens there: address already in use",
		},
		{
			user.Config{Publish: []user.Publish{{Network: "udp", Addr: netip.MustParseAddr("198.51.100.7"), Host: 9, Guest: 80}}},
			"publish 198.51.100.7:9:80/udp: this host does not have the address 198.51.100.7: cannot assign requested address",
		},
	} {
		l, err := user.New(c.config)
		if err == nil {
			l.Close()
			t.Errorf("%+v succeeded, want %q", c.config, c.want)
		} else if err.Error() != c.want {
			t.Errorf("error %q, want %q", err, c.want)
		}
	}
}

// TestCloseWithEverythingOpen closes a link with flows of all kinds on it.
func TestCloseWithEverythingOpen(t *testing.T) {
	netiftest.Leaks(t)
	silent := hostListener(t)
	sink, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	l := newLink(t, user.Config{
		HostLoopback: true,
		Publish:      []user.Publish{{Guest: 80}, {Network: "udp", Guest: 53}},
		DNS:          []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if network == "tcp" && address == "192.0.2.1:1" {
				<-ctx.Done() // a connection in the making
				return nil, ctx.Err()
			}
			if network == "udp" {
				return dialTo(sink.LocalAddr())(ctx, network, address)
			}
			return dialTo(silent.Addr())(ctx, network, address)
		},
	})
	guest := netiftest.NewGuest(t, l, l.Config(), netiftest.GuestOptions{})
	listener := guest.Listen(t, 80)
	ctx := timeout(t)

	client, err := net.Dial("tcp", hostPort(l, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	out, err := guest.Dial(ctx, "tcp", "192.0.2.1:2")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	direct, err := l.DialContext(ctx, "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	packets, err := l.DialContext(ctx, "udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	inside, err := l.Listen("tcp", ":90")
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	pending := make(chan error, 1)
	go func() {
		c, err := guest.Dial(ctx, "tcp", "192.0.2.1:1")
		if err == nil {
			c.Close()
		}
		pending <- err
	}()
	for _, addr := range []string{"192.0.2.1:3", "10.0.2.3:53"} {
		u, err := guest.Dial(ctx, "udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		u.Write([]byte("datagram"))
	}
	u, err := net.Dial("udp", hostPort(l, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.Write([]byte("datagram"))
	eventually(t, "all flows open", func() bool {
		s := l.Stats()
		return s.TCP.Open == 3 && s.TCP.Pending == 1 && s.UDP.Open == 2
	})

	// Reads that are under way must end.
	ended := make(chan error, 3)
	for _, c := range []net.Conn{client, direct, packets} {
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for range cap(ended) {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("read from a closed link succeeded")
			}
		case <-ctx.Done():
			t.Fatal("a read does not end with the link")
		}
	}
	if _, err := inside.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept on a closed link: %v", err)
	}
	if _, err := l.DialContext(ctx, "tcp", ":80"); !errors.Is(err, netif.ErrClosed) {
		t.Errorf("DialContext on a closed link: %v", err)
	}
	guest.Stop()
	if err := <-pending; err == nil {
		t.Error("a connection in the making succeeded")
	}
	if s := l.Stats(); s.TCP.Open != 0 || s.TCP.Pending != 0 || s.UDP.Open != 0 {
		t.Errorf("flows after Close: %+v", s)
	}
}

// refuseAll is a Config.Dial for tests that must not reach anything.
func refuseAll(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }

func TestUnprivileged(t *testing.T) {
	netiftest.Unprivileged(t, "^(TestConformance|TestStream|TestRefusedByGuest|TestUDPPublished|TestDNS|TestPrivilegedPort)$")
}

func TestPrivilegedPort(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may bind any port")
	}
	first, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil || strings.TrimSpace(string(first)) != "1024" {
		t.Skip("this host lets everybody bind low ports")
	}
	_, err = user.New(user.Config{Publish: []user.Publish{{Host: 80, Guest: 80}}})
	const want = "publish 80:80: tcp port 80 is not permitted: choose one above 1023, or run as root: permission denied"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
