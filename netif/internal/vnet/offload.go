package vnet

import (
	"errors"
	"fmt"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/iovec"
)

// LongestSegment is the longest frame with a GSO type in bytes: the kernel's packets end at 64 KiB.
const LongestSegment = netif.EthernetSize + 65535

// ShortFrame is the length in bytes of the longest frame that is copied rather than listed.
const ShortFrame = 2 << 10

// Features are checksums and TCP segmentation, both ways.
func Features() netif.Features {
	return netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: LongestSegment, RxSegment: LongestSegment, TCP6: true}
}

// Check says why f cannot be agreed to.
func Check(f netif.Features) error {
	switch all := Features(); {
	case !f.Within(all) || f.TxSegment < 0 || f.RxSegment < 0:
		return fmt.Errorf("%+v is more than %+v", f, all)
	case f.RxSegment > 0 && !f.RxChecksum || f.TxSegment > 0 && !f.TxChecksum:
		return errors.New("segmentation needs checksums")
	case f.RxSegment > 0 && f.RxSegment < LongestSegment:
		return fmt.Errorf("the kernel's frames have up to %d bytes", LongestSegment)
	}
	return nil
}

// Sendable reports whether f is a frame that a guest may send which has agreed to features: as long as it says, neither
// too short nor too long for a device with that MTU, and with a header that asks for no more.
func Sendable(f *netif.Frame, features *netif.Features, mtu int) bool {
	h := &f.Header
	longest := netif.EthernetSize + mtu
	if h.GSOType != hypercall.GSONone {
		longest = features.TxSegment
	}
	return f.Len >= netif.EthernetSize && f.Len <= longest && f.Len <= f.Room() &&
		(h.Flags&hypercall.NeedsCsum == 0 || features.TxChecksum) &&
		(h.GSOType == hypercall.GSONone || h.GSOType == hypercall.GSOTCP4 || h.GSOType == hypercall.GSOTCP6 && features.TCP6)
}

// List adds header and the first f.Len bytes of f to v: in one piece if they are few, with a copy in whole, which has room
// for a header and ShortFrame bytes.
func List(v *iovec.Vector, header, whole []byte, f *netif.Frame) {
	if f.Len <= ShortFrame {
		n := copy(whole, header)
		v.Add(whole[:n+f.CopyTo(whole[n:])])
		return
	}
	v.Add(header)
	rest := f.Len
	for _, piece := range f.Data {
		if rest == 0 {
			break
		}
		piece = piece[:min(len(piece), rest)]
		rest -= len(piece)
		v.Add(piece)
	}
}
