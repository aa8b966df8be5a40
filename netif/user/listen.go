package user

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// listeners are the host's sockets of published ports, bound before the link is used.
type listeners struct {
	tcp       []*net.TCPListener
	udp       []*net.UDPConn
	published []Publish // as bound
}

// bind opens all or none.
func (p *plan) bind() (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	for _, publish := range p.Publish {
		var addr net.Addr
		if publish.Network == "udp" {
			c, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", publish.hostAddress())
			if err != nil {
				return l, bindError(publish, err)
			}
			l.udp = append(l.udp, c.(*net.UDPConn))
			addr = c.LocalAddr()
		} else {
			publish.Network = "tcp"
			c, err := new(net.ListenConfig).Listen(context.Background(), "tcp", publish.hostAddress())
			if err != nil {
				return l, bindError(publish, err)
			}
			l.tcp = append(l.tcp, c.(*net.TCPListener))
			addr = c.Addr()
		}
		publish.Host = netip.MustParseAddrPort(addr.String()).Port()
		l.published = append(l.published, publish)
	}
	return l, nil
}

func bindError(p Publish, err error) error {
	network := "tcp"
	if p.Network == "udp" {
		network = "udp"
	}
	where := strings.TrimPrefix(p.hostAddress(), ":")
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("publish %v: %s port %s is in use: choose another host port or stop what listens there: %w", p, network, where, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("publish %v: %s port %s is not permitted: choose one above 1023, or run as root: %w", p, network, where, syscall.EACCES)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("publish %v: this host does not have the address %v: %w", p, p.Addr, syscall.EADDRNOTAVAIL)
	}
	return fmt.Errorf("publish %v: %w", p, err)
}

func (l *listeners) close() {
	for _, c := range l.tcp {
		c.Close()
	}
	for _, c := range l.udp {
		c.Close()
	}
}

// takeListener gives the descriptor of a listener to the caller; the runtime's poller does not look after it any more.
func takeListener(listener *net.TCPListener) (fd int, err error) {
	defer listener.Close()
	raw, err := listener.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("take listener: %w", err)
	}
	if e := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		err = e
	}
	if err != nil {
		return -1, fmt.Errorf("take listener: %w", err)
	}
	return fd, nil
}
