package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"

	"ukvm.dev/monitor"
	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/pair"
)

// lossy is what the lossy world does to frames, each way.
var lossy = pair.Faults{Loss: 0.005, Reorder: 0.005}

// startLossy runs a guest on a link in memory, beside gVisor's stack.
func startLossy(t testing.TB, image string, o options) *world {
	return startPair(t, image, o, lossy)
}

func startPair(t testing.TB, image string, o options, faults pair.Faults) *world {
	var silent atomic.Bool
	a, b, err := pair.New(pair.Config{
		Seed: 1, AtoB: faults, BtoA: faults,
		Hook: func(*pair.Link, *pair.Packet) bool { return !silent.Load() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	host := netiftest.NewGuest(t, b, netif.Config{
		MAC: [6]byte{2, 0, 0, 0, 0, 1}, MTU: 1500, Addr: netip.MustParsePrefix(tapHost + "/24"),
	}, netiftest.GuestOptions{})
	v := startVM(t, image, o, monitor.NIC{Name: "eth0", Link: a, Config: netif.Config{
		MAC: [6]byte{2, 0, 0, 0, 0, 2}, MTU: 1500, Addr: netip.MustParsePrefix(tapGuest + "/24"),
		Router: netip.MustParseAddr(tapHost),
	}})
	return &world{
		dial: func(ctx context.Context, network string, port int) (net.Conn, error) {
			return host.Dial(ctx, network, fmt.Sprintf("%s:%d", tapGuest, port))
		},
		listenAt:       func(t testing.TB, port int) net.Listener { return host.Listen(t, uint16(port)) },
		listenPacketAt: func(t testing.TB, port int) net.PacketConn { return host.ListenPacket(t, uint16(port)) },
		host:           tapHost,
		pid:            os.Getpid(),
		cut:            silent.Store,
		stop:           v.stop,
	}
}
