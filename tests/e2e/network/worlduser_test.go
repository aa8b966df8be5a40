package network

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// published is how ukvm says which port it has chosen.
var published = regexp.MustCompile(`ukvm: port (\d+) of the guest is port (\d+) here \(-p 127\.0\.0\.1:0:\d+(/udp)?\)\n`)

// guestPorts are those that serve.
var guestPorts = []int{
	contract.PortWeb, contract.PortTLS, contract.PortEcho, contract.PortSum, contract.PortDeadline, contract.PortFlood,
	contract.PortClosed,
}

// startUser runs ukvm with the user network, all ports published.
func startUser(t testing.TB, image string, o options) *world {
	args := []string{"run", "--host-loopback"}
	if o.memory != "" {
		args = append(args, "-m", o.memory)
	}
	for _, port := range guestPorts {
		args = append(args, "-p", fmt.Sprintf("127.0.0.1:0:%d", port))
	}
	for _, port := range []int{contract.PortEcho, contract.PortClosed} {
		args = append(args, "-p", fmt.Sprintf("127.0.0.1:0:%d/udp", port))
	}
	args = append(append(args, o.flags...), image)
	p := ukvmtest.Start(t, ukvmtest.Cmd{Args: args, Timeout: time.Hour})
	ports := publishedPorts(t, p, len(guestPorts)+2)
	p.Await("ready\n")
	return &world{
		dial: func(ctx context.Context, network string, port int) (net.Conn, error) {
			here := ports[network+strconv.Itoa(port)]
			if here == 0 {
				return nil, fmt.Errorf("%s port %d is not published", network, port)
			}
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", here))
		},
		address: func(port int) string { return fmt.Sprintf("127.0.0.1:%d", ports[fmt.Sprintf("tcp%d", port)]) },
		listenAt: func(t testing.TB, port int) net.Listener {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			return open(t, l, err)
		},
		listenPacketAt: func(t testing.TB, port int) net.PacketConn {
			c, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
			return open(t, c, err)
		},
		host: "host.ukvm.internal",
		pid:  p.Pid(),
		stop: func(t testing.TB) {
			p.Signal(syscall.SIGTERM)
			r := p.Wait()
			if r.Code != 0 {
				t.Errorf("ukvm has ended with code %d", r.Code)
			}
			checkOutput(t, r.Stdout, r.Stderr)
		},
	}
}

// publishedPorts are the ports that ukvm has chosen, count of them, by network and port of the guest.
func publishedPorts(t testing.TB, p *ukvmtest.Process, count int) map[string]int {
	t.Helper()
	ports := map[string]int{}
	eventually(t, func() error {
		for _, m := range published.FindAllStringSubmatch(p.Stderr(), -1) {
			network := "tcp"
			if m[3] != "" {
				network = "udp"
			}
			ports[network+m[1]], _ = strconv.Atoi(m[2])
		}
		if len(ports) != count {
			return fmt.Errorf("ukvm has published %d ports, want %d: %s", len(ports), count, p.Stderr())
		}
		return nil
	})
	return ports
}

// open is a socket that is closed when the test ends.
func open[T interface{ Close() error }](t testing.TB, socket T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket
}
