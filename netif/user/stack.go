package user

import (
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
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
		// Neither solicits or discovers anything: the guest is the only neighbour, and its router is here.
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
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
	for _, a := range []netip.Addr{p.router, p.dns, p.host, p.router6, p.dns6, p.host6} {
		if !a.IsValid() {
			continue
		}
		addr := tcpip.ProtocolAddress{
			Protocol:          ipv4.ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(a), PrefixLen: p.Subnet.Bits()},
		}
		if !a.Is4() {
			addr.Protocol, addr.AddressWithPrefix.PrefixLen = ipv6.ProtocolNumber, p.Subnet6.Bits()
		}
		if err := s.AddProtocolAddress(nic, addr, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("add address: %v", err)
		}
	}
	s.AddRoute(tcpip.Route{Destination: header.IPv4EmptySubnet, NIC: nic})
	s.AddRoute(tcpip.Route{Destination: header.IPv6EmptySubnet, NIC: nic})
	if err := s.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("set promiscuous mode: %v", err)
	}
	if err := s.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("set spoofing: %v", err)
	}
	return nil
}
