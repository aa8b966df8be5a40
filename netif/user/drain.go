package user

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"ukvm.dev/netif/internal/tcpproxy"
)

// Drain is as in netif.Drainer: of connections through netstack, too, and of those that DialContext and Listen have made, which
// the program of the host reads.
func (l *Link) Drain(quit <-chan struct{}) {
	quiet := false // netstack had nothing when last looked at
	tcpproxy.Drain(quit, func() int {
		left, open := l.inNetstack()
		// Netstack acts on segments in goroutines of its own: what has just been sent may not have come to a connection yet.
		if left == 0 && open && !quiet {
			left = 1
			quiet = true
		} else {
			quiet = left == 0
		}
		return left + l.proxy.Owed()
	})
}

// inNetstack is how many bytes of the guest netstack and its splices hold, and whether there is a connection that more may
// come to.
func (l *Link) inNetstack() (bytes int, open bool) {
	stack, err := l.netstack()
	if err != nil {
		return 0, false
	}
	for _, registered := range stack.RegisteredEndpoints() {
		ep, ok := registered.(*tcp.Endpoint)
		if !ok {
			continue
		}
		switch ep.EndpointState() {
		case tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck:
			open = true
			if n, err := ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption); err == nil {
				bytes += n
			}
		}
	}
	return bytes + int(l.moving.Load()), open
}
