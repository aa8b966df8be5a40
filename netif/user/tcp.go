package user

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/tcpproxy"
)

// TCP of the guest goes two ways. What sockets of the host can serve is package tcpproxy's: frames come and go without
// netstack. Netstack has the rest: our own addresses, with DNS and what Listen and DialContext make, connections from a
// Config.Dial that are no sockets, connections with link-local addresses, and segments that belong to nothing.

// synTable has the connections that the guest is making through netstack. It is safe for concurrent use.
type synTable struct {
	max int

	mu     sync.Mutex
	syns   map[stack.TransportEndpointID]syn
	others map[stack.TransportEndpointID]net.Conn // dialled already, SYN on its way
}

// syn is a connection in the making.
type syn struct {
	seq  uint32   // number of the SYN
	host net.Conn // nil if nothing was dialled
}

// add notes a SYN of the guest. It reports false if the connection is already in the making, or too many are; the guest
// will send its SYN again.
func (t *synTable) add(id stack.TransportEndpointID, seq uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.syns[id]; ok || len(t.syns) >= t.max {
		return false
	}
	t.syns[id] = syn{seq, t.others[id]}
	delete(t.others, id)
	return true
}

// take forgets a connection.
func (t *synTable) take(id stack.TransportEndpointID) syn {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.syns[id]
	delete(t.syns, id)
	return s
}

func (t *synTable) get(id stack.TransportEndpointID) syn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.syns[id]
}

// offer keeps host for the SYN that comes next; withdraw returns it if that did not come.
func (t *synTable) offer(id stack.TransportEndpointID, host net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.others[id] = host
}

func (t *synTable) withdraw(id stack.TransportEndpointID) net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	host := t.others[id]
	delete(t.others, id)
	return host
}

// segment is the TCP segment in a frame of which head is the beginning; it reports false if the frame holds something
// else, or it is netstack's to say what is wrong with it.
func (l *Link) segment(head []byte, f *netif.Frame) (s tcpproxy.Segment, ok bool) {
	if binary.BigEndian.Uint16(head[12:14]) == uint16(header.IPv6ProtocolNumber) {
		return l.segment6(head, f)
	}
	ip := header.IPv4(head[netif.EthernetSize:])
	if len(ip) < header.IPv4MinimumSize+header.TCPMinimumSize || header.IPVersion(ip) != header.IPv4Version ||
		ip.Protocol() != uint8(header.TCPProtocolNumber) || ip.More() || ip.FragmentOffset() != 0 {
		return s, false
	}
	network, total := int(ip.HeaderLength()), int(ip.TotalLength())
	if network < header.IPv4MinimumSize || network+header.TCPMinimumSize > min(total, len(ip)) || netif.EthernetSize+total > f.Len {
		return s, false
	}
	tcp := header.TCP(ip[network:])
	headers := network + int(tcp.DataOffset())
	if tcp.DataOffset() < header.TCPMinimumSize || headers > min(total, len(ip)) {
		return s, false
	}
	dst := netip.AddrFrom4(ip.DestinationAddress().As4())
	if netip.AddrFrom4(ip.SourceAddress().As4()) != l.plan.guest || !routable(dst) {
		return s, false
	}
	return tcpproxy.Segment{
		IP: ip[:network], TCP: tcp[:tcp.DataOffset()],
		Frame: f, Off: netif.EthernetSize + headers, Len: total - headers,
	}, true
}

// segment6 is segment for IPv6: without extension headers, to and from addresses that are not the link's only.
func (l *Link) segment6(head []byte, f *netif.Frame) (s tcpproxy.Segment, ok bool) {
	ip := header.IPv6(head[netif.EthernetSize:])
	if l.plan.NoIPv6 || header.IPVersion(ip) != header.IPv6Version || len(ip) < header.IPv6MinimumSize+header.TCPMinimumSize || ip.NextHeader() != uint8(header.TCPProtocolNumber) {
		return s, false
	}
	total := header.IPv6MinimumSize + int(ip.PayloadLength())
	if total < header.IPv6MinimumSize+header.TCPMinimumSize || netif.EthernetSize+total > f.Len {
		return s, false
	}
	tcp := header.TCP(ip[header.IPv6MinimumSize:])
	headers := header.IPv6MinimumSize + int(tcp.DataOffset())
	if tcp.DataOffset() < header.TCPMinimumSize || headers > min(total, len(ip)) {
		return s, false
	}
	src, dst := netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
	if !l.plan.Subnet6.Contains(src) || l.plan.isOurs(src) || !routable6(dst) {
		return s, false
	}
	return tcpproxy.Segment{
		IP: ip[:header.IPv6MinimumSize], TCP: tcp[:tcp.DataOffset()],
		Frame: f, Off: netif.EthernetSize + headers, Len: total - headers,
	}, true
}

// inputTCP reports whether the proxy has taken s.
func (l *Link) inputTCP(s *tcpproxy.Segment) bool {
	if l.proxy.Input(s) {
		return true
	}
	if !s.Opens() {
		return false
	}
	target, verdict := l.policy.decide(s.Peer())
	if verdict != forward {
		return false
	}
	l.proxy.Open(s, target)
	return true
}

// dialHost makes the host's side of a connection of the guest.
func (l *Link) dialHost(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.plan.DialTimeout)
	defer cancel()
	return l.plan.Dial(ctx, "tcp", target.String())
}

