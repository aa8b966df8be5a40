package udp

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/wire"
)

var (
	ourIP, peerIP = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	groupIP       = netip.MustParseAddr("239.1.2.3")
	allIP         = netip.MustParseAddr("10.0.0.255")
)

// lab is a box and its surroundings: one interface, number 2.
type lab struct {
	t    *testing.T
	box  Box
	pool packet.Pool
	sent []*packet.Packet
	none int // datagrams nobody wanted
	busy bool
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t}
	rng := rand.New(rand.NewPCG(1, 1))
	l.box = Box{
		Down:            func(p *packet.Packet) { l.sent = append(l.sent, p) },
		PortUnreachable: func(p *packet.Packet) { l.none++; p.Release() },
		Route: func(dst, src netip.Addr, link int) (route.Route, error) {
			if dst.As4()[0] == 192 {
				return route.Route{}, route.ErrNoRoute
			}
			if !src.IsValid() {
				src = ourIP
			}
			return route.Route{Link: 2, Source: src, NextHop: dst, MTU: 1500, Broadcast: dst == allIP || dst.IsMulticast()}, nil
		},
		Busy: func(int) bool { return l.busy }, Random: rng.Uint64, Pool: &l.pool, MaxEndpoints: 1000, Memory: 1 << 20,
	}
	return l
}

func (l *lab) open(addr netip.Addr, port uint16, set func(*Endpoint)) *Endpoint {
	l.t.Helper()
	e := new(Endpoint)
	l.box.Open(e, 64<<10)
	if set != nil {
		set(e)
	}
	if err := e.Bind(addr, port); err != nil {
		l.t.Fatalf("bind %v:%d: %v", addr, port, err)
	}
	return e
}

// datagram is what the IP box hands up.
func (l *lab) datagram(src, dst netip.AddrPort, data string) *packet.Packet {
	n := wire.UDPSize + len(data)
	p := l.pool.Linear(n)
	copy(p.Bytes()[wire.UDPSize:], data)
	h := wire.UDP(p.Bytes()[:wire.UDPSize])
	h.Encode(src.Port(), dst.Port(), n, 0)
	sum := wire.Pseudo(src.Addr(), dst.Addr(), wire.ProtoUDP, n)
	sum.Add(p.Bytes())
	h.SetChecksum(sum.Checksum())
	p.Src, p.Dst, p.Link, p.Proto = src.Addr(), dst.Addr(), 2, wire.ProtoUDP
	p.Broadcast = dst.Addr() == allIP || dst.Addr().IsMulticast()
	return p
}

func (l *lab) receive(src, dst netip.AddrPort, data string) {
	l.box.Receive(l.datagram(src, dst, data))
}

// take is the oldest datagram of an end point, "" if there is none.
func take(e *Endpoint) string {
	p := e.Inbox.Front()
	if p == nil {
		return ""
	}
	b := make([]byte, p.Len())
	p.CopyOut(b)
	e.Inbox.Drop()
	return string(b)
}

func port(a netip.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a, p) }
