package packet

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/iovec"
	"ukvm.dev/netif/internal/vnet"
)

// receiver is what Receive keeps from call to call.
type receiver struct {
	armed  bool // Receive has not been called since Arm
	header [vnet.Size]byte
	vector iovec.Vector
	spill  [1]byte   // behind the Data of a frame: written to only if the frame is too long
	whole  [1][]byte // a frame that has to be cut or summed; nil until there is one
	cut    cutter

	count
}

// Receive takes frames from the ring.
func (l *Link) Receive(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	woken := l.rx.armed
	l.rx.armed = false
	for n := 0; n < len(frames); {
		f := &frames[n]
		var ok bool
		if l.rx.cut.more() {
			ok = l.rx.cut.next(f)
		} else {
			status := l.ring.status()
			if status&unix.TP_STATUS_USER == 0 {
				if n == 0 && woken { // whoever slept may have been woken by an error
					return 0, l.socket.trouble()
				}
				return n, nil
			}
			if status&unix.TP_STATUS_LOSING != 0 {
				l.rx.dropped.Add(l.socket.lost())
			}
			var err error
			ok, err = l.take(f, status)
			l.ring.release()
			if err != nil {
				return n, err
			}
		}
		if !ok {
			l.rx.dropped.Add(1)
			continue
		}
		l.rx.frames.Add(1)
		l.rx.bytes.Add(uint64(f.Len))
		n++
	}
	return len(frames), nil
}

// take stores the frame of the next slot in f, or what it is cut into first. If it does not, the frame is lost.
func (l *Link) take(f *netif.Frame, status uint32) (ok bool, err error) {
	h, slot := l.ring.header(), l.ring.slot()
	start, size := int(h.Mac), int(h.Snaplen)
	if start < vnet.Size || start+size > len(slot) {
		return false, fmt.Errorf("packet %s: a frame of %d bytes at %d of its slot", l.socket.name, size, start)
	}
	var header hypercall.NetHeader
	vnet.Decode(slot[start-vnet.Size:], &header)
	header.GSOType &^= gsoECN // the guest finds that in the frame
	work := l.rx.cut.has(&header, &l.features)
	to := netif.Frame{Data: f.Data}
	if work {
		if l.rx.whole[0] == nil {
			l.rx.whole[0] = make([]byte, vnet.LongestSegment)
		}
		to.Data = l.rx.whole[:]
	}
	room := to.Room()
	switch {
	case status&unix.TP_STATUS_COPY != 0:
		if size, err = l.readLong(to.Data); err != nil {
			return false, err
		}
	case h.Len != h.Snaplen: // too long, and the kernel had no memory for it
		return false, nil
	case size <= room:
		w := to.Writer()
		w.Write(slot[start : start+size])
	}
	switch {
	case size < netif.EthernetSize, size > room, status&unix.TP_STATUS_VLAN_VALID != 0:
		return false, nil
	case work:
		return l.rx.cut.start(l.rx.whole[0][:size], &header) && l.rx.cut.next(f), nil
	}
	f.Header, f.Len = header, size
	if !l.features.RxChecksum {
		f.Header.Flags = 0 // the kernel says DataValid also to those who did not ask
	}
	return true, nil
}

// readLong reads the frame that was too long for its slot, and returns its length, or more than there is room for.
func (l *Link) readLong(to [][]byte) (int, error) {
	for {
		l.rx.vector.Add(l.rx.header[:])
		for _, piece := range to {
			l.rx.vector.Add(piece)
		}
		l.rx.vector.Add(l.rx.spill[:])
		n, err := l.rx.vector.Read(l.socket.fd)
		switch {
		case err == nil:
			return n - len(l.rx.header), nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENETDOWN): // said once, before what was queued
			if l.socket.gone() {
				return 0, l.socket.removed()
			}
		default:
			return 0, fmt.Errorf("read from packet %s: %w", l.socket.name, err)
		}
	}
}
