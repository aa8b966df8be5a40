package network

import (
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ukvm.dev/monitor"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/tap"
	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// overDHCP is a TAP device whose guest asks for its address. The server is the test's.
func overDHCP(server **dhcpServer) kind {
	return kind{"dhcp", func(t testing.TB, image string, o options) *world {
		ns := netiftest.NewNetNS(t)
		link, err := tap.New(tap.Config{Name: tapName, NetNSFile: ns, DHCP: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { link.Close() })
		ns.Do(t, func() error { return addAddr(tapName, tapHost+"/24") })
		s := startDHCP(t, ns, tapName)
		s.renew = 2 * time.Second
		*server = s
		v := startVM(t, image, o, monitor.NIC{Name: "eth0", Link: link, Config: link.Config()})
		w := inNamespace(ns, tapGuest, tapHost)
		w.pid, w.stop = os.Getpid(), v.stop
		return w
	}}
}

// addAddr gives a device of this thread's namespace an address.
func addAddr(name, addr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		return err
	}
	return netlink.AddrAdd(link, a)
}

// TestDHCP has the guest take what a server gives it, and renew it while connections go on.
func TestDHCP(t *testing.T) {
	var s *dhcpServer
	w := newWorld(t, overDHCP(&s), options{})
	var addresses map[string][]string
	w.get(t, "/addresses", &addresses)
	if got := addresses["eth0"]; !slices.Equal(got, []string{tapGuest + "/24"}) {
		t.Errorf("addresses: %q", addresses)
	}
	var resolv []byte
	w.get(t, "/file?path=/etc/resolv.conf", &resolv)
	if want := "search example.test\nnameserver " + tapHost + "\n"; string(resolv) != want {
		t.Errorf("resolv.conf: %q, want %q", resolv, want)
	}
	before := s.count(dhcpRequest)
	size := int64(50 * megabyte)
	for s.count(dhcpRequest) < before+2 {
		if got, err := w.download(w.client, size, 13); err != nil || got != contract.SumOf(size, 13) {
			t.Fatalf("while leases are renewed: %+v, %v", got, err)
		}
	}
	if n := s.count(dhcpDiscover); n != 1 {
		t.Errorf("%d messages to find a server, want 1", n)
	}
}

// TestDHCPFirst has a program that connects before it does anything else: the network is there.
func TestDHCPFirst(t *testing.T) {
	ns, run := tapCommand(t, "dhcp", "get", fmt.Sprintf("http://%s:8080/hello", tapHost))
	p := run()
	eventually(t, func() (err error) { // ukvm makes the device
		do(ns, func() { err = addAddr(tapName, tapHost+"/24") })
		return err
	})
	startDHCP(t, ns, tapName)
	w := inNamespace(ns, tapGuest, tapHost)
	l := w.listenAt(t, 8080)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerHello(c)
		}
	}()
	if r := p.Wait(); r.Code != 0 || r.Stdout != "hello" || r.Stderr != "" {
		t.Errorf("%+v", r)
	}
}

// answerHello answers one request.
func answerHello(c net.Conn) {
	defer c.Close()
	c.Read(make([]byte, 4096))
	c.Write([]byte("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
}

// TestNoDHCP has nobody answer. The program runs all the same, and its user is told.
func TestNoDHCP(t *testing.T) {
	_, run := tapCommand(t, "dhcp", "get", fmt.Sprintf("http://%s:8080/", tapHost))
	r := run().Wait()
	const said = "ukvm: network card eth0: no DHCP server answers; the program goes on without an address for now\n"
	if r.Code != 1 || r.Stdout != "" || len(r.Stderr) < len(said) || r.Stderr[:len(said)] != said {
		t.Errorf("%+v", r)
	}
}

// tapCommand prepares a command with a TAP device of the options in a namespace of its own; run starts it there.
func tapCommand(t testing.TB, tapOptions string, args ...string) (*netiftest.NetNS, func() *ukvmtest.Process) {
	t.Helper()
	path := image(t)
	ns := netiftest.NewNetNS(t)
	words := append([]string{"run", "--net", "tap=" + tapName + "," + tapOptions, path, "--"}, args...)
	return ns, func() *ukvmtest.Process { return startIn(t, ns, words) }
}

// startIn starts ukvm in a namespace.
func startIn(t testing.TB, ns *netiftest.NetNS, words []string) (p *ukvmtest.Process) {
	t.Helper()
	c := ukvmtest.Cmd{Path: ukvmtest.Command(t), Args: words, Timeout: time.Hour}
	do(ns, func() { p = ukvmtest.Start(t, c) })
	return p
}
