package packet

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/iovec"
	"ukvm.dev/netif/internal/vnet"
)

// sender is what Send keeps from call to call.
type sender struct {
	header [vnet.Size]byte
	vector iovec.Vector
	whole  [vnet.Size + vnet.ShortFrame]byte

	frames, bytes, dropped atomic.Uint64
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
		if !vnet.Sendable(f, &l.features, l.config.MTU) {
			l.tx.dropped.Add(1)
			continue
		}
		vnet.Encode(l.tx.header[:], &f.Header)
		vnet.List(&l.tx.vector, l.tx.header[:], l.tx.whole[:], f)
		n, err := l.tx.vector.Write(l.socket.FD)
		switch {
		case err == nil && n == len(l.tx.header)+f.Len:
			l.tx.frames.Add(1)
			l.tx.bytes.Add(uint64(f.Len))
		case errors.Is(err, unix.ENXIO):
			return i, l.socket.Removed()
		case errors.Is(err, unix.ENETDOWN) && l.socket.Gone():
			return i, l.socket.Removed()
		default: // no room (EAGAIN, ENOBUFS), interface down (ENETDOWN) or not a frame to the kernel (EINVAL)
			l.tx.dropped.Add(1)
		}
	}
	return len(frames), nil
}
