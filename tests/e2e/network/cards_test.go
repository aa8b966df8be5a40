package network

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestThreeCards gives a guest the user network and two TAP devices in namespaces of their own. It is reached over each, and
// reaches over each what is there.
func TestThreeCards(t *testing.T) {
	path := image(t)
	home := netiftest.NewNetNS(t)
	words := []string{"run", "-m", "128M", "--net", "user", "-p", "127.0.0.1:0:80"}
	type side struct {
		world      *world
		guest, mac string
	}
	var sides []side
	for i := range 2 {
		ns := netiftest.NewNetNS(t)
		s := side{guest: fmt.Sprintf("10.77.%d.2", i), mac: fmt.Sprintf("02:00:00:00:00:0%d", 7+i)}
		s.world = inNamespace(ns, s.guest, fmt.Sprintf("10.77.%d.1", i))
		s.world.client = &http.Client{Transport: s.world.transport()}
		t.Cleanup(s.world.client.CloseIdleConnections)
		sides = append(sides, s)
		words = append(words, "--net", fmt.Sprintf("tap=%s%d,ip=%s/24,mac=%s,mtu=%d,netns=%s", tapName, i, s.guest, s.mac, 1400+i,
			fmt.Sprintf("/proc/%d/fd/%d", syscall.Getpid(), ns.Fd())))
	}
	p := startIn(t, home, append(words, path))
	ports := publishedPorts(t, p, 1)
	p.Await("ready\n")
	answer := getAddresses(t, inNamespace(home, "127.0.0.1", ""), ports["tcp80"])
	for i, want := range []string{"10.0.2.15/24", "10.77.0.2/24", "10.77.1.2/24"} {
		if !strings.Contains(answer, fmt.Sprintf(`"eth%d":["%s"`, i, want)) {
			t.Errorf("card %d does not have %s: %s", i, want, answer)
		}
	}
	for i, s := range sides {
		if got := getAddresses(t, s.world, 80); !strings.Contains(got, s.guest) {
			t.Errorf("by card %d: %s", i+1, got)
		}
		link := netlinkOf(t, s.world.ns, fmt.Sprintf("%s%d", tapName, i))
		if link == nil || link.Attrs().MTU != 1400+i {
			t.Errorf("device %d is %+v", i, link)
		}
		// Outward: the guest finds the card that leads there, and has that card's address.
		for _, network := range []string{"tcp", "udp"} {
			peer := make(chan string, 1)
			var at net.Addr
			if network == "tcp" {
				l := s.world.listen(t)
				at = l.Addr()
				go func() {
					if c, err := l.Accept(); err == nil {
						peer <- c.RemoteAddr().String()
						buf := make([]byte, 5)
						n, _ := c.Read(buf)
						c.Write(buf[:n])
						c.Close()
					}
				}()
			} else {
				c := s.world.listenPacket(t)
				at = c.LocalAddr()
				go func() {
					buf := make([]byte, 5)
					if n, from, err := c.ReadFrom(buf); err == nil {
						peer <- from.String()
						c.WriteTo(buf[:n], from)
					}
				}()
			}
			var got contract.Dialed
			s.world.post(t, "/dial", contract.Dial{Network: network, Address: at.String(), Timeout: patience, Send: "hello"}, &got)
			if got.Received != "hello" || got.Fault != nil {
				t.Errorf("%s over card %d: %+v", network, i+1, got)
				continue
			}
			if from := <-peer; !strings.HasPrefix(from, s.guest+":") {
				t.Errorf("%s over card %d comes from %s", network, i+1, from)
			}
		}
	}
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 {
		t.Errorf("%+v", r)
	}
	for i, s := range sides {
		if netlinkOf(t, s.world.ns, fmt.Sprintf("%s%d", tapName, i)) != nil {
			t.Errorf("device %d is left", i)
		}
	}
}

// TestSecondCardFails asks for a device that cannot be had behind one that can. Nothing is left of the first.
func TestSecondCardFails(t *testing.T) {
	path := image(t)
	ns := netiftest.NewNetNS(t)
	p := startIn(t, ns, []string{"run", "--net", "tap=" + tapName, "--net", "tap=lo", path})
	r := p.Wait()
	if r.Code != 125 || !strings.Contains(r.Stderr, "a device of that name exists and is no single-queue TAP") || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	if netlinkOf(t, ns, tapName) != nil {
		t.Error("the first device is left")
	}
	if r := ukvmtest.Ukvm(t, "run", "--net", "tap=t0,mtu=1400", "--net", "tap=t0", path); r.Code != 125 || !strings.Contains(r.Stderr, "is given twice") {
		t.Errorf("%+v", r)
	}
}
