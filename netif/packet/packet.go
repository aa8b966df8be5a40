// Package packet is a netif.Link over a packet socket (packet(7)) on an interface that exists: the end of a veth, as
// container engines make them, a macvlan, a card. A short frame for the guest is copied by the kernel into a ring (the
// processor that sends does it, if it is this host's), and from there into the guest's memory, without a system call; a
// long one by the kernel alone, with one. A frame from the guest goes to the kernel with a system call and one copy.
//
// Checksums and segmentation are left to the other side as by package tap.
package packet

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/iovec"
	"ukvm.dev/netif/internal/netns"
	"ukvm.dev/netif/internal/vnet"
)

// Link is a packet socket on an interface.
type Link struct {
	socket socket
	ring   ring
	config netif.Config

	mu       sync.RWMutex // held for reading by the calls under way
	closed   bool
	features netif.Features
	armed    bool // Receive has not been called since Arm

	tx, rx direction
}

// shortFrame is the length in bytes of the longest frame that is copied rather than listed.
const shortFrame = 2 << 10

// direction is what one of Send and Receive keeps from call to call.
type direction struct {
	header [vnet.Size]byte
	vector iovec.Vector
	spill  [1]byte // behind the Data of a frame: written to only if the frame is too long
	whole  []byte  // to send: room for a header and a short frame

	frames, bytes, dropped atomic.Uint64
}

var (
	_ netif.Link      = (*Link)(nil)
	_ netif.Offloader = (*Link)(nil)
	_ netif.Counter   = (*Link)(nil)
)

// New opens the interface that c describes.
func New(c Config) (*Link, error) {
	side := c.side()
	if err := kind.Check(c.Name, side); err != nil {
		return nil, fmt.Errorf("configure packet: %w", err)
	}
	l := &Link{}
	l.tx.whole = make([]byte, vnet.Size+shortFrame)
	place := netns.Place{Name: c.NetNS, File: c.NetNSFile}
	if err := place.Do(func() (err error) {
		if l.socket, err = c.open(); err != nil {
			return err
		}
		if side.MAC == [6]byte{} {
			side.MAC = l.socket.mac
		}
		if side.MTU == 0 {
			side.MTU = l.socket.mtu
		}
		if err = l.start(side.MAC, side.MTU); err != nil {
			l.ring.close()
			unix.Close(l.socket.fd)
		}
		return err
	}); err != nil {
		return nil, err
	}
	l.config = side.Guest(c.Name)
	return l, nil
}

func (l *Link) start(mac [6]byte, mtu int) (err error) {
	s := &l.socket
	if mtu > s.mtu {
		return fmt.Errorf("packet %s: mtu %d is more than that of the interface, %d", s.name, mtu, s.mtu)
	}
	if l.ring, err = newRing(s.fd); err != nil {
		return fmt.Errorf("packet %s: %w", s.name, err)
	}
	return s.start(mac)
}

// Config is what to tell the guest.
func (l *Link) Config() netif.Config { return l.config }

// Name is that of the interface.
func (l *Link) Name() string { return l.socket.name }

// longestSegment is the longest frame with a GSO type in bytes: the kernel's packets end at 64 KiB.
const longestSegment = netif.EthernetSize + 65535

// Features are checksums and TCP segmentation, both ways.
func (l *Link) Features() netif.Features {
	return netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: longestSegment, RxSegment: longestSegment, TCP6: true}
}

// SetFeatures notes what the guest does itself. What it leaves to the kernel is in its frames' headers.
func (l *Link) SetFeatures(f netif.Features) error {
	if !f.Within(l.Features()) || f.TxSegment < 0 || f.RxSegment < 0 {
		return fmt.Errorf("set features of packet %s: %+v is more than %+v", l.socket.name, f, l.Features())
	}
	if f.RxSegment > 0 && !f.RxChecksum || f.TxSegment > 0 && !f.TxChecksum {
		return fmt.Errorf("set features of packet %s: segmentation needs checksums", l.socket.name)
	}
	if f.RxSegment > 0 && f.RxSegment < longestSegment {
		return fmt.Errorf("set features of packet %s: the kernel's frames have up to %d bytes", l.socket.name, longestSegment)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return netif.ErrClosed
	}
	l.features = f
	return nil
}

// FD is that of the socket: readable while frames wait.
func (l *Link) FD() int { return l.socket.fd }

// Arm has nothing to prepare: FD is readable exactly while something waits.
func (l *Link) Arm() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	l.armed = true
	return l.closed || l.ring.status()&unix.TP_STATUS_USER != 0
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
func (d *direction) gather(f *netif.Frame) {
	if f.Len <= shortFrame {
		n := copy(d.whole, d.header[:])
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

// Receive takes frames from the ring.
func (l *Link) Receive(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	woken := l.armed
	l.armed = false
	for n := 0; n < len(frames); {
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
		ok, err := l.take(&frames[n], status)
		l.ring.release()
		switch {
		case err != nil:
			return n, err
		case ok:
			l.rx.frames.Add(1)
			l.rx.bytes.Add(uint64(frames[n].Len))
			n++
		default:
			l.rx.dropped.Add(1)
		}
	}
	return len(frames), nil
}

// take stores the frame of the next slot in f, if it fits.
func (l *Link) take(f *netif.Frame, status uint32) (ok bool, err error) {
	h := l.ring.header()
	size := int(h.Snaplen)
	header := l.rx.header[:]
	if status&unix.TP_STATUS_COPY != 0 {
		if size, err = l.readLong(f); err != nil {
			return false, err
		}
	} else {
		start, slot := int(h.Mac), l.ring.slot()
		if h.Len != h.Snaplen || start < len(header) || start+size > len(slot) {
			return false, nil
		}
		header = slot[start-len(header) : start]
		if size <= f.Room() {
			w := f.Writer()
			w.Write(slot[start : start+size])
		}
	}
	if size < netif.EthernetSize || size > f.Room() || status&unix.TP_STATUS_VLAN_VALID != 0 {
		return false, nil
	}
	vnet.Decode(header, &f.Header)
	if !l.features.RxChecksum {
		f.Header.Flags = 0
	}
	f.Len = size
	return true, nil
}

// readLong reads the frame that was too long for its slot, and returns its length or more.
func (l *Link) readLong(f *netif.Frame) (int, error) {
	for {
		l.rx.vector.Add(l.rx.header[:])
		for _, piece := range f.Data {
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

// Counters counts what the socket took and gave, and what it had no room for.
func (l *Link) Counters() netif.Counters {
	l.mu.RLock()
	if !l.closed {
		l.rx.dropped.Add(l.socket.lost())
	}
	l.mu.RUnlock()
	return netif.Counters{
		TxFrames: l.tx.frames.Load(), TxBytes: l.tx.bytes.Load(), TxDropped: l.tx.dropped.Load(),
		RxFrames: l.rx.frames.Load(), RxBytes: l.rx.bytes.Load(), RxDropped: l.rx.dropped.Load(),
	}
}

// Close lets go of the interface.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.rx.dropped.Add(l.socket.lost())
	if err := errors.Join(l.ring.close(), unix.Close(l.socket.fd)); err != nil {
		return fmt.Errorf("close packet %s: %w", l.socket.name, err)
	}
	return nil
}
