package user

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// tcpTable bounds TCP connections and counts them. It is safe for concurrent use.
type tcpTable struct {
	max, maxPending int64
	open, pending   atomic.Int64

	mu   sync.Mutex
	syns map[stack.TransportEndpointID]uint32 // connections the guest is making, with their sequence numbers

	toHost, toGuest, refused, failed atomic.Uint64
}

// begin takes the place of a connection in the making; it reports false if there is none.
func (t *tcpTable) begin() bool {
	if t.open.Add(1) > t.max {
		t.open.Add(-1)
		t.refused.Add(1)
		return false
	}
	if t.pending.Add(1) > t.maxPending {
		t.pending.Add(-1)
		t.open.Add(-1)
		t.refused.Add(1)
		return false
	}
	return true
}

// established and end give up the place in the making, and the place.
func (t *tcpTable) established() { t.pending.Add(-1) }
func (t *tcpTable) end()         { t.open.Add(-1) }

// syn notes a SYN of the guest. It reports false if the connection is already in the making, or too many are; the guest
// will send its SYN again.
func (t *tcpTable) syn(id stack.TransportEndpointID, seq uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.syns[id]; ok {
		return false
	}
	if int64(len(t.syns)) >= t.maxPending {
		t.refused.Add(1)
		return false
	}
	t.syns[id] = seq
	return true
}

func (t *tcpTable) forget(id stack.TransportEndpointID) (seq uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seq = t.syns[id]
	delete(t.syns, id)
	return seq
}

// handleTCP gets the segments of the guest that belong to no connection, on the thread of Send. SYNs start a goroutine
// each, in the forwarder; for the rest netstack sends a reset if it returns false.
func (l *Link) handleTCP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	segment := header.TCP(pkt.TransportHeader().Slice())
	if segment.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) != header.TCPFlagSyn {
		return false
	}
	if !l.tcp.syn(id, segment.SequenceNumber()) {
		return true
	}
	l.wg.Add(1)
	if !l.forwarder.HandlePacket(id, pkt) {
		l.wg.Done()
		l.tcp.forget(id)
		return false
	}
	return true
}

// guestConnects serves a connection that the guest makes.
func (l *Link) guestConnects(request *tcp.ForwarderRequest) {
	defer l.wg.Done()
	id := request.ID()
	src, dst := addrPort(id.RemoteAddress, id.RemotePort), addrPort(id.LocalAddress, id.LocalPort)
	// The forwarder must have forgotten the connection before the table does.
	complete := func(sendReset bool) uint32 {
		request.Complete(sendReset)
		return l.tcp.forget(id)
	}
	if !l.tcp.begin() {
		complete(true)
		return
	}
	defer l.tcp.end()

	host, err := l.connectHost(dst)
	if err != nil {
		l.tcp.established()
		l.tcp.failed.Add(1)
		code, refused := icmpCode(err)
		seq := complete(refused)
		if !refused {
			l.unreachable(l.plan.router, code, header.TCPProtocolNumber, src, dst, seq)
		}
		return
	}
	var wq waiter.Queue
	ep, terr := request.CreateEndpoint(&wq)
	complete(false)
	l.tcp.established()
	if terr != nil {
		l.tcp.failed.Add(1)
		if host != nil {
			reset(host)
		}
		return
	}
	l.tcp.toHost.Add(1)
	if host == nil {
		l.serveDNS(newGuestConn(&wq, ep))
		return
	}
	newSplice(ep, &wq, host, &l.buffers).run(l.ctx)
}

// connectHost dials what the guest calls dst. It returns nil without an error for our own DNS server.
func (l *Link) connectHost(dst netip.AddrPort) (net.Conn, error) {
	if dst == netip.AddrPortFrom(l.plan.dns, dnsPort) {
		return nil, nil
	}
	target, verdict := l.policy.decide(dst)
	if err := verdict.err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.plan.DialTimeout)
	defer cancel()
	return l.plan.Dial(ctx, "tcp", target.String())
}

// err is how the host would report the verdict.
func (v verdict) err() error {
	switch v {
	case absent:
		return syscall.EHOSTUNREACH
	case refuse:
		return syscall.ECONNREFUSED
	case forbid:
		return syscall.EACCES
	}
	return nil
}

// icmpCode turns an error of Dial into what the guest is told (RFC 792, RFC 1812 section 5.2.7.1), or refused.
func icmpCode(err error) (code header.ICMPv4Code, refused bool) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return 0, true
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return header.ICMPv4AdminProhibited, false
	case errors.Is(err, syscall.ENETUNREACH):
		return header.ICMPv4NetUnreachable, false
	}
	return header.ICMPv4HostUnreachable, false
}

// hostConnects serves a connection that was accepted on a published port.
func (l *Link) hostConnects(host *net.TCPConn, port uint16) {
	defer l.tcp.end()
	ctx, cancel := context.WithTimeout(l.ctx, l.plan.DialTimeout)
	ep, wq, err := l.connectGuest(ctx, l.seenAs(host.RemoteAddr().(*net.TCPAddr).AddrPort()), port)
	cancel()
	l.tcp.established()
	if err != nil {
		l.tcp.failed.Add(1)
		reset(host)
		return
	}
	l.tcp.toGuest.Add(1)
	newSplice(ep, wq, host, &l.buffers).run(l.ctx)
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
	wq := new(waiter.Queue)
	ep, terr := l.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, wq)
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
