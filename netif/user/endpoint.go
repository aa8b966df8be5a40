package user

import (
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"ukvm.dev/netif"
)

// endpoint is netstack's side of the link. It carries bare IP packets, so netstack needs no neighbour table: there is
// one neighbour, and Link puts its address on the frames.
type endpoint struct {
	mtu        uint32
	out        *queue
	dispatcher atomic.Pointer[stack.NetworkDispatcher]
	features   atomic.Pointer[netif.Features]
}

var (
	_ stack.LinkEndpoint = (*endpoint)(nil)
	_ stack.GSOEndpoint  = (*endpoint)(nil)
)

func newEndpoint(mtu int, out *queue) *endpoint {
	e := &endpoint{mtu: uint32(mtu), out: out}
	e.features.Store(&netif.Features{})
	return e
}

// deliver gives a packet of the guest to netstack, which may keep it.
func (e *endpoint) deliver(version tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	if d := e.dispatcher.Load(); d != nil {
		(*d).DeliverNetworkPacket(version, pkt)
	}
}

// WritePackets queues packets for the guest. Those that find no room are lost, as on a wire.
func (e *endpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		e.out.put(pkt)
	}
	return pkts.Len(), nil
}

// Capabilities says what netstack leaves to the guest, and what it believes the guest.
func (e *endpoint) Capabilities() (c stack.LinkEndpointCapabilities) {
	f := e.features.Load()
	if f.RxChecksum {
		c |= stack.CapabilityTXChecksumOffload
	}
	if f.TxChecksum {
		c |= stack.CapabilityRXChecksumOffload
	}
	return c
}

// SupportedGSO is asked once for each connection.
func (e *endpoint) SupportedGSO() stack.SupportedGSO {
	if e.GSOMaxSize() > 0 {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

// GSOMaxSize is in bytes of an IP packet.
func (e *endpoint) GSOMaxSize() uint32 {
	return uint32(max(0, e.features.Load().RxSegment-netif.EthernetSize))
}

// Attach is called with nil when the stack ends.
func (e *endpoint) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		e.dispatcher.Store(nil)
		return
	}
	e.dispatcher.Store(&d)
}

func (e *endpoint) IsAttached() bool                        { return e.dispatcher.Load() != nil }
func (e *endpoint) MTU() uint32                             { return e.mtu }
func (e *endpoint) SetMTU(uint32)                           {}
func (e *endpoint) MaxHeaderLength() uint16                 { return 0 }
func (e *endpoint) LinkAddress() tcpip.LinkAddress          { return "" }
func (e *endpoint) SetLinkAddress(tcpip.LinkAddress)        {}
func (e *endpoint) Wait()                                   {}
func (e *endpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (e *endpoint) AddHeader(*stack.PacketBuffer)           {}
func (e *endpoint) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (e *endpoint) Close()                                  {}
func (e *endpoint) SetOnCloseAction(func())                 {}
