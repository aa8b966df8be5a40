package packet

import (
	"errors"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/iovec"
	"ukvm.dev/netif/internal/vnet"
)

// shortFrame is the length in bytes of the longest frame that is copied rather than listed.
const shortFrame = 2 << 10

// sender is what Send keeps from call to call.
type sender struct {
	header [vnet.Size]byte
	vector iovec.Vector
	whole  [vnet.Size + shortFrame]byte

	count
}

// Send writes each frame to the socket. The kernel drops frames while the interface is down.
func (l *Link) Send(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	for i := range frames {
		f := &frames[i]
		if f.Len < netif.EthernetSize || f.Len > l.longest(f) || f.Len > f.Room() || !l.agreed(&f.Header) {
			l.tx.dropped.Add(1)
			continue
		}
		vnet.Encode(l.tx.header[:], &f.Header)
		l.tx.gather(f)
		n, err := l.tx.vector.Write(l.socket.fd)
		switch {
		case err == nil && n == len(l.tx.header)+f.Len:
			l.tx.frames.Add(1)
			l.tx.bytes.Add(uint64(f.Len))
		case errors.Is(err, unix.ENXIO):
			return i, l.socket.removed()
		case errors.Is(err, unix.ENETDOWN) && l.socket.gone():
			return i, l.socket.removed()
		default: // no room (EAGAIN, ENOBUFS), interface down (ENETDOWN) or not a frame to the kernel (EINVAL)
			l.tx.dropped.Add(1)
		}
	}
	return len(frames), nil
}

// longest is the length in bytes that f may have.
func (l *Link) longest(f *netif.Frame) int {
	if f.Header.GSOType != hypercall.GSONone {
		return l.features.TxSegment
	}
	return netif.EthernetSize + l.config.MTU
}

// agreed reports whether h asks for no more than what SetFeatures has switched on.
func (l *Link) agreed(h *hypercall.NetHeader) bool {
	return (h.Flags&hypercall.NeedsCsum == 0 || l.features.TxChecksum) &&
		(h.GSOType == hypercall.GSONone || h.GSOType == hypercall.GSOTCP4 || h.GSOType == hypercall.GSOTCP6 && l.features.TCP6)
}

// gather lists the header and the first f.Len bytes of f, in one piece if they are few.
func (d *sender) gather(f *netif.Frame) {
	if f.Len <= shortFrame {
		n := copy(d.whole[:], d.header[:])
		d.vector.Add(d.whole[:n+f.CopyTo(d.whole[n:])])
		return
	}
	d.vector.Add(d.header[:])
	rest := f.Len
	for _, piece := range f.Data {
		if rest == 0 {
			break
		}
		piece = piece[:min(len(piece), rest)]
		rest -= len(piece)
		d.vector.Add(piece)
	}
}
