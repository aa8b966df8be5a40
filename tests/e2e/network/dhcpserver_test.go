package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif/netiftest"
)

// dhcpServer is a DHCP server (RFC 2131) with one address to give.
type dhcpServer struct {
	conn net.PacketConn

	mu     sync.Mutex
	addr   netip.Addr    // that it gives
	renew  time.Duration // T1
	silent bool
	seen   map[byte]int // messages by type
}

// Message types and options (RFC 2132).
const (
	dhcpDiscover, dhcpOffer, dhcpRequest, dhcpAck = 1, 2, 3, 5

	optMask, optRouter, optDNS, optDomain = 1, 3, 6, 15
	optRequested, optLease, optType       = 50, 51, 53
	optServer, optRenewal, optEnd         = 54, 58, 255
)

// startDHCP serves a device of a namespace until the test ends.
func startDHCP(t testing.TB, ns *netiftest.NetNS, device string) *dhcpServer {
	t.Helper()
	s := &dhcpServer{addr: netip.MustParseAddr(tapGuest), renew: time.Hour, seen: map[byte]int{}}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			if err = unix.BindToDevice(int(fd), device); err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
			}
		}); e != nil {
			return e
		}
		return err
	}}
	var err error
	do(ns, func() { s.conn, err = config.ListenPacket(context.Background(), "udp4", "0.0.0.0:67") })
	open(t, s.conn, err)
	go s.serve()
	return s
}

func (s *dhcpServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		answer := s.answer(buf[:n])
		if answer == nil {
			continue
		}
		to := from.(*net.UDPAddr)
		if to.IP.IsUnspecified() {
			to = &net.UDPAddr{IP: net.IPv4bcast, Port: 68}
		}
		s.conn.WriteTo(answer, to)
	}
}

func (s *dhcpServer) answer(m []byte) []byte {
	const fixed = 240
	if len(m) < fixed || m[0] != 1 || !bytes.Equal(m[236:240], []byte{99, 130, 83, 99}) {
		return nil
	}
	options := map[byte][]byte{}
	for o := m[fixed:]; len(o) > 1 && o[0] != optEnd; {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		if len(o) < 2+int(o[1]) {
			return nil
		}
		options[o[0]] = o[2 : 2+o[1]]
		o = o[2+o[1]:]
	}
	if len(options[optType]) != 1 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := options[optType][0]
	s.seen[kind]++
	reply := map[byte]byte{dhcpDiscover: dhcpOffer, dhcpRequest: dhcpAck}[kind]
	if s.silent || reply == 0 {
		return nil
	}
	host := netip.MustParseAddr(tapHost).AsSlice()
	b := append([]byte{}, m[:fixed]...)
	b[0] = 2
	copy(b[16:20], s.addr.AsSlice())
	copy(b[20:24], host)
	option := func(kind byte, value ...byte) { b = append(append(b, kind, byte(len(value))), value...) }
	option(optType, reply)
	option(optServer, host...)
	option(optMask, 255, 255, 255, 0)
	option(optRouter, host...)
	option(optDNS, host...)
	option(optDomain, []byte("example.test")...)
	option(optLease, binary.BigEndian.AppendUint32(nil, 7200)...)
	option(optRenewal, binary.BigEndian.AppendUint32(nil, uint32(s.renew/time.Second))...)
	return append(b, optEnd)
}

// count is how many messages of a type have come.
func (s *dhcpServer) count(kind byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[kind]
}
