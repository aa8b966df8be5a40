package packet_test

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/packet"
)

// far is the interface of the link.
func (w wire) do(t *testing.T, f func(netlink.Link) error) {
	t.Helper()
	w.far.Do(t, func() error {
		link, err := netlink.LinkByName(farName)
		if err != nil {
			return err
		}
		return f(link)
	})
}

// answered reports whether the host answers an ARP request.
func answered(t *testing.T, l *packet.Link) bool {
	t.Helper()
	frame := netiftest.ARPRequest(l.Config())
	if n, err := l.Send([]netif.Frame{{Data: [][]byte{frame}, Len: len(frame)}}); n != 1 || err != nil {
		t.Fatalf("Send = %d, %v", n, err)
	}
	answer := []netif.Frame{{Data: [][]byte{make([]byte, 2000)}}}
	for range 100 {
		n, err := l.Receive(answer)
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			return true
		}
		if !l.Arm() && !netiftest.Readable(l.FD(), 200*time.Millisecond) {
			return false
		}
	}
	t.Fatal("FD is readable again and again without anything to receive")
	return false
}

// TestConfig: what the guest is told comes from the interface, which is brought up.
func TestConfig(t *testing.T) {
	netiftest.Leaks(t)
	w := newWire(t, 1400)
	var mac net.HardwareAddr
	w.do(t, func(link netlink.Link) error { mac = link.Attrs().HardwareAddr; return nil })
	l := open(t, w.config())
	if c := l.Config(); l.Name() != farName || c.MTU != 1400 || !bytes.Equal(c.MAC[:], mac) || c.Router.String() != "198.51.100.1" {
		t.Errorf("link %s, config %+v", l.Name(), c)
	}
	if !answered(t, l) {
		t.Error("no answer")
	}
	l.Close()
	w.do(t, func(link netlink.Link) error {
		if link.Attrs().Flags&net.FlagUp == 0 {
			t.Error("the interface is down")
		}
		return nil
	})

	c := w.config()
	c.MAC, c.MTU = [6]byte{2, 0, 0, 0, 0, 7}, 1300
	l = open(t, c)
	if l.Config().MAC != c.MAC || l.Config().MTU != 1300 {
		t.Errorf("config %+v", l.Config())
	}
	w.do(t, func(link netlink.Link) error {
		if link.Attrs().Promisc == 0 {
			t.Error("the interface is not promiscuous, for a guest with another address")
		}
		return nil
	})
	if !answered(t, l) {
		t.Error("no answer to another address")
	}
}

// TestDown: an interface that goes down loses frames, and carries them when it is up again.
func TestDown(t *testing.T) {
	netiftest.Leaks(t)
	w := newWire(t, 1500)
	l := open(t, w.config())
	for range 2 {
		// The kernel takes a moment to say that there is a carrier again.
		for deadline := time.Now().Add(netiftest.Patience); !answered(t, l); {
			if time.Now().After(deadline) {
				t.Fatal("no answer")
			}
		}
		w.do(t, netlink.LinkSetDown)
		before := l.Counters().TxDropped
		if answered(t, l) {
			t.Error("an answer over an interface that is down")
		}
		if after := l.Counters().TxDropped; after != before+1 {
			t.Errorf("%d frames dropped, want one", after-before)
		}
		w.do(t, netlink.LinkSetUp)
	}
}

