package nettest

import (
	"net/netip"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// Frames returns the frames a card with checksum and segmentation offload makes of p, which it leaves alone: what its
// Net says is done to copies.
func Frames(p *packet.Packet) [][]byte {
	whole := make([]byte, p.Len())
	p.CopyOut(whole)
	n := &p.Net
	if n.GSOType == hypercall.GSONone {
		if n.Flags&hypercall.NeedsCsum != 0 {
			complete(whole, int(n.CsumStart), int(n.CsumOffset))
		}
		return [][]byte{whole}
	}
	const ipAt = wire.EthernetSize
	head, tcpAt := int(n.HdrLen), int(n.CsumStart)
	src, dst := addresses(whole[ipAt:])
	var frames [][]byte
	data := whole[head:]
	seq := wire.TCP(whole[tcpAt:head]).Seq()
	for off, i := 0, 0; off < len(data); i++ {
		k := min(int(n.GSOSize), len(data)-off)
		f := append(append([]byte(nil), whole[:head]...), data[off:off+k]...)
		h := wire.TCP(f[tcpAt:head])
		h.SetSeq(seq + uint32(off))
		if off+k < len(data) {
			h.SetFlags(h.Flags() &^ (wire.FIN | wire.PSH))
		}
		if src.Is4() {
			ip := wire.IPv4(f[ipAt:tcpAt])
			ip.SetTotalLen(len(f) - ipAt)
			ip.SetChecksum()
		} else {
			wire.IPv6(f[ipAt:]).SetPayloadLen(len(f) - ipAt - wire.IPv6Size)
		}
		sum := wire.Pseudo(src, dst, wire.ProtoTCP, len(f)-tcpAt)
		h.SetChecksum(sum.Fold())
		complete(f, tcpAt, int(n.CsumOffset))
		frames = append(frames, f)
		off += k
	}
	return frames
}

// addresses returns source and destination of an IP packet.
func addresses(b []byte) (src, dst netip.Addr) {
	if h, ok := wire.ParseIPv6(b); ok {
		return h.Src(), h.Dst()
	}
	h := wire.IPv4(b)
	return h.Src(), h.Dst()
}

func complete(frame []byte, start, offset int) {
	sum := wire.Checksum(frame[start:])
	if sum == 0 {
		sum = 0xffff
	}
	frame[start+offset], frame[start+offset+1] = byte(sum>>8), byte(sum)
}