// tcpUnreachable tells the guest about an error of dialHost, unless it is to get a reset.
func (l *Link) tcpUnreachable(src, dst netip.AddrPort, seq uint32, err error) (reset bool) {
	why := reasonOf(err)
	if why != refused {
		l.unreachable(l.plan.routerOf(dst.Addr()), why, header.TCPProtocolNumber, src, dst, seq)
	}
	return why == refused
}

// otherConnects gives a connection that is no socket to netstack, with the guest's SYN.
func (l *Link) otherConnects(host net.Conn, packet []byte) {
	var ip header.Network = header.IPv4(packet)
	version, size := header.IPv4ProtocolNumber, int(header.IPv4(packet).HeaderLength())
	if header.IPVersion(packet) == header.IPv6Version {
		ip, version, size = header.IPv6(packet), header.IPv6ProtocolNumber, header.IPv6MinimumSize
	}
	tcp := header.TCP(packet[size:]) // without the payload that the length may speak of
	id := stack.TransportEndpointID{
		LocalAddress: ip.DestinationAddress(), LocalPort: tcp.DestinationPort(),
		RemoteAddress: ip.SourceAddress(), RemotePort: tcp.SourcePort(),
	}
	l.syns.offer(id, host)
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet)})
	l.deliver(version, pkt)
	pkt.DecRef()
	if host := l.syns.withdraw(id); host != nil {
		l.tcp.Lost()
		reset(host)
	}
}

// handleTCP gets the segments for netstack that belong to no connection, on the thread of Send or of otherConnects. SYNs
// start a goroutine each, in the forwarder; for the rest netstack sends a reset if it returns false.
func (l *Link) handleTCP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	segment := header.TCP(pkt.TransportHeader().Slice())
	if segment.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) != header.TCPFlagSyn {
		return false
	}
	if !l.syns.add(id, segment.SequenceNumber()) {
		return true
	}
	l.wg.Add(1)
	if !l.forwarder.HandlePacket(id, pkt) {
		l.wg.Done()
		if host := l.syns.take(id).host; host != nil {
			reset(host)
		}
		return false
	}
	return true
}

// guestConnects serves a connection that the guest makes through netstack.
func (l *Link) guestConnects(request *tcp.ForwarderRequest) {
	defer l.wg.Done()
	id := request.ID()
	src, dst := addrPort(id.RemoteAddress, id.RemotePort), addrPort(id.LocalAddress, id.LocalPort)
	host := l.syns.get(id).host
	// The forwarder must have forgotten the connection before the table does.
	complete := func(sendReset bool) uint32 {
		request.Complete(sendReset)
		return l.syns.take(id).seq
	}
	if l.tcp.Begin() != tcpproxy.Granted {
		complete(true)
		if host != nil {
			reset(host)
		}
		return
	}
	isDNS := l.isDNS(dst)
	if host == nil && !isDNS {
		target, verdict := l.policy.decide(dst)
		err := verdict.err()
		if verdict == forward {
			host, err = l.dialHost(l.ctx, target)
		}
		if err != nil {
			l.tcp.Fail()
			l.tcpUnreachable(src, dst, complete(reasonOf(err) == refused), err)
			return
		}
	}
	var wq waiter.Queue
	ep, err := request.CreateEndpoint(&wq)
	complete(false)
	if err != nil {
		l.tcp.Fail()
		if host != nil {
			reset(host)
		}
		return
	}
	l.tcp.Established(true)
	defer l.tcp.End()
	if isDNS {
		l.serveDNS(newGuestConn(&wq, ep))
		return
	}
	newSplice(ep, &wq, host, &l.buffers, &l.moving).run(l.ctx)
}

// err is how the host would report a verdict other than forward.
func (v verdict) err() error {
	switch v {
	case forward:
		return nil
	case absent:
		return syscall.EHOSTUNREACH
	case refuse:
		return syscall.ECONNREFUSED
	}
	return syscall.EACCES
}

// seenAs is the address a peer on the host's side has for the guest: its own, unless that means something else to the
// guest.
func (l *Link) seenAs(peer netip.AddrPort) netip.AddrPort {
	a := peer.Addr().Unmap()
	if !routable(a) || l.plan.Subnet.Contains(a) {
		a = l.plan.router
	}
	return netip.AddrPortFrom(a, peer.Port())
}

// connectGuest connects to a port of the guest from the address from, or another port of it if that one is taken.
func (l *Link) connectGuest(ctx context.Context, from netip.AddrPort, port uint16) (tcpip.Endpoint, *waiter.Queue, error) {
	netstack, err := l.netstack()
	if err != nil {
		return nil, nil, err
	}
	wq := new(waiter.Queue)
	ep, terr := netstack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, wq)
	if terr != nil {
		return nil, nil, goError(terr)
	}
	local := tcpip.FullAddress{NIC: nic, Addr: address(from.Addr()), Port: from.Port()}
	if terr = ep.Bind(local); terr != nil {
		local.Port = 0
		terr = ep.Bind(local)
	}
	if terr != nil {
		ep.Close()
		return nil, nil, goError(terr)
	}
	connected, done := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	wq.EventRegister(&connected)
	defer wq.EventUnregister(&connected)
	terr = ep.Connect(tcpip.FullAddress{NIC: nic, Addr: address(l.plan.guest), Port: port})
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		select {
		case <-done:
			terr = ep.LastError()
		case <-ctx.Done():
			ep.Close()
			return nil, nil, ctx.Err()
		}
	}
	if terr != nil {
		ep.Close()
		return nil, nil, goError(terr)
	}
	return ep, wq, nil
}
