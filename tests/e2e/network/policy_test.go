package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/policy"
	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// requirePolicy skips a test where the kernel cannot check packets of devices, unless this machine must run every test.
func requirePolicy(t *testing.T, ns *netiftest.NetNS) {
	t.Helper()
	var err error
	do(ns, func() {
		var g *policy.Guard
		if g, err = (policy.Policy{}).Attach(1, netif.Config{DHCP: true}); err == nil { // the loopback device
			g.Close()
		}
	})
	if errors.Is(err, policy.ErrUnsupported) && os.Getenv("UKVM_REQUIRE_KVM") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// startPolicy runs ukvm with a TAP device and a policy.
func startPolicy(t *testing.T, ns *netiftest.NetNS, rules string, flags ...string) (*ukvmtest.Process, *world) {
	t.Helper()
	p := startIn(t, ns, append(append([]string{
		"run", "--net", "tap=" + tapName + ",ip=" + tapGuest + "/24", "--policy", rules,
	}, flags...), image(t)))
	p.Await("ready\n")
	w := inNamespace(ns, tapGuest, tapHost)
	w.client = &http.Client{Transport: w.transport()}
	t.Cleanup(w.client.CloseIdleConnections)
	return p, w
}

// TestPolicy lets a guest be reached at one port and reach one, and asks what became of the rest.
func TestPolicy(t *testing.T) {
	ns := netiftest.NewNetNS(t)
	requirePolicy(t, ns)
	p, w := startPolicy(t, ns, "from=*:80/tcp,to="+tapHost+":7777/tcp", "--stats")
	listener := w.listenAt(t, 7777)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 5)
			n, _ := c.Read(buf)
			c.Write(buf[:n])
			c.Close()
		}
	}()
	w.listenAt(t, 7778)
	var got contract.Dialed
	w.post(t, "/dial", contract.Dial{Network: "tcp", Address: tapHost + ":7777", Timeout: patience, Send: "hello"}, &got)
	if got.Received != "hello" || got.Fault != nil {
		t.Errorf("an allowed port: %+v", got)
	}
	got = contract.Dialed{}
	w.post(t, "/dial", contract.Dial{Network: "tcp", Address: tapHost + ":7778", Timeout: 300 * time.Millisecond, Send: "hello"}, &got)
	if got.Fault == nil {
		t.Errorf("a port that is not allowed: %+v", got)
	}
	p.Await("eth0: a packet of the guest was dropped: no rule allows it: tcp " + tapGuest + ":")
	var err error
	do(ns, func() {
		var c net.Conn
		if c, err = net.DialTimeout("tcp", tapGuest+":7", 300*time.Millisecond); err == nil {
			c.Close()
		}
	})
	if err == nil {
		t.Error("the guest is reached at a port that is not allowed")
	}
	p.Await("eth0: a packet for the guest was dropped: no rule allows it: tcp " + tapHost + ":")
	p.Signal(syscall.SIGTERM)
	r := p.Wait()
	if r.Code != 0 || !strings.Contains(r.Stderr, "> "+tapHost+":7778") || !strings.Contains(r.Stderr, "the policy has let pass") {
		t.Errorf("%+v", r)
	}
}

// TestPolicyErrors asks for what cannot be.
func TestPolicyErrors(t *testing.T) {
	r := ukvmtest.Ukvm(t, "run", "--net", "user", "--policy", "guard", image(t))
	if r.Code != 125 || !strings.Contains(r.Stderr, "--policy needs a TAP network") || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	r = ukvmtest.Ukvm(t, "run", "--net", "tap=t0", "--policy", "to=here", image(t))
	if r.Code != 125 || !strings.Contains(r.Stderr, "here is not an address") || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("%+v", r)
	}
}

// attached are the numbers of the BPF programs on a device.
func attached(t *testing.T, ns *netiftest.NetNS, device netlink.Link) (ids []ebpf.ProgramID) {
	t.Helper()
	for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		ns.Do(t, func() error {
			r, err := link.QueryPrograms(link.QueryOptions{Target: device.Attrs().Index, Attach: at})
			if err != nil {
				return err
			}
			for _, p := range r.Programs {
				ids = append(ids, p.ID)
			}
			return nil
		})
	}
	return ids
}

// left reports which programs the kernel still has.
func left(ids []ebpf.ProgramID) error {
	for _, id := range ids {
		p, err := ebpf.NewProgramFromID(id)
		if err == nil {
			p.Close()
			return fmt.Errorf("program %d is left", id)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// TestKilled ends ukvm with SIGKILL, with a device and a policy of its own making, and with a device that it was given.
// Nothing of ukvm's is left, and the next one starts as the first did.
func TestKilled(t *testing.T) {
	for _, given := range []bool{false, true} {
		t.Run(fmt.Sprintf("given=%v", given), func(t *testing.T) {
			ns := netiftest.NewNetNS(t)
			requirePolicy(t, ns)
			if given {
				ns.Do(t, func() error {
					device := &netlink.Tuntap{
						LinkAttrs: netlink.LinkAttrs{Name: tapName}, Mode: netlink.TUNTAP_MODE_TAP,
						Flags: netlink.TUNTAP_DEFAULTS | netlink.TUNTAP_VNET_HDR,
					}
					if err := netlink.LinkAdd(device); err != nil {
						return err
					}
					address, err := netlink.ParseAddr(tapHost + "/24")
					if err != nil {
						return err
					}
					link, err := netlink.LinkByName(tapName)
					if err != nil {
						return err
					}
					return netlink.AddrAdd(link, address)
				})
			}
			for range 2 {
				p, w := startPolicy(t, ns, "guard")
				getAddresses(t, w, 80)
				programs := attached(t, ns, netlinkOf(t, ns, tapName))
				if len(programs) != 2 {
					t.Errorf("%d programs check the device, want 2", len(programs))
				}
				p.Signal(syscall.SIGKILL)
				if r := p.Wait(); r.Code != 128+int(syscall.SIGKILL) {
					t.Errorf("%+v", r)
				}
				w.client.CloseIdleConnections()
				eventually(t, func() error { return left(programs) }) // the kernel frees them a moment after the process
				device := netlinkOf(t, ns, tapName)
				if given != (device != nil) {
					t.Fatalf("the device is %v", device)
				}
				if given && len(attached(t, ns, device)) > 0 {
					t.Error("programs are still on the device")
				}
			}
		})
	}
}
