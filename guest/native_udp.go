package guest

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// nativePort is event.Port.
type nativePort struct {
	n      *native
	conn   *net.UDPConn
	inbox  packetQueue
	closed bool
	err    error          // pending
	peer   netip.AddrPort // of Connect
}

// open is event.Host.Open.
func (n *native) open(local netip.AddrPort, upcall func(events)) (eventPort, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(local))
	if err != nil {
		return nil, plain(err)
	}
	p := &nativePort{n: n, conn: c}
	go p.read(upcall)
	return p, nil
}

func (p *nativePort) read(upcall func(events)) {
	for {
		b := p.n.pool.Receive(64 << 10)
		k, from, err := p.conn.ReadFromUDPAddrPort(b.Bytes())
		p.n.enter()
		switch {
		case p.closed:
			b.Release()
			p.n.turn()
			return
		case err != nil: // what ICMP says of a peer
			b.Release()
			p.err = plain(err)
			upcall(eventErr)
		case p.inbox.Len() >= nativeInbox: // no room
			b.Release()
		default:
			b.Truncate(k)
			b.Shrink() // it may wait for long
			b.Src, b.SrcPort = from.Addr().Unmap(), from.Port()
			p.inbox.Push(b)
			upcall(eventIn)
		}
		p.n.turn()
	}
}

func (p *nativePort) Local() netip.AddrPort { return unmapped(p.conn.LocalAddr()) }
func (p *nativePort) Take() *aPacket        { return p.inbox.Pop() }

func (p *nativePort) SendTo(b []byte, to netip.AddrPort) error {
	if !to.IsValid() {
		if to = p.peer; !to.IsValid() {
			return syscall.EDESTADDRREQ
		}
	}
	_, err := p.conn.WriteToUDPAddrPort(b, to)
	if err != nil {
		return plain(err)
	}
	return nil
}

func (p *nativePort) Close() {
	p.closed = true
	p.inbox.Release()
	p.conn.Close()
}

// Connect is event.Port. Package net has no connect for a socket that is there already.
func (p *nativePort) Connect(peer netip.AddrPort) error {
	index, err := zoneIndex(peer.Addr().Zone())
	if err != nil {
		return err
	}
	var to syscall.Sockaddr = &syscall.SockaddrInet6{Port: int(peer.Port()), ZoneId: uint32(index), Addr: peer.Addr().As16()}
	if p.is4() {
		if a := peer.Addr().Unmap(); a.Is4() {
			to = &syscall.SockaddrInet4{Port: int(peer.Port()), Addr: a.As4()}
		}
	}
	err = p.control(func(fd int) error { return syscall.Connect(fd, to) })
	if err == nil {
		p.peer = peer
	}
	return err
}

// Err is event.Port.
func (p *nativePort) Err() error {
	err := p.err
	p.err = nil
	return err
}

// Join is event.Port.
func (p *nativePort) Join(group netip.Addr) error {
	return p.membership(group, syscall.IP_ADD_MEMBERSHIP, syscall.IPV6_JOIN_GROUP)
}

// Leave is event.Port.
func (p *nativePort) Leave(group netip.Addr) error {
	return p.membership(group, syscall.IP_DROP_MEMBERSHIP, syscall.IPV6_LEAVE_GROUP)
}

func (p *nativePort) membership(group netip.Addr, option4, option6 int) error {
	index, err := zoneIndex(group.Zone())
	if err != nil {
		return err
	}
	group = group.WithZone("").Unmap()
	return p.control(func(fd int) error {
		if group.Is4() {
			return syscall.SetsockoptIPMreqn(fd, syscall.IPPROTO_IP, option4, &syscall.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(index)})
		}
		return syscall.SetsockoptIPv6Mreq(fd, syscall.IPPROTO_IPV6, option6, &syscall.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(index)})
	})
}

// is4 reports whether the socket is one of the IPv4 family.
func (p *nativePort) is4() bool {
	a, ok := p.conn.LocalAddr().(*net.UDPAddr)
	return ok && a.AddrPort().Addr().Is4()
}

// control calls f with the socket's descriptor.
func (p *nativePort) control(f func(fd int) error) error {
	raw, err := p.conn.SyscallConn()
	if err == nil {
		var failed error
		if err = raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err == nil {
			err = failed
		}
	}
	if err != nil {
		return plain(err)
	}
	return nil
}

// zoneIndex is the number of the interface that a zone names, 0 for none.
func zoneIndex(zone string) (int, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.Atoi(zone); err == nil {
		return n, nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, plain(err)
	}
	return i.Index, nil
}
