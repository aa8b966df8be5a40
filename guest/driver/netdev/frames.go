package netdev

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
)

// ethernetSize is the size in bytes of an Ethernet header.
const ethernetSize = 14

// takeFrames moves frames from the ring to d.batch, up to one that is the monitor's to take.
func (d *Device) takeFrames() {
	r := &d.frames
	for r.slots > 0 && len(d.batch) < maxBatch {
		p := r.take(d.pool)
		if p == nil {
			return
		}
		d.batch = append(d.batch, p)
	}
}

// take copies the frame of the next slot, if one waits there that is for the guest, and frees the slot.
func (r *frameRing) take(pool *packet.Pool) *packet.Packet {
	slot := r.account.Next % r.slots
	if !r.waits(slot) {
		return nil
	}
	h, b := r.header(slot), r.slot(slot)
	const netSize = hypercall.NetHeaderSize - 2
	start, n := int(h.Mac), int(h.Snaplen)
	if h.Len != h.Snaplen || n < ethernetSize || start < netSize || start+n > len(b) {
		return nil
	}
	header := b[start-netSize : start]
	switch header[1] &^ hypercall.FrameECN {
	case hypercall.GSONone, hypercall.GSOTCP4, hypercall.GSOTCP6:
	default:
		return nil
	}
	p := pool.Receive(hypercall.NetHeaderSize + n)
	p.Truncate(hypercall.NetHeaderSize + n)
	to := p.Bytes()
	to[copy(to, header)], to[hypercall.NetHeaderSize-1] = 1, 0 // NumBuffers
	to[1] &^= hypercall.FrameECN
	copy(to[hypercall.NetHeaderSize:], b[start:start+n])
	p.DecodeNet()
	r.free(slot)
	r.account.Next = (slot + 1) % r.slots
	r.account.Count++
	r.account.Bytes += uint64(n)
	return p
}
