package user

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/waiter"

	"ukvm.dev/netif"
)

// DialContext connects to a port of the guest; it comes from the router's address. Errors are *net.OpError with the
// errno that a socket would give: ECONNREFUSED while nothing listens.
func (l *Link) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	_, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, dialError(network, nil, err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return nil, dialError(network, nil, fmt.Errorf("port %q is not a number from 1 to 65535", service))
	}
	if l.ctx.Err() != nil {
		return nil, dialError(network, nil, netif.ErrClosed)
	}
	to := netip.AddrPortFrom(l.plan.guest, uint16(port))
	netstack, err := l.netstack()
	if err != nil {
		return nil, dialError(network, nil, err)
	}
	switch network {
	case "tcp", "tcp4":
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(l.ctx, cancel)()
		ep, wq, err := l.connectGuest(ctx, netip.AddrPortFrom(l.plan.router, 0), to.Port())
		if err != nil {
			return nil, dialError(network, net.TCPAddrFromAddrPort(to), err)
		}
		return newGuestConn(wq, ep), nil
	case "udp", "udp4":
		local := tcpip.FullAddress{NIC: nic, Addr: address(l.plan.router)}
		remote := tcpip.FullAddress{NIC: nic, Addr: address(l.plan.guest), Port: to.Port()}
		c, err := gonet.DialUDP(netstack, &local, &remote, ipv4.ProtocolNumber)
		if err != nil {
			return nil, dialError(network, net.UDPAddrFromAddrPort(to), byText(err))
		}
		return guestPacketConn{c}, nil
	}
	return nil, dialError(network, nil, net.UnknownNetworkError(network))
}

// Listen accepts connections that the guest makes to a port of its router. Network is "tcp", and only the port of
// address counts; 0 picks one.
func (l *Link) Listen(network, addr string) (net.Listener, error) {
	_, service, err := net.SplitHostPort(addr)
	if err == nil && network != "tcp" && network != "tcp4" {
		err = net.UnknownNetworkError(network)
	}
	var port uint64
	if err == nil {
		port, err = strconv.ParseUint(service, 10, 16)
	}
	if err == nil && l.ctx.Err() != nil {
		err = netif.ErrClosed
	}
	var netstack *stack.Stack
	if err == nil {
		netstack, err = l.netstack()
	}
	if err != nil {
		return nil, fmt.Errorf("listen for the guest on %q: %w", addr, err)
	}
	listener, err := gonet.ListenTCP(netstack, tcpip.FullAddress{NIC: nic, Addr: address(l.plan.router), Port: uint16(port)}, ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("listen for the guest on %q: %w", addr, opError(err))
	}
	return &guestListener{TCPListener: listener}, nil
}

// guestConn is a TCP connection with the guest that reports errors as sockets do.
type guestConn struct{ *gonet.TCPConn }

func newGuestConn(wq *waiter.Queue, ep tcpip.Endpoint) guestConn {
	return guestConn{gonet.NewTCPConn(wq, ep)}
}

func (c guestConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	return n, opError(err)
}

func (c guestConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	return n, opError(err)
}

// guestPacketConn is a UDP flow with the guest, likewise.
type guestPacketConn struct{ *gonet.UDPConn }

func (c guestPacketConn) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	return n, opError(err)
}

func (c guestPacketConn) Write(b []byte) (int, error) {
	n, err := c.UDPConn.Write(b)
	return n, opError(err)
}

// guestListener ends Accept on Close, which gonet leaves to Shutdown.
type guestListener struct{ *gonet.TCPListener }

func (l *guestListener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err != nil {
		if byText(err) == net.ErrClosed {
			err = net.ErrClosed
		}
		return nil, opError(err)
	}
	return guestConn{c.(*gonet.TCPConn)}, nil
}

func (l *guestListener) Close() error {
	l.Shutdown()
	return l.TCPListener.Close()
}
