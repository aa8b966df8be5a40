package tap

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/packetrx"
)

// openRing makes a packet socket that gets what the host sends through the device, in a ring of 1 MiB of the kernel's memory, and keeps the
// queue of the device itself empty: a filter lets nothing into it. The kernel counts as dropped by the device what the filter stops
// (ip -s link), but says so to nobody, since a queueing discipline is in between; a device without one (noqueue) would make senders
// believe in congestion.
//
// It returns nil where that is not possible, and for a device that stays when the link is closed: its filter would, too.
func (d *device) openRing() (*packetrx.Socket, error) {
	if !d.made {
		return nil, nil
	}
	if queues, err := d.queues(); err != nil || !queues {
		return nil, err
	}
	s, err := packetrx.Open("tap "+d.name, packetrx.Outgoing)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = s.Bind(d.index)
	if err == nil {
		err = d.admitNothing()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// queues reports whether the device has a queueing discipline.
func (d *device) queues() (bool, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return false, fmt.Errorf("open netlink socket: %w", err)
	}
	defer handle.Close()
	list, err := handle.QdiscList(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: d.index}})
	if err != nil {
		return false, fmt.Errorf("look up how %s queues: %w", d.name, err)
	}
	for _, q := range list {
		if q.Attrs().Parent == netlink.HANDLE_ROOT && q.Type() == "noqueue" {
			return false, nil
		}
	}
	return true, nil
}

// ShareRing maps the ring for a guest, if there is one.
func (l *Link) ShareRing() (netif.Ring, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.closed:
		return netif.Ring{}, netif.ErrClosed
	case l.socket == nil:
		return netif.Ring{}, nil
	}
	return l.socket.Share()
}

// Seek goes to where the guest is in the ring.
func (l *Link) Seek(t netif.Taken) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return !l.closed && l.socket != nil && l.socket.Seek(t)
}

// Slot is where the link is in the ring.
func (l *Link) Slot() uint32 {
	if l.socket == nil {
		return 0
	}
	return l.socket.Slot()
}
