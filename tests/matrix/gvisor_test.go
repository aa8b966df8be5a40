package matrix

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// gvisor is an end with gVisor's netstack.
type gvisor struct {
	stack    *stack.Stack
	link     *channel.Endpoint
	addr     netip.Addr
	protocol tcpip.NetworkProtocolNumber
	stop     func()
	running  sync.WaitGroup
}

const nicID = 1

func newGvisor(p plug) (end, error) {
	g := &gvisor{addr: p.addr(), protocol: ipv4.ProtocolNumber}
	if p.v6 {
		g.protocol = ipv6.ProtocolNumber
	}
	g.stack = stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol, ipv6.NewProtocolWithOptions(ipv6.Options{})},
		// With NewReno: its CUBIC stops sending for good after some losses, without a timeout.
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	moderate := tcpip.TCPModerateReceiveBufferOption(true) // as runsc has it
	if err := g.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &moderate); err != nil {
		return nil, gvisorError{err}
	}
	mac := p.mac()
	// The queue is longer than any window.
	g.link = channel.New(20000, uint32(p.mtu), tcpip.LinkAddress(mac[:]))
	if err := g.stack.CreateNIC(nicID, ethernet.New(g.link)); err != nil {
		return nil, gvisorError{err}
	}
	prefix := tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(p.addr().AsSlice()), PrefixLen: p.prefix().Bits()}
	err := g.stack.AddProtocolAddress(nicID, tcpip.ProtocolAddress{Protocol: g.protocol, AddressWithPrefix: prefix},
		stack.AddressProperties{})
	if err != nil {
		return nil, gvisorError{err}
	}
	g.stack.SetRouteTable([]tcpip.Route{{Destination: prefix.Subnet(), NIC: nicID}})
	p.receive(func(frames [][]byte) {
		for _, f := range frames {
			k := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(f)})
			g.link.InjectInbound(0, k)
			k.DecRef()
		}
	})
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.running.Go(func() { g.send(ctx, p) })
	return g, nil
}

// send puts on the cable what netstack sends.
func (g *gvisor) send(ctx context.Context, p plug) {
	frames := make([][]byte, 0, batch)
	for {
		k := g.link.ReadContext(ctx)
		if k == nil {
			return
		}
		frames = frames[:0]
		for k != nil {
			v := k.ToView()
			frames = append(frames, v.ToSlice())
			v.Release()
			k.DecRef()
			if len(frames) == batch {
				break
			}
			k = g.link.Read()
		}
		p.send(frames)
	}
}

func (g *gvisor) name() string { return "gvisor" }

func (g *gvisor) probes() bool { return false }

func (g *gvisor) bears() bool { return false }

func (g *gvisor) close() {
	g.stop()
	g.running.Wait()
	g.stack.Destroy()
}

// settled is gVisor's own business.
func (g *gvisor) settled() error { return nil }

func (g *gvisor) endpoint(local uint16) (tcpip.Endpoint, *waiter.Queue, error) {
	q := new(waiter.Queue)
	ep, err := g.stack.NewEndpoint(tcp.ProtocolNumber, g.protocol, q)
	if err != nil {
		return nil, nil, gvisorError{err}
	}
	if local != 0 {
		ep.SocketOptions().SetReuseAddress(true)
		if err := ep.Bind(tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFromSlice(g.addr.AsSlice()), Port: local}); err != nil {
			ep.Close()
			return nil, nil, gvisorError{err}
		}
	}
	return ep, q, nil
}

func (g *gvisor) listen(port uint16) (listener, error) {
	ep, q, err := g.endpoint(port)
	if err != nil {
		return nil, err
	}
	if err := ep.Listen(1024); err != nil {
		ep.Close()
		return nil, gvisorError{err}
	}
	return &gvisorListener{ep: ep, queue: q, closed: make(chan struct{})}, nil
}

func (g *gvisor) dial(local uint16, to netip.AddrPort) (conn, error) {
	ep, q, err := g.endpoint(local)
	if err != nil {
		return nil, err
	}
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
	q.EventRegister(&entry)
	defer q.EventUnregister(&entry)
	e := ep.Connect(tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFromSlice(to.Addr().AsSlice()), Port: to.Port()})
	if _, ok := e.(*tcpip.ErrConnectStarted); ok {
		select {
		case <-ready:
			e = ep.LastError()
		case <-time.After(patience):
			e = &tcpip.ErrTimeout{}
		}
	}
	if e != nil {
		ep.Close()
		return nil, gvisorError{e}
	}
	return gvisorConn{gonet.NewTCPConn(q, ep), ep}, nil
}

// gvisorListener is an endpoint that listens.
type gvisorListener struct {
	ep     tcpip.Endpoint
	queue  *waiter.Queue
	closed chan struct{}
}

func (l *gvisorListener) accept() (conn, error) {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents)
	l.queue.EventRegister(&entry)
	defer l.queue.EventUnregister(&entry)
	for {
		ep, q, err := l.ep.Accept(nil)
		if err == nil {
			return gvisorConn{gonet.NewTCPConn(q, ep), ep}, nil
		}
		if _, ok := err.(*tcpip.ErrWouldBlock); !ok {
			return nil, gvisorError{err}
		}
		select {
		case <-ready:
		case <-l.closed:
			return nil, io.ErrClosedPipe
		}
	}
}

func (l *gvisorListener) Close() error {
	close(l.closed)
	l.ep.Close()
	return nil
}

// gvisorConn is a connected endpoint.
type gvisorConn struct {
	*gonet.TCPConn
	ep tcpip.Endpoint
}

func (c gvisorConn) abort() error {
	c.ep.Abort()
	return c.Close()
}

func (c gvisorConn) finLast() {}

// isReset: gonet has no errors to compare with.
func (c gvisorConn) isReset(err error) bool { return err != nil && err != io.EOF }

// gvisorError makes an error of one of gVisor's.
type gvisorError struct{ err tcpip.Error }

func (e gvisorError) Error() string { return fmt.Sprintf("gvisor: %s", e.err) }
