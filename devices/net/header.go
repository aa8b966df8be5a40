package net

import (
	"fmt"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

// Sizes that a header of the guest's is held against, in bytes.
const (
	tcpSize       = 20 // a TCP header without options
	tcpChecksum   = 16 // offset of the checksum in it (RFC 9293 §3.1)
	checksumBytes = 2
)

// minSegment is the least GSOSize, as Linux has it (TCP_MIN_GSO_SIZE): a smaller one would have the host cut a frame into
// tens of thousands of packets. No peer can talk the guest's TCP into so little. The host's work for small segments is
// done on the vCPU's thread, at the guest's expense.
const minSegment = 8

// checked is a header of the guest's as the link may see it: only what was agreed, with every offset inside the frame, of
// length bytes, as Linux's virtio_net_hdr_to_skb wants it (virtio 1.2 §5.1.6.2). A header that is wrong is not passed on
// to a kernel's parser to find out; it ends the guest, whose stack makes none.
func (d *Device) checked(h hypercall.NetHeader, length int) (hypercall.NetHeader, error) {
	if h.Flags&hypercall.NeedsCsum == 0 {
		if h.GSOType != hypercall.GSONone {
			return h, badHeader("segmentation without a checksum", &h, length)
		}
		return hypercall.NetHeader{}, nil
	}
	start, offset := int(h.CsumStart), int(h.CsumOffset)
	switch {
	case !d.features.TxChecksum:
		return h, badHeader("a checksum that nobody completes", &h, length)
	case start < netif.EthernetSize || start+offset+checksumBytes > length:
		return h, badHeader("a checksum outside of the frame", &h, length)
	}
	good := hypercall.NetHeader{Flags: hypercall.NeedsCsum, CsumStart: h.CsumStart, CsumOffset: h.CsumOffset}
	if h.GSOType == hypercall.GSONone {
		return good, nil
	}
	headers := int(h.HdrLen)
	switch {
	case h.GSOType != hypercall.GSOTCP4 && (h.GSOType != hypercall.GSOTCP6 || !d.features.TCP6), d.features.TxSegment == 0:
		return h, badHeader("segmentation of a kind that was not agreed", &h, length)
	case length > d.features.TxSegment:
		return h, badHeader("a frame too long to be segmented", &h, length)
	case offset != tcpChecksum || headers < start+tcpSize || headers > length:
		return h, badHeader("segmentation of what is no TCP", &h, length)
	case h.GSOSize < minSegment:
		return h, badHeader("segments too small", &h, length)
	}
	good.GSOType, good.GSOSize, good.HdrLen = h.GSOType, h.GSOSize, h.HdrLen
	return good, nil
}

func badHeader(what string, h *hypercall.NetHeader, length int) error {
	return fmt.Errorf("%w: header %+v of a frame of %d bytes: %s", ErrGuest, *h, length, what)
}
