package netiftest

import (
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/offload"
)

// port is a guest's network card: gVisor's link endpoint over the guest's side of a Link. It carries Ethernet frames;
// their headers are made and read by link/ethernet around it.
type port struct {
	link     netif.Link
	mac      tcpip.LinkAddress
	mtu      uint32
	features netif.Features

	stop stopper
	wg   sync.WaitGroup

	mu         sync.Mutex // orders Send
	frame      [1]netif.Frame
	dispatcher stack.NetworkDispatcher
}

var (
	_ stack.LinkEndpoint = (*port)(nil)
	_ stack.GSOEndpoint  = (*port)(nil)
)

func newPort(link netif.Link, config netif.Config, features netif.Features) (*port, error) {
	stop, err := newStopper()
	if err != nil {
		return nil, err
	}
	return &port{
		link: link, mac: tcpip.LinkAddress(config.MAC[:]), features: features, stop: stop,
		mtu: uint32(config.MTU + netif.EthernetSize), // link/ethernet takes the header off
	}, nil
}

// receive hands frames to the stack until close, sleeping as a guest does.
func (p *port) receive(dispatcher stack.NetworkDispatcher) {
	const batch = 32
	room := netif.EthernetSize + int(max(p.mtu, uint32(p.features.RxSegment)))
	frames := make([]netif.Frame, batch)
	for i := range frames {
		frames[i].Data = [][]byte{make([]byte, room)}
	}
	for {
		n, err := p.link.Receive(frames)
		if err != nil {
			return
		}
		for i := range frames[:n] {
			f := &frames[i]
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
				Payload: buffer.MakeWithData(f.Data[0][:f.Len]),
			})
			dispatcher.DeliverNetworkPacket(0, pkt)
			pkt.DecRef()
		}
		if n == 0 && !p.link.Arm() && !p.stop.wait(p.link.FD()) {
			return
		}
	}
}

func (p *port) close() {
	unix.Close(p.stop.w)
	p.wg.Wait()
	unix.Close(p.stop.r)
}

func (p *port) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pkt := range pkts.AsSlice() {
		f := &p.frame[0]
		f.Header = hypercall.NetHeader{}
		if p.features.TxChecksum {
			f.Header = offload.Header(pkt)
		}
		f.Data, f.Len = pkt.AsSlices(), pkt.Size()
		if _, err := p.link.Send(p.frame[:]); err != nil {
			return 0, &tcpip.ErrClosedForSend{}
		}
		*f = netif.Frame{}
	}
	return pkts.Len(), nil
}

func (p *port) Attach(dispatcher stack.NetworkDispatcher) {
	p.mu.Lock()
	p.dispatcher = dispatcher
	p.mu.Unlock()
	if dispatcher != nil {
		p.wg.Go(func() { p.receive(dispatcher) })
	}
}

func (p *port) IsAttached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dispatcher != nil
}

func (p *port) Capabilities() (c stack.LinkEndpointCapabilities) {
	if p.features.TxChecksum {
		c |= stack.CapabilityTXChecksumOffload
	}
	if p.features.RxChecksum {
		c |= stack.CapabilityRXChecksumOffload
	}
	return c
}

func (p *port) SupportedGSO() stack.SupportedGSO {
	if p.features.TxSegment > 0 {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

func (p *port) GSOMaxSize() uint32                      { return uint32(p.features.TxSegment) }
func (p *port) MTU() uint32                             { return p.mtu }
func (p *port) SetMTU(uint32)                           {}
func (p *port) MaxHeaderLength() uint16                 { return 0 }
func (p *port) LinkAddress() tcpip.LinkAddress          { return p.mac }
func (p *port) SetLinkAddress(tcpip.LinkAddress)        {}
func (p *port) Wait()                                   { p.wg.Wait() }
func (p *port) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (p *port) AddHeader(*stack.PacketBuffer)           {}
func (p *port) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (p *port) Close()                                  {}
func (p *port) SetOnCloseAction(func())                 {}
