// Package packet is a netif.Link over a packet socket (packet(7)) on an interface that exists: the end of a veth, such as
// container engines make, a macvlan, a card.
//
// A frame for the guest that fits a slot of the ring is copied twice, but without a system call: by the kernel into the
// ring, on the processor that sends if the sender is on this host, and here into the guest's memory. A longer one goes into
// that memory with one system call and one copy, by the kernel. So does a frame from the guest, the other way; short ones
// are copied here before, which is cheaper than to tell the kernel of pieces.
//
// Checksums and segmentation are left to the other side, as by package tap: frames are up to 64 KiB of a TCP stream. What
// the guest has not agreed to, and datagrams that came as one frame (UDP_SEGMENT), is cut and summed here. Frames with a
// VLAN tag are for other interfaces and are dropped.
//
// The interface stays one of the host's, whose own stack sees all that comes for the guest. It has nothing to say to it as
// long as the interface has no addresses, which New requires but for link-local ones; forwarding should be off for it
// (net.ipv4.conf.IFACE.forwarding), as the guest's hardware address is its own.
package packet

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
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

	tx sender
	rx receiver
}

// count is of the frames of one direction.
type count struct{ frames, bytes, dropped atomic.Uint64 }

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

// Features are checksums and TCP segmentation, both ways.
func (l *Link) Features() netif.Features { return vnet.Features() }

// SetFeatures notes what the guest does itself. What it leaves to the kernel is in its frames' headers.
func (l *Link) SetFeatures(f netif.Features) error {
	if err := vnet.Check(f); err != nil {
		return fmt.Errorf("set features of packet %s: %w", l.socket.name, err)
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
	l.rx.armed = true
	return l.closed || l.rx.cut.more() || l.ring.status()&unix.TP_STATUS_USER != 0
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
