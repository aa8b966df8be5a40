package packetrx

import (
	"fmt"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/vnet"
)

// wantsAll reports whether a guest takes every frame as it comes, but for those of UDP_SEGMENT.
func wantsAll(f netif.Features) bool { return f.RxChecksum && f.RxSegment > 0 && f.TCP6 }

// Share is ShareRing of a netif.RingLink.
func (s *Socket) Share() (netif.Ring, error) {
	if !wantsAll(s.features) {
		return netif.Ring{}, nil
	}
	mem, err := mapRing(s.FD)
	if err != nil {
		return netif.Ring{}, fmt.Errorf("%s: %w", s.what, err)
	}
	s.shared = true
	return netif.Ring{Mem: mem, Slots: slots, Size: slotSize}, nil
}

// Seek is that of a netif.RingLink.
func (s *Socket) Seek(t netif.Taken) bool {
	s.ring.next = int(t.Slot % slots)
	s.taken.Store(t.Frames)
	s.takenBytes.Store(t.Bytes)
	return s.ring.status(0)&unix.TP_STATUS_USER != 0 && s.forGuest(0)
}

// Slot is that of a netif.RingLink.
func (s *Socket) Slot() uint32 { return uint32(s.ring.next) }

// ahead is how many slots are looked at for one that the guest cannot take.
const ahead = 64

// ours is how many of the slots that wait are not the guest's: those up to the last that it cannot take.
func (s *Socket) ours() (n int) {
	if !s.shared {
		return slots
	}
	for i := range ahead {
		if s.ring.status(i)&unix.TP_STATUS_USER == 0 {
			break
		}
		if !s.forGuest(i) {
			n = i + 1
		}
	}
	return n
}

// forGuest reports whether the frame in slot i, which waits, is one that a guest takes itself (hypercall/frames.go).
func (s *Socket) forGuest(i int) bool {
	h := s.ring.header(i)
	start, size, ok := s.ring.place(i)
	if !ok || h.Status&(unix.TP_STATUS_COPY|unix.TP_STATUS_VLAN_VALID) != 0 || h.Len != uint32(size) || size < netif.EthernetSize {
		return false
	}
	var header hypercall.NetHeader
	s.decode(s.ring.slot(i)[start-vnet.Size:], &header)
	return !s.cut.has(&header, &s.features)
}
