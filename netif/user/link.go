package user

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/wake"
)

// Link is a user-mode network. Its methods but Send, Receive and Arm are safe for concurrent use.
type Link struct {
	plan      plan
	broadcast netip.Addr // of the subnet
	published []Publish
	policy    policy
	resolver  resolver

	stack     *stack.Stack
	forwarder *tcp.Forwarder
	endpoint  *endpoint
	out       *queue
	fd        int
	buffers   bufferPool

	ctx    context.Context // done when the link is closed
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the link but netstack's

	mu     sync.RWMutex // held for reading by Send and Receive
	closed bool
	done   chan struct{} // closed at the end of Close

	batch [64]*stack.PacketBuffer // of Receive

	tcp       tcpTable
	udp       udpTable
	dns       dnsCounters
	ipID      atomic.Uint32
	listeners listeners

	txFrames, txBytes, txDropped atomic.Uint64
	rxFrames, rxBytes, rxDropped atomic.Uint64
	blocked, ignored             atomic.Uint64
}

var (
	_ netif.Link      = (*Link)(nil)
	_ netif.Dialer    = (*Link)(nil)
	_ netif.Offloader = (*Link)(nil)
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
	event, err := wake.New()
	if err != nil {
		bound.close()
		return nil, err
	}
	l := &Link{plan: p, broadcast: broadcast(p.Subnet), published: bound.published, listeners: bound}
	l.policy.plan = &l.plan
	l.out = &queue{event: event}
	l.fd = event.FD()
	l.endpoint = newEndpoint(p.MTU, l.out)
	if l.stack, err = newStack(&l.plan, l.endpoint); err != nil {
		l.out.close()
		bound.close()
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.done = make(chan struct{})
	l.resolver = resolver{dial: p.Dial, fixed: p.DNS, path: p.resolvConf, host: p.host, slots: make(chan struct{}, dnsQueries)}
	l.tcp.max, l.tcp.maxPending = int64(p.MaxTCP), int64(p.MaxPending)
	l.tcp.syns = make(map[stack.TransportEndpointID]uint32)
	l.udp.max, l.udp.timeout = p.MaxUDP, p.UDPTimeout
	l.udp.flows = make(map[udpKey]*udpEntry)
	l.start()
	return l, nil
}

// start connects what New has made.
func (l *Link) start() {
	// The table bounds the connections in the making; the forwarder's own bound must not come first.
	l.forwarder = tcp.NewForwarder(l.stack, tcpBuffer, l.plan.MaxPending+1, l.guestConnects)
	l.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, l.handleTCP)
	l.stack.SetTransportProtocolHandler(udp.ProtocolNumber, l.handleUDP)
	tcps, udps := l.listeners.tcp, l.listeners.udp
	for _, publish := range l.published {
		if publish.Network == "udp" {
			conn := udps[0]
			udps = udps[1:]
			l.wg.Go(func() { l.servePort(conn, publish.Guest) })
		} else {
			listener := tcps[0]
			tcps = tcps[1:]
			l.wg.Go(func() { l.accept(listener, publish.Guest) })
		}
	}
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
func (l *Link) Arm() bool { return l.out.arm() }

// FD is an eventfd.
func (l *Link) FD() int { return l.fd }

// Features are all that netstack can do: it does not look at checksums that the guest leaves out, and a segment may be
// as long as an IPv4 packet.
func (l *Link) Features() netif.Features {
	const longest = netif.EthernetSize + 65535
	return netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: longest, RxSegment: longest}
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
	l.listeners.close()
	l.udp.close()
	ended := make(chan struct{})
	go func() { l.wg.Wait(); close(ended) }()
	// A handshake that begins while the stack is closed is missed by it and never ends, so close it until none is left.
	for waiting := true; waiting; {
		l.stack.Close()
		select {
		case <-ended:
			waiting = false
		case <-time.After(closeRetry):
		}
	}
	l.stack.Close()
	l.stack.Wait()
	l.out.close()
	return nil
}

const closeRetry = 10 * time.Millisecond
