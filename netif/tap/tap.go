// Package tap is a netif.Link over a TAP device of the Linux kernel (Documentation/networking/tuntap.rst), in a network
// namespace of choice. Frames go between the guest's memory and the kernel without a copy here, one system call each,
// and carry a virtio header.
//
// When there are many for the guest, they come by a packet socket, if the link has made the device and the process may have one
// (CAP_NET_RAW): short ones then cost no system call, and the guest takes them itself (ring.go).
//
// With offloads a frame is up to 64 KiB of a TCP stream, and no checksum is computed for what stays on this host: the
// kernel cuts frames, or completes sums, when they leave through a card that cannot. Programs that capture on the device
// see both as they are, long and incomplete.
package tap

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/iovec"
	"ukvm.dev/netif/internal/netns"
	"ukvm.dev/netif/internal/vnet"
)

// Link is an attached TAP device.
type Link struct {
	dev      device
	config   netif.Config
	attached io.Closer // what goes with the device; may be nil

	mu       sync.RWMutex // held for reading by the calls under way
	closed   bool
	features netif.Features

	tx, rx direction
	ring   ring
}

// fewShort is how many short frames in a row have Receive expect another. A long one costs a copy when it does.
const fewShort = 8

// direction is what one of Send and Receive keeps from call to call.
type direction struct {
	header [hypercall.NetHeaderSize]byte
	vector iovec.Vector
	spill  [1]byte // behind the Data of a frame: written to only if the frame is too long

	whole  []byte // room for a header and a frame, of vnet.ShortFrame bytes to send, the longest to receive
	shorts int    // short frames received in a row, as far as they matter

	frames, bytes, dropped atomic.Uint64
}

var (
	_ netif.Link      = (*Link)(nil)
	_ netif.Offloader = (*Link)(nil)
	_ netif.Counter   = (*Link)(nil)
	_ netif.RingLink  = (*Link)(nil)
)

// New opens the device that c describes.
func New(c Config) (*Link, error) {
	side := c.side()
	if err := kind.Check(c.Name, side); err != nil {
		return nil, fmt.Errorf("configure tap: %w", err)
	}
	l := &Link{config: side.Guest(c.Name)}
	l.tx.whole = make([]byte, hypercall.NetHeaderSize+vnet.ShortFrame)
	l.rx.whole = make([]byte, hypercall.NetHeaderSize+vnet.LongestSegment+1)
	l.rx.shorts = fewShort
	place := netns.Place{Name: c.NetNS, File: c.NetNSFile}
	if err := place.Do(func() error { return l.open(&c) }); err != nil {
		return nil, err
	}
	return l, nil
}

// open makes what l consists of, on a thread in the device's namespace. On error nothing is left.
func (l *Link) open(c *Config) (err error) {
	if l.dev, err = c.open(); err != nil {
		return err
	}
	l.config.MTU = l.dev.mtu
	if c.Attach != nil {
		if l.attached, err = c.Attach(l.dev.index, l.config); err != nil {
			unix.Close(l.dev.fd)
			return fmt.Errorf("tap %s: %w", l.dev.name, err)
		}
	}
	if err = l.prepareRing(c); err != nil {
		l.Close()
	}
	return err
}

// Config is what to tell the guest.
func (l *Link) Config() netif.Config { return l.config }

// Name is that of the device.
func (l *Link) Name() string { return l.dev.name }

// HostAddr is the address the host has on a device that the link made; not valid if it has none.
func (l *Link) HostAddr() netip.Prefix {
	if !l.dev.made || !l.config.Router.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(l.config.Router, l.config.Addr.Bits())
}

// Features are checksums and TCP segmentation, both ways.
func (l *Link) Features() netif.Features { return vnet.Features() }

// SetFeatures tells the kernel what it may leave to the guest. What the guest leaves to the kernel is in its frames'
// headers.
func (l *Link) SetFeatures(f netif.Features) error {
	if err := vnet.Check(f); err != nil {
		return fmt.Errorf("set features of tap %s: %w", l.dev.name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return netif.ErrClosed
	}
	if l.ring.live.Load() {
		if err := l.ring.socket.SetFeatures(f); err != nil {
			return err
		}
	}
	if err := l.dev.setOffloads(f.RxChecksum, f.RxSegment > 0, f.TCP6); err != nil {
		return err
	}
	l.features = f
	return nil
}

// FD is that of the TAP device or, once there is a ring, of the packet socket: readable while frames wait.
func (l *Link) FD() int {
	if l.ring.live.Load() {
		return l.ring.socket.FD
	}
	return l.dev.fd
}

// Arm has nothing to prepare: FD is readable exactly while something waits.
func (l *Link) Arm() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.closed || l.ring.live.Load() && (!l.ring.drained || l.ring.socket.Arm())
}

