package user

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/tcpproxy"
	"ukvm.dev/netif/internal/wake"
)

// Link is a user-mode network. Its methods but Send, Receive and Arm are safe for concurrent use.
type Link struct {
	plan      plan
	broadcast netip.Addr // of the subnet
	published []Publish
	policy    policy
	resolver  resolver

	made      chan struct{} // closed when stack and forwarder are there, or stackErr
	stack     *stack.Stack
	stackErr  error
	forwarder *tcp.Forwarder
	endpoint  *endpoint
	out       *queue
	proxy     *tcpproxy.Proxy
	buffers   bufferPool
	moving    atomic.Int64 // bytes of the guest that splices have taken from netstack and are writing

	ctx    context.Context // done when the link is closed
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the link but netstack's

	mu     sync.RWMutex // held for reading by Send and Receive
	closed bool
	done   chan struct{} // closed at the end of Close

	batch      [64]*stack.PacketBuffer // of Receive
	queueFirst bool                    // in the last one

	tcp        tcpproxy.Table
	syns       synTable
	udp        udpTable // flows
	pings      udpTable // likewise, of echo requests
	advertiser advertiser
	dns        dnsCounters
	ipID       atomic.Uint32
	udps       []*net.UDPConn // published

	txFrames, txBytes, txDropped atomic.Uint64
	rxFrames, rxBytes, rxDropped atomic.Uint64
	blocked, ignored             atomic.Uint64
}

var (
	_ netif.Link      = (*Link)(nil)
	_ netif.Dialer    = (*Link)(nil)
	_ netif.Offloader = (*Link)(nil)
	_ netif.Drainer   = (*Link)(nil)
	_ netif.Counter   = (*Link)(nil)
)

var broadcastMAC = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// New binds the published ports and starts the network. On error nothing is left.
func New(c Config) (*Link, error) {
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	bound, err := p.bind()
	if err != nil {
		return nil, err
	}
	l := &Link{plan: p, broadcast: broadcast(p.Subnet), published: bound.published, done: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.policy.plan = &l.plan
	l.resolver = resolver{dial: p.Dial, fixed: p.DNS, path: p.resolvConf, host: p.host, slots: make(chan struct{}, dnsQueries)}
	l.tcp.Max, l.tcp.MaxPending = int64(p.MaxTCP), int64(p.MaxPending)
	l.syns = synTable{
		max: p.MaxPending, syns: make(map[stack.TransportEndpointID]syn),
		others: make(map[stack.TransportEndpointID]net.Conn),
	}
	l.udp.max, l.udp.timeout = p.MaxUDP, p.UDPTimeout
	l.udp.flows = make(map[udpKey]*udpEntry)
	l.pings.max, l.pings.timeout = min(p.MaxUDP, maxPings), pingTimeout
	l.pings.flows = make(map[udpKey]*udpEntry)
	if err := l.open(); err != nil {
		bound.close()
		return nil, fmt.Errorf("start user-mode network: %w", err)
	}
	if err := l.publish(&bound); err != nil {
		l.Close()
		return nil, fmt.Errorf("start user-mode network: %w", err)
	}
	return l, nil
}

// open makes what needs descriptors and memory. On error nothing is left.
func (l *Link) open() (err error) {
	event, err := wake.New()
	if err != nil {
		return err
	}
	l.out = &queue{event: event}
	defer func() {
		if err != nil {
			l.out.close()
		}
	}()
	l.proxy, err = tcpproxy.New(tcpproxy.Config{
		Guest: l.plan.guest, Ethernet: l.ethernet(header.IPv4ProtocolNumber), MTU: l.plan.MTU, Table: &l.tcp, Timeout: l.plan.DialTimeout,
		Dial: l.dialHost, Unreachable: l.tcpUnreachable, Other: l.otherConnects, SeenAs: l.seenAs,
		Go: l.wg.Go, Wake: l.out.wake,
	})
	if err != nil {
		return err
	}
	if err = l.proxy.Watch(event.FD()); err != nil {
		l.proxy.Close()
		return err
	}
	l.endpoint = newEndpoint(l.plan.MTU, l.out)
	l.made = make(chan struct{})
	l.wg.Go(l.makeStack)
	return nil
}

// makeStack makes netstack, on the side: that takes a third of a millisecond, in which the guest begins. Whoever wants the stack waits for
// it (netstack, deliver).
func (l *Link) makeStack() {
	defer close(l.made)
	if l.stack, l.stackErr = newStack(&l.plan, l.endpoint); l.stackErr != nil {
		return
	}
	// The table bounds the connections in the making; the forwarder's own bound must not come first.
	l.forwarder = tcp.NewForwarder(l.stack, tcpBuffer, l.plan.MaxPending+1, l.guestConnects)
	l.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, l.handleTCP)
	l.stack.SetTransportProtocolHandler(udp.ProtocolNumber, l.handleUDP)
	l.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, l.handlePing)
}

