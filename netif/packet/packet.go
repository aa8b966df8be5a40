// Package packet is a netif.Link over a packet socket (packet(7)) on an interface that exists: the end of a veth, such as
// container engines make, a macvlan, a card.
//
// A frame for the guest that fits a slot of the ring costs no system call: the kernel copies it into the ring, on the processor
// that sends if the sender is on this host, and the guest, which has the ring in its memory, from there. A longer one goes into the
// guest's memory with one system call and one copy, by the kernel. So does a frame from the guest, the other way; short ones
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
	"fmt"
	"sync"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/netns"
	"ukvm.dev/netif/internal/vnet"
)

// Link is a packet socket on an interface.
type Link struct {
	socket socket
	config netif.Config

	mu       sync.RWMutex // held for reading by the calls under way
	closed   bool
	features netif.Features

	tx sender
}

var (
	_ netif.Link      = (*Link)(nil)
	_ netif.Offloader = (*Link)(nil)
	_ netif.Counter   = (*Link)(nil)
	_ netif.RingLink  = (*Link)(nil)
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
			l.socket.Close()
		}
		return err
	}); err != nil {
		return nil, err
	}
	l.config = side.Guest(c.Name)
	return l, nil
}

func (l *Link) start(mac [6]byte, mtu int) error {
	s := &l.socket
	if mtu > s.mtu {
		return fmt.Errorf("packet %s: mtu %d is more than that of the interface, %d", s.name, mtu, s.mtu)
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
	if err := l.socket.SetFeatures(f); err != nil {
		return err
	}
	l.features = f
	return nil
}

// FD is that of the socket: readable while frames wait.
func (l *Link) FD() int { return l.socket.FD }

// Arm has nothing to prepare: FD is readable exactly while something waits.
func (l *Link) Arm() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.closed || l.socket.Arm()
}

// Receive takes frames from the ring.
func (l *Link) Receive(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	return l.socket.Receive(frames)
}

// ShareRing maps the ring for a guest.
func (l *Link) ShareRing() (netif.Ring, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return netif.Ring{}, netif.ErrClosed
	}
	return l.socket.Share()
}

// Seek goes to where the guest is in the ring.
func (l *Link) Seek(t netif.Taken) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return !l.closed && l.socket.Seek(t)
}

// Slot is where the link is in the ring.
func (l *Link) Slot() uint32 { return l.socket.Slot() }

// Counters counts what the socket took and gave, and what it had no room for.
func (l *Link) Counters() netif.Counters {
	l.mu.RLock()
	if !l.closed {
		l.socket.CountLost()
	}
	l.mu.RUnlock()
	c := netif.Counters{TxFrames: l.tx.frames.Load(), TxBytes: l.tx.bytes.Load(), TxDropped: l.tx.dropped.Load()}
	c.RxFrames, c.RxBytes, c.RxDropped = l.socket.Counters()
	return c
}

// Close lets go of the interface.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if err := l.socket.Close(); err != nil {
		return fmt.Errorf("close packet %s: %w", l.socket.name, err)
	}
	return nil
}
