package netdev

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
)

// ethernetSize is the size in bytes of an Ethernet header.
const ethernetSize = 14

// frameRing is the guest's end of a frame ring (hypercall/frames.go).
type frameRing struct {
	at      hypercall.GVA
	account *hypercall.Frames // has no slots as long as there is no ring
}

// takeFrames moves frames from the ring, which it has entered, to d.batch, up to one that is the monitor's to take.
func (d *Device) takeFrames() {
	for d.frames.account.Slots > 0 && len(d.batch) < maxBatch {
		p := d.frames.take(d.pool)
		if p == nil {
			return
		}
		d.batch = append(d.batch, p)
	}
}

// take copies the frame of the next slot, if one waits there that is for the guest, and frees the slot.
func (r *frameRing) take(pool *packet.Pool) *packet.Packet {
	a := r.account
	slot := a.Next % a.Slots
	h, b := r.slot(slot)
	if !waits(h) {
		return nil
	}
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
	free(h)
	a.Next = (slot + 1) % a.Slots
	a.Count++
	a.Bytes += uint64(n)
	return p
}