// Send writes each frame to the device. The kernel drops frames while the device is down.
func (l *Link) Send(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	for i := range frames {
		f := &frames[i]
		if !vnet.Sendable(f, &l.features, l.dev.mtu) {
			l.tx.dropped.Add(1)
			continue
		}
		vnet.Encode(l.tx.header[:], &f.Header) // NumBuffers, behind it, stays 0
		vnet.List(&l.tx.vector, l.tx.header[:], l.tx.whole, f)
		n, err := l.tx.vector.Write(l.dev.fd)
		switch {
		case err == nil && n == len(l.tx.header)+f.Len:
			l.tx.frames.Add(1)
			l.tx.bytes.Add(uint64(f.Len))
		case errors.Is(err, unix.EBADFD):
			return i, l.gone()
		default: // no room (EAGAIN, ENOMEM), device down (EIO) or not a frame to the kernel (EINVAL)
			l.tx.dropped.Add(1)
		}
	}
	return len(frames), nil
}

// room lists where a header and a frame go: to d.whole, or at once to where f wants it.
func (d *direction) room(f *netif.Frame, whole bool) {
	if whole {
		d.vector.Add(d.whole)
		return
	}
	d.vector.Add(d.header[:])
	for _, piece := range f.Data {
		d.vector.Add(piece)
	}
	d.vector.Add(d.spill[:])
}

// scatter moves a header, and a frame of n bytes, from d.whole to where they belong.
func (d *direction) scatter(f *netif.Frame, n int) {
	at := copy(d.header[:], d.whole)
	w := f.Writer()
	w.Write(d.whole[at : at+n])
}

// expect notes that a frame of n bytes has come.
func (d *direction) expect(n int) {
	if n > vnet.ShortFrame {
		d.shorts = 0
	} else if d.shorts < fewShort {
		d.shorts++
	}
}

// Receive takes frames from the ring, or reads them from the device.
func (l *Link) Receive(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	return l.receive(frames)
}

// read reads frames from the device.
func (l *Link) read(frames []netif.Frame) (int, error) {
	for n := 0; n < len(frames); {
		f := &frames[n]
		whole := l.rx.shorts >= fewShort
		l.rx.room(f, whole)
		size, err := l.rx.vector.Read(l.dev.fd)
		switch {
		case err == nil:
		case errors.Is(err, unix.EAGAIN):
			return n, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EBADFD):
			return n, l.gone()
		default:
			return n, fmt.Errorf("read from tap %s: %w", l.dev.name, err)
		}
		size -= len(l.rx.header)
		l.rx.expect(size)
		if size < 0 || size > f.Room() {
			l.rx.dropped.Add(1)
			continue
		}
		if whole {
			l.rx.scatter(f, size)
		}
		vnet.Decode(l.rx.header[:], &f.Header)
		if !l.features.RxChecksum {
			f.Header.Flags = 0 // the kernel says DataValid also to those who did not ask
		}
		f.Len = size
		l.rx.frames.Add(1)
		l.rx.bytes.Add(uint64(size))
		n++
	}
	return len(frames), nil
}

func (l *Link) gone() error {
	return fmt.Errorf("tap %s was removed from outside: %w", l.dev.name, unix.ENODEV)
}

// Counters counts what the device took and gave; what the kernel drops later is in the device's own statistics.
func (l *Link) Counters() netif.Counters {
	c := netif.Counters{
		TxFrames: l.tx.frames.Load(), TxBytes: l.tx.bytes.Load(), TxDropped: l.tx.dropped.Load(),
		RxFrames: l.rx.frames.Load(), RxBytes: l.rx.bytes.Load(), RxDropped: l.rx.dropped.Load(),
	}
	if l.ring.live.Load() {
		l.mu.RLock()
		if !l.closed {
			l.ring.socket.CountLost()
		}
		l.mu.RUnlock()
		frames, bytes, dropped := l.ring.socket.Counters()
		c.RxFrames, c.RxBytes, c.RxDropped = c.RxFrames+frames, c.RxBytes+bytes, c.RxDropped+dropped
	}
	return c
}

// Close lets go of the device, which removes it if the link made it.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var err error
	if l.attached != nil {
		err = l.attached.Close()
	}
	err = errors.Join(err, l.ring.close())
	if err := errors.Join(err, unix.Close(l.dev.fd)); err != nil {
		return fmt.Errorf("close tap %s: %w", l.dev.name, err)
	}
	return nil
}
