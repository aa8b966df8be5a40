package user

import (
	"fmt"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"ukvm.dev/netif/internal/tcpproxy"
)

const nic tcpip.NICID = 1

const (
	// firstPort is the first that DialContext uses.
	firstPort = 1024

	// tcpBuffer bounds what netstack holds for one direction of a TCP connection, in bytes. Half of the receive buffer
	// is the window the guest sees.
	tcpBuffer = 1 << 20

	// timeWait is short, because the link keeps segments in order: it is only for an acknowledgement that was dropped.
	timeWait = 200 * time.Millisecond
)

// newStack makes the stack that ends the guest's connections. It takes every address for its own (promiscuous), so that
// it can stand in for all that the guest connects to, and sends from every address (spoofing).
func newStack(p *plan, ep stack.LinkEndpoint) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := setUp(s, p, ep); err != nil {
		s.Destroy()
		return nil, fmt.Errorf("set up netstack: %w", err)
	}
	return s, nil
}

func setUp(s *stack.Stack, p *plan, ep stack.LinkEndpoint) error {
	sack := tcpip.TCPSACKEnabled(true)
	// RACK costs throughput (gvisor.dev/issue/9778) and finds losses of a kind that this link does not have.
	recovery := tcpip.TCPRecovery(0)
	wait := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer, Max: tcpBuffer}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer, Max: tcpBuffer}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &recovery, &wait, &send, &receive} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("%T: %v", option, err)
		}
	}
	// The proxy's connections come from the same address, with other ports.
	if err := s.SetPortRange(firstPort, tcpproxy.FirstPort-1); err != nil {
		return fmt.Errorf("set port range: %v", err)
	}
	if err := s.CreateNIC(nic, ep); err != nil {
		return fmt.Errorf("create nic: %v", err)
	}
	addrs := []tcpip.Address{address(p.router), address(p.dns)}
	if p.HostLoopback {
		addrs = append(addrs, address(p.host))
	}
	for _, a := range addrs {
		addr := tcpip.ProtocolAddress{
			Protocol:          ipv4.ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: a, PrefixLen: p.Subnet.Bits()},
		}
		if err := s.AddProtocolAddress(nic, addr, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("add address: %v", err)
		}
	}
	s.AddRoute(tcpip.Route{Destination: header.IPv4EmptySubnet, NIC: nic})
	if err := s.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("set promiscuous mode: %v", err)
	}
	if err := s.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("set spoofing: %v", err)
	}
	return nil
}
