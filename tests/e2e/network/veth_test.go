package network

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/internal/ukvmtest"
)

// Addresses of the two ends of a cable between namespaces.
const (
	nearAddr = "10.88.0.1"
	farAddr  = "10.88.0.2"
	nearName = "near0"
	farName  = "far0"
)

// TestFarClient has a client of a published port on another host, as it were: the guest sees its address, and when it
// vanishes without a word, keep-alives of the host's sockets end its connection in the guest too.
func TestFarClient(t *testing.T) {
	path := image(t)
	near, far := netiftest.NewNetNS(t), netiftest.NewNetNS(t)
	near.Do(t, func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: nearName}, PeerName: farName, PeerNamespace: netlink.NsFd(int(far.Fd())),
		})
	})
	for _, end := range []struct {
		ns         *netiftest.NetNS
		name, addr string
	}{{near, nearName, nearAddr}, {far, farName, farAddr}} {
		end.ns.Do(t, func() error {
			if err := addAddr(end.name, end.addr+"/24"); err != nil {
				return err
			}
			return setLink(end.name, true)
		})
	}
	p := startIn(t, near, []string{"run", "-p", "8080:80", path})
	p.Await("ready\n")
	here, there := inNamespace(near, "127.0.0.1", ""), inNamespace(far, nearAddr, "")

	c := there.connect(t, 8080)
	io.WriteString(c, "GET /header HTTP/1.0\r\n\r\n")
	if answer, err := io.ReadAll(c); err != nil || !strings.Contains(string(answer), `"Client":"`+c.LocalAddr().String()+`"`) {
		t.Errorf("the guest sees the client %v so: %q, %v", c.LocalAddr(), answer, err)
	}
	if ukvmtest.Soak() {
		held := there.connect(t, 8080)
		io.WriteString(held, "GET /hold HTTP/1.1\r\nHost: guest\r\n\r\n")
		holds := func() string {
			c := here.connect(t, 8080)
			defer c.Close()
			io.WriteString(c, "GET /stats HTTP/1.0\r\n\r\n")
			answer, _ := io.ReadAll(c)
			_, after, _ := strings.Cut(string(answer), `"Holds":`)
			before, _, _ := strings.Cut(after, ",")
			return before
		}
		eventually(t, func() error {
			if n := holds(); n != "1" {
				return fmt.Errorf("%q requests are held", n)
			}
			return nil
		})
		far.Do(t, func() error { return setLink(farName, false) })
		// Asked after 15 s and nine times more, 15 s apart, it is given up.
		begin := time.Now()
		for holds() != "0" {
			if time.Since(begin) > 5*time.Minute {
				t.Fatal("the guest still has the request of a client that is gone")
			}
			time.Sleep(time.Second)
		}
		ukvmtest.Figure(t, "network/user/vanished client is noticed after", time.Since(begin).Seconds(), "s")
	}
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 {
		t.Errorf("%+v", r)
	}
}