// netstack returns the stack, or why there is none.
func (l *Link) netstack() (*stack.Stack, error) {
	<-l.made
	return l.stack, l.stackErr
}

// deliver gives a packet of the guest to netstack, which may keep it.
func (l *Link) deliver(version tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	if _, err := l.netstack(); err == nil {
		l.endpoint.deliver(version, pkt)
	}
}

// publish starts to serve published ports.
func (l *Link) publish(bound *listeners) (err error) {
	for _, publish := range l.published {
		if publish.Network == "udp" {
			conn := bound.udp[0]
			bound.udp = bound.udp[1:]
			l.udps = append(l.udps, conn)
			l.wg.Go(func() { l.servePort(conn, publish.Guest) })
			continue
		}
		var fd int
		if fd, err = takeListener(bound.tcp[0]); err == nil {
			err = l.proxy.Listen(fd, publish.Guest)
		}
		if err != nil {
			bound.close()
			return err
		}
		bound.tcp = bound.tcp[1:]
	}
	return nil
}

// ethernet is the header of frames for the guest.
func (l *Link) ethernet(kind tcpip.NetworkProtocolNumber) (b [netif.EthernetSize]byte) {
	copy(b[0:6], l.plan.guestMAC[:])
	copy(b[6:12], l.plan.routerMAC[:])
	binary.BigEndian.PutUint16(b[12:14], uint16(kind))
	return b
}

func broadcast(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(a)
}

// Config is what to tell the guest.
func (l *Link) Config() netif.Config { return l.plan.guestConfig() }

// Published lists what is published, with the ports that were free where 0 was asked for.
func (l *Link) Published() []Publish { return append([]Publish(nil), l.published...) }

// Arm prepares for sleeping.
func (l *Link) Arm() bool { return l.proxy.Ready(l.out.arm) }

// FD is an epoll descriptor with the sockets of published ports and of TCP connections in it, whose data moves in Receive.
func (l *Link) FD() int { return l.proxy.FD() }

// Features are all that netstack can do: it does not look at checksums that the guest leaves out, and a segment may be
// as long as an IPv4 packet.
func (l *Link) Features() netif.Features {
	const longest = netif.EthernetSize + 65535
	return netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: longest, RxSegment: longest, TCP6: true}
}

// SetFeatures applies to connections made afterwards.
func (l *Link) SetFeatures(f netif.Features) error {
	if !f.Within(l.Features()) || f.TxSegment < 0 || f.RxSegment < 0 {
		return fmt.Errorf("set features of user-mode network: %+v is more than %+v", f, l.Features())
	}
	if f.RxSegment > 0 && !f.RxChecksum || f.TxSegment > 0 && !f.TxChecksum {
		return errors.New("set features of user-mode network: segmentation needs checksums")
	}
	l.endpoint.features.Store(&f)
	l.proxy.SetFeatures(f)
	return nil
}

// Close resets all connections and waits until everything has ended.
func (l *Link) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	if !first {
		<-l.done
		return nil
	}
	defer close(l.done)
	l.cancel()
	l.proxy.Close()
	for _, conn := range l.udps {
		conn.Close()
	}
	l.udp.close()
	l.pings.close()
	l.advertiser.close()
	ended := make(chan struct{})
	go func() { l.wg.Wait(); close(ended) }()
	netstack, err := l.netstack()
	if err != nil {
		<-ended
		l.out.close()
		return nil
	}
	// A handshake that begins while the stack is closed is missed by it and never ends, so close it until none is left.
	for waiting := true; waiting; {
		netstack.Close()
		select {
		case <-ended:
			waiting = false
		case <-time.After(closeRetry):
		}
	}
	netstack.Close()
	netstack.Wait()
	l.out.close()
	return nil
}

const closeRetry = 10 * time.Millisecond
