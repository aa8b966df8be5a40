package network

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/e2e/network/internal/contract"
)

// TestOffloads sends a stream to a guest on a TAP device and back, and looks at the device: its frames are those of
// segmentation offload, on average longer than its MTU allows, both ways and for both IPs.
func TestOffloads(t *testing.T) {
	path := image(t)
	ns := netiftest.NewNetNS(t)
	do(ns, func() {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
	})
	p := startIn(t, ns, []string{
		"run", "--net", fmt.Sprintf("tap=%s,ip=%s/24,ip6=%s/64,gw6=%s", tapName, tapGuest, tapGuest6, tapHost6), path,
	})
	p.Await("ready\n")
	const size = 16 << 20
	want := bytes.Repeat([]byte("there and back "), size/15)
	for _, host := range []string{tapGuest, tapGuest6} {
		c := dialIn(t, ns, "tcp", net.JoinHostPort(host, fmt.Sprint(contract.PortEcho)))
		before := statistics(t, ns)
		go c.Write(want)
		got := make([]byte, len(want))
		if n, err := readAll(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s: %d bytes, %v", host, n, err)
		}
		after := statistics(t, ns)
		c.Close()
		// Acknowledgements of the other direction are among them. Without offloads no frame is longer than 1514 bytes.
		const long = 2000
		from := uint64(len(want)) / (after.RxPackets - before.RxPackets)
		// What a packet socket has taken the device calls dropped (package tap).
		to := uint64(len(want)) / (after.TxPackets + after.TxDropped - before.TxPackets - before.TxDropped)
		if from < long || to < long {
			t.Errorf("%s: frames of the guest have %d bytes on average, frames for it %d", host, from, to)
		}
	}
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 || r.Stderr != "" {
		t.Errorf("%+v", r)
	}
}

// statistics are those of the TAP device, as the host sees it.
func statistics(t testing.TB, ns *netiftest.NetNS) (s netlink.LinkStatistics64) {
	t.Helper()
	do(ns, func() {
		link, err := netlink.LinkByName(tapName)
		if err != nil {
			t.Fatal(err)
		}
		s = netlink.LinkStatistics64(*link.Attrs().Statistics)
	})
	return s
}
