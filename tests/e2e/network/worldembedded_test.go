package network

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"ukvm.dev/monitor"
	"ukvm.dev/netif/user"
)

// startEmbedded runs a guest as a program that embeds ukvm does: it dials into the guest and listens for it without any
// port of the host.
func startEmbedded(t testing.TB, image string, o options) *world {
	link, err := user.New(user.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	v := startVM(t, image, o, monitor.NIC{Link: link, Config: link.Config()})
	return &world{
		dial: func(ctx context.Context, network string, port int) (net.Conn, error) {
			return v.Dial(ctx, network, fmt.Sprintf(":%d", port))
		},
		listenAt: func(t testing.TB, port int) net.Listener {
			l, err := link.Listen("tcp", fmt.Sprintf(":%d", port))
			return open(t, l, err)
		},
		host: link.Config().Router.String(),
		pid:  os.Getpid(),
		stop: v.stop,
	}
}
