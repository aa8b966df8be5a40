package user

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// guestPort is a published UDP port.
type guestPort struct {
	link *Link
	conn *net.UDPConn
	raw  syscall.RawConn
	port uint16 // of the guest
	ipv4 bool   // conn is an IPv4 socket

	mu    sync.Mutex
	flows map[netip.AddrPort]*guestFlow // by the peer's address on the host's side
}

// guestFlow is a flow that a peer on the host's side started through a published port.
type guestFlow struct {
	port  *guestPort
	peer  netip.AddrPort
	addr  unix.Sockaddr // peer
	key   udpKey
	entry *udpEntry
}

func (f *guestFlow) send(payload []byte) { sendTo(f.port.raw, payload, f.addr) }

func (f *guestFlow) end() {
	f.port.mu.Lock()
	defer f.port.mu.Unlock()
	delete(f.port.flows, f.peer)
}

// servePort passes on the datagrams that come to conn until it is closed.
func (l *Link) servePort(conn *net.UDPConn, port uint16) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return // conn is closed
	}
	p := &guestPort{
		link: l, conn: conn, raw: raw, port: port, flows: make(map[netip.AddrPort]*guestFlow),
		ipv4: conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Is4(),
	}
	buf := make([]byte, maxDatagram)
	for {
		n, peer, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // what an earlier datagram to some peer has met
		}
		f := p.flow(peer)
		if f == nil {
			continue
		}
		f.entry.touch()
		l.udp.toGuest.Add(1)
		l.sendUDP(f.key.peer, f.key.guest, buf[:n])
	}
}

// flow finds or makes the flow of peer; nil if there is no room for it.
func (p *guestPort) flow(peer netip.AddrPort) *guestFlow {
	p.mu.Lock()
	f := p.flows[peer]
	p.mu.Unlock()
	if f != nil {
		return f
	}
	f = &guestFlow{port: p, peer: peer, addr: p.sockaddr(peer)}
	seen := p.link.seenAs(peer)
	// Peers that share an address in the guest's eyes need different ports there.
	const tries = 64
	for range tries {
		f.key = udpKey{guest: netip.AddrPortFrom(p.link.plan.guest, p.port), peer: seen}
		e := p.link.udp.add(f.key, func(e *udpEntry) udpFlow { f.entry = e; return f })
		if e == nil {
			return nil
		}
		if e.flow == f {
			p.mu.Lock()
			p.flows[peer] = f
			p.mu.Unlock()
			return f
		}
		seen = netip.AddrPortFrom(seen.Addr(), max(seen.Port()+1, 1024))
	}
	return nil
}

// sockaddr is peer for a socket of the port's family.
func (p *guestPort) sockaddr(peer netip.AddrPort) unix.Sockaddr {
	if p.ipv4 {
		return &unix.SockaddrInet4{Port: int(peer.Port()), Addr: peer.Addr().Unmap().As4()}
	}
	to := &unix.SockaddrInet6{Port: int(peer.Port()), Addr: peer.Addr().As16()}
	if zone := peer.Addr().Zone(); zone != "" {
		if i, err := net.InterfaceByName(zone); err == nil {
			to.ZoneId = uint32(i.Index)
		}
	}
	return to
}