func TestRemoved(t *testing.T) {
	netiftest.Leaks(t)
	frame := netif.Frame{Data: [][]byte{make([]byte, 60)}, Len: 60}
	for name, call := range map[string]func(*packet.Link) (int, error){
		"Send": func(l *packet.Link) (int, error) { return l.Send([]netif.Frame{frame}) },
		"Receive": func(l *packet.Link) (int, error) {
			for {
				if n, err := l.Receive([]netif.Frame{frame}); n != 0 || err != nil {
					return n, err
				}
				if !l.Arm() {
					p := []unix.PollFd{{Fd: int32(l.FD()), Events: unix.POLLIN}}
					if n, err := unix.Poll(p, int(netiftest.Patience/time.Millisecond)); n != 1 {
						t.Fatalf("poll: %d, %v", n, err)
					}
				}
			}
		},
	} {
		w := newWire(t, 1500)
		l := open(t, w.config())
		if name == "Receive" {
			l.Arm()
		}
		w.do(t, netlink.LinkDel)
		n, err := call(l)
		if n != 0 || !errors.Is(err, unix.ENODEV) || err.Error() != "packet far0 was removed from outside: no such device" {
			t.Errorf("%s = %d, %v", name, n, err)
		}
		l.Close()
	}
}

// TestLost: frames that come when the ring is full are counted.
func TestLost(t *testing.T) {
	netiftest.Leaks(t)
	w := newWire(t, 1500)
	l := open(t, w.config())
	frame := netiftest.ARPRequest(l.Config())
	const sent = 3000
	for range sent {
		l.Send([]netif.Frame{{Data: [][]byte{frame}, Len: len(frame)}})
	}
	got := uint64(0)
	room := []netif.Frame{{Data: [][]byte{make([]byte, 2000)}}}
	for {
		n, err := l.Receive(room)
		if err != nil {
			t.Fatal(err)
		}
		if got += uint64(n); n == 0 {
			break
		}
	}
	if c := l.Counters(); got == 0 || c.RxDropped == 0 || c.RxFrames != got || got+c.RxDropped != sent {
		t.Errorf("%d received, %+v, of %d", got, c, sent)
	}
	if !answered(t, l) {
		t.Error("no answer afterwards")
	}
}

// TestErrors are sentences that say what is wrong.
func TestErrors(t *testing.T) {
	netiftest.Leaks(t)
	w := newWire(t, 1500)
	with := func(f func(*packet.Config)) packet.Config {
		c := w.config()
		f(&c)
		return c
	}
	for _, c := range []struct {
		config packet.Config
		want   string
	}{
		{with(func(c *packet.Config) { c.Name = "nothing0" }), "packet nothing0: there is no such interface"},
		{with(func(c *packet.Config) { c.Name = "lo" }), "packet lo: it is no Ethernet interface (loopback)"},
		{with(func(c *packet.Config) { c.Name, c.NetNSFile = nearName, w.near }),
			"packet near0: this host has the address 198.51.100.1/24 on it and would answer beside the guest: take it away (ip addr del 198.51.100.1/24 dev near0)"},
		{with(func(c *packet.Config) { c.MTU = 1501 }), "packet far0: mtu 1501 is more than that of the interface, 1500"},
		{with(func(c *packet.Config) { c.MTU = 1 }), "configure packet: mtu 1 is out of range 576 to 65535"},
	} {
		l, err := packet.New(c.config)
		if err == nil {
			l.Close()
			t.Errorf("%+v succeeded, want %q", c.config, c.want)
		} else if err.Error() != c.want {
			t.Errorf("error %q, want %q", err, c.want)
		}
	}
}

// TestParse: the words are those of TAP networks, whose parser has its own tests.
func TestParse(t *testing.T) {
	c, err := packet.Parse("packet=eth0,ip=10.0.0.2/24,gw=10.0.0.9,mac=02:00:00:00:00:0a,mtu=9000,netns=blue")
	if err != nil || c.Name != "eth0" || c.NetNS != "blue" || c.MTU != 9000 || c.MAC[5] != 10 || c.Gateway.String() != "10.0.0.9" || c.Addr.String() != "10.0.0.2/24" {
		t.Errorf("%+v, %v", c, err)
	}
	for in, want := range map[string]string{
		"packet":                     "the interface's name is missing: write packet=IFACE",
		"packet=eth0,colour=red":     "unknown option",
		"packet=eth0,ip=10.0.0.0/24": "not an IPv4 address of a host",
	} {
		if _, err := packet.Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}
