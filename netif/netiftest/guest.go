package netiftest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"ukvm.dev/netif"
)

// Guest stands in for a guest: a gVisor stack behind a Link, with ARP, TCP, UDP and ICMP.
type Guest struct {
	Stack *stack.Stack

	port      *port
	config    netif.Config
	once      sync.Once
	discovery *discovery // nil: without IPv6
}

const nic = 1

// GuestOptions are what a guest has agreed to; see netif.Features. The link's SetFeatures is the caller's business.
type GuestOptions struct {
	Features netif.Features
	IPv6     bool // it asks for a router and makes its addresses itself
}

// NewGuest starts a guest on link with the static configuration config. It ends with the test, or with Stop, and leaves
// the link open.
func NewGuest(t testing.TB, link netif.Link, config netif.Config, options GuestOptions) *Guest {
	t.Helper()
	g := &Guest{config: config}
	g.Stack = stack.New(stack.Options{
		NetworkProtocols:   g.networks(options),
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		HandleLocal:        true,
	})
	var err error
	if g.port, err = newPort(link, config, options.Features); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	if err := g.setUp(); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *Guest) setUp() error {
	sack := tcpip.TCPSACKEnabled(true)
	if err := g.Stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return fmt.Errorf("enable sack: %v", err)
	}
	if err := g.Stack.CreateNIC(nic, ethernet.New(g.port)); err != nil {
		return fmt.Errorf("create nic: %v", err)
	}
	addr := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: Address(g.config.Addr.Addr()), PrefixLen: g.config.Addr.Bits()},
	}
	if err := g.Stack.AddProtocolAddress(nic, addr, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("add address: %v", err)
	}
	g.Stack.AddRoute(tcpip.Route{Destination: addr.AddressWithPrefix.Subnet(), NIC: nic})
	if g.config.Router.IsValid() {
		g.Stack.AddRoute(tcpip.Route{Destination: header.IPv4EmptySubnet, Gateway: Address(g.config.Router), NIC: nic})
	}
	return nil
}

// Stop ends the guest.
func (g *Guest) Stop() {
	g.once.Do(func() {
		g.port.close()
		g.Stack.Destroy()
	})
}

// Address is a as gVisor writes it.
func Address(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func full(addr string) (tcpip.FullAddress, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return tcpip.FullAddress{}, fmt.Errorf("guest address: %w", err)
	}
	return tcpip.FullAddress{NIC: nic, Addr: Address(a.Addr()), Port: a.Port()}, nil
}

// Dial connects from the guest to addr, an address and port. Network is "tcp" or "udp".
func (g *Guest) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	to, err := full(addr)
	if err != nil {
		return nil, err
	}
	version := ipv4.ProtocolNumber
	if to.Addr.Len() == header.IPv6AddressSize {
		version = ipv6.ProtocolNumber
	}
	switch network {
	case "tcp":
		return gonet.DialContextTCP(ctx, g.Stack, to, version)
	case "udp":
		return gonet.DialUDP(g.Stack, nil, &to, version)
	}
	return nil, errors.New("unknown network " + network)
}

// Listen accepts TCP connections to a port of the guest; 0 picks one.
func (g *Guest) Listen(t testing.TB, port uint16) *gonet.TCPListener {
	t.Helper()
	l, err := gonet.ListenTCP(g.Stack, tcpip.FullAddress{NIC: nic, Port: port}, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Shutdown(); l.Close() })
	return l
}

// ListenPacket receives UDP datagrams to a port of the guest; 0 picks one.
func (g *Guest) ListenPacket(t testing.TB, port uint16) *gonet.UDPConn {
	t.Helper()
	c, err := gonet.DialUDP(g.Stack, &tcpip.FullAddress{NIC: nic, Port: port}, nil, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// stopper interrupts a sleep on a descriptor.
type stopper struct{ r, w int }

func newStopper() (stopper, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return stopper{}, fmt.Errorf("make pipe: %w", err)
	}
	return stopper{fds[0], fds[1]}, nil
}

// wait sleeps until fd is readable, and reports false when it is time to stop.
func (s stopper) wait(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(s.r), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(p, -1); err != unix.EINTR {
			return err == nil && p[1].Revents == 0
		}
	}
}
