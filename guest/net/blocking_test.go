package net

import (
	gonet "net"
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/nettest"
)

// conn is a socket and a net.Conn made of it.
type conn struct {
	Socket
	*nettest.Conn
}

func blocking(k Socket) *conn { return &conn{k, nettest.Blocking(k, gonet.ErrClosed)} }

func (c *conn) Close() error { return c.Conn.Close() }

func (c *conn) LocalAddr() gonet.Addr {
	a, _ := c.Name(false)
	return gonet.TCPAddrFromAddrPort(a)
}

func (c *conn) RemoteAddr() gonet.Addr {
	a, _ := c.Name(true)
	return gonet.TCPAddrFromAddrPort(a)
}

// dial connects and waits for the outcome.
func (h *host) dial(to netip.AddrPort) (*conn, error) {
	make := h.Socket
	if to.Addr().Is6() {
		make = h.Socket6
	}
	k, e := make(sockStream, 0)
	if e != 0 {
		return nil, e
	}
	c := blocking(k)
	if err := c.Dial(to); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// listener is a net.Listener.
type listener struct{ *conn }

func (h *host) listenOn(t testing.TB, port uint16) *listener {
	t.Helper()
	return h.listenAt(t, netip.AddrPortFrom(netip.IPv4Unspecified(), port), h.Socket)
}

// listenOn6 makes a listener for both versions of IP.
func (h *host) listenOn6(t testing.TB, port uint16) *listener {
	t.Helper()
	return h.listenAt(t, netip.AddrPortFrom(netip.IPv6Unspecified(), port), h.Socket6)
}

func (h *host) listenAt(t testing.TB, at netip.AddrPort, make func(typ, protocol int) (Socket, syscall.Errno)) *listener {
	t.Helper()
	k, e := make(sockStream, 0)
	if e == 0 {
		e = k.SetOption(solSocket, soReuseAddr, []byte{1, 0, 0, 0})
	}
	if e == 0 {
		e = k.Bind(at)
	}
	if e == 0 {
		e = k.Listen(512)
	}
	if e != 0 {
		t.Fatal(e)
	}
	return &listener{blocking(k)}
}

func (l *listener) Accept() (gonet.Conn, error) {
	var k Socket
	err := l.Wait(func() (e syscall.Errno) {
		k, _, e = l.conn.Accept()
		return e
	})
	if err != nil {
		return nil, err
	}
	return blocking(k), nil
}

func (l *listener) Addr() gonet.Addr { return l.LocalAddr() }

func (h *host) udp(t testing.TB, port uint16) *conn {
	t.Helper()
	k, e := h.Socket(sockDgram, 0)
	if e == 0 {
		e = k.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	}
	if e != 0 {
		t.Fatal(e)
	}
	return blocking(k)
}
