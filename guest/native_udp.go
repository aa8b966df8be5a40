package guest

import (
	"net"
	"net/netip"
)

// nativePort is event.Port.
type nativePort struct {
	n      *native
	conn   *net.UDPConn
	inbox  packetQueue
	closed bool
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
		case err != nil || p.inbox.Len() >= nativeInbox: // an ICMP error, or no room
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
