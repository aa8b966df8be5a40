package user

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/offload"
)

// Send takes frames of the guest. Most TCP is written to the host's sockets on the caller's thread; netstack's share goes
// on in goroutines of its own.
func (l *Link) Send(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	select {
	case <-l.made:
		if l.stackErr != nil {
			return 0, l.stackErr
		}
	default:
	}
	for i := range frames {
		if l.input(&frames[i]) {
			l.txFrames.Add(1)
			l.txBytes.Add(uint64(frames[i].Len))
		} else {
			l.txDropped.Add(1)
		}
	}
	if l.proxy.Flush() {
		l.out.wake()
	}
	return len(frames), nil
}

// headSize is room for the headers of Ethernet, IP and TCP with all their options.
const headSize = netif.EthernetSize + 60 + 60

// input takes one frame. Its headers are copied once, and everything is decided on the copy; what goes to netstack is
// copied whole and looked at anew. It reports false if the frame is none.
func (l *Link) input(f *netif.Frame) bool {
	features := l.endpoint.features.Load()
	longest := netif.EthernetSize + l.plan.MTU
	if f.Header.GSOType != hypercall.GSONone && features.TxSegment > 0 {
		longest = features.TxSegment
	}
	if f.Len < netif.EthernetSize || f.Len > longest || f.Len > f.Room() {
		return false
	}
	if f.Header.Flags&hypercall.NeedsCsum != 0 && !features.TxChecksum {
		return false
	}
	var buf [headSize]byte
	head := buf[:f.CopyTo(buf[:])]
	kind := binary.BigEndian.Uint16(head[12:14])
	if !l.isForUs([6]byte(head[0:6]), kind) {
		l.ignored.Add(1)
		return true
	}
	if kind == uint16(header.IPv4ProtocolNumber) || kind == uint16(header.IPv6ProtocolNumber) {
		if s, ok := l.segment(head, f); ok && l.inputTCP(&s) {
			return true
		}
	}
	packet := buffer.NewViewSize(f.Len - netif.EthernetSize)
	copyBehind(packet.AsSlice(), f.Data, netif.EthernetSize)
	switch kind {
	case uint16(header.ARPProtocolNumber):
		l.inputARP(packet.AsSlice())
		packet.Release()
	case uint16(header.IPv6ProtocolNumber):
		l.inputIPv6(packet)
	default:
		l.inputIPv4(packet)
	}
	return true
}

// isForUs reports whether frames to dst of a kind are looked at. IPv6 has multicast addresses of its own (RFC 2464
// section 7) instead of broadcasts.
func (l *Link) isForUs(dst [6]byte, kind uint16) bool {
	switch kind {
	case uint16(header.IPv4ProtocolNumber), uint16(header.ARPProtocolNumber):
		return dst == l.plan.routerMAC || dst == broadcastMAC
	case uint16(header.IPv6ProtocolNumber):
		return dst == l.plan.routerMAC || dst[0] == 0x33 && dst[1] == 0x33
	}
	return false
}

// copyBehind fills dst from what follows the first skip bytes of data.
func copyBehind(dst []byte, data [][]byte, skip int) {
	for _, piece := range data {
		if skip >= len(piece) {
			skip -= len(piece)
			continue
		}
		dst = dst[copy(dst, piece[skip:]):]
		skip = 0
	}
}

// inputIPv4 takes over packet.
func (l *Link) inputIPv4(packet *buffer.View) {
	ip := header.IPv4(packet.AsSlice())
	if !ip.IsValid(len(ip)) {
		packet.Release()
		l.blocked.Add(1)
		return
	}
	src, dst := netip.AddrFrom4(ip.SourceAddress().As4()), netip.AddrFrom4(ip.DestinationAddress().As4())
	if l.inputDHCP(ip, dst) {
		packet.Release()
		return
	}
	if src != l.plan.guest || !routable(dst) || dst == l.broadcast {
		packet.Release()
		l.blocked.Add(1)
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(packet)})
	l.deliver(header.IPv4ProtocolNumber, pkt)
	pkt.DecRef()
}

// Receive gives the guest what the host's sockets have and what is queued for it. Neither can keep the other from the
// guest: they take turns in having the first half of the frames. Frames have the router's address as source.
func (l *Link) Receive(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	first, second := l.receiveProxied, l.receiveQueued
	if l.queueFirst = !l.queueFirst; l.queueFirst {
		first, second = second, first
	}
	n := first(frames[:(len(frames)+1)/2])
	n += second(frames[n:])
	if n < len(frames) {
		n += first(frames[n:])
	}
	return n, nil
}

// receiveProxied takes segments from the proxy.
func (l *Link) receiveProxied(frames []netif.Frame) int {
	n := l.proxy.Output(frames)
	for i := range frames[:n] {
		l.rxFrames.Add(1)
		l.rxBytes.Add(uint64(frames[i].Len))
	}
	return n
}

// receiveQueued takes packets of netstack and others that are made here.
func (l *Link) receiveQueued(frames []netif.Frame) int {
	offloads := l.endpoint.features.Load().RxChecksum
	n := 0
	for n < len(frames) {
		batch := l.batch[:min(len(l.batch), len(frames)-n)]
		batch = batch[:l.out.take(batch)]
		if len(batch) == 0 {
			break
		}
		for i, pkt := range batch {
			if l.output(&frames[n], pkt, offloads) {
				n++
			}
			pkt.DecRef()
			batch[i] = nil
		}
	}
	return n
}

// output writes pkt to f as an Ethernet frame, if it fits.
func (l *Link) output(f *netif.Frame, pkt *stack.PacketBuffer, offloads bool) bool {
	size := netif.EthernetSize + pkt.Size()
	if size > f.Room() {
		l.rxDropped.Add(1)
		return false
	}
	f.Header, f.Len = hypercall.NetHeader{}, size
	if offloads {
		f.Header = offload.Header(pkt)
	}
	eth := l.ethernet(pkt.NetworkProtocolNumber)
	w := f.Writer()
	w.Write(eth[:])
	views, skip := pkt.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		w.Write(b[skip:])
		skip = 0
	}
	l.rxFrames.Add(1)
	l.rxBytes.Add(uint64(size))
	return true
}
