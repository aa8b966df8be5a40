package monitor

import (
	"fmt"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/netif"
)

// Rings that the guest takes frames from itself (hypercall/frames.go) are memory of the host's kernel, which KVM shows the guest in
// the hole of its physical space. No call of the guest's reaches them: they lie behind the addresses that a program can have.

// shareRing maps the ring of the i-th card's link for the guest, if the link has one, and says where it is.
func (n *nic) shareRing(i int, s *space) (hypercall.FrameRing, error) {
	link, ok := n.link.(netif.RingLink)
	if !ok {
		return hypercall.FrameRing{}, nil
	}
	r, err := link.ShareRing()
	if err != nil || len(r.Mem) == 0 {
		return hypercall.FrameRing{}, err
	}
	n.ring = r.Mem
	if len(n.ring) > hypercall.FrameRingSpan || r.Slots <= 0 || r.Size <= 0 || r.Slots*r.Size > len(n.ring) {
		return hypercall.FrameRing{}, fmt.Errorf("a ring of %d bytes with %d slots of %d", len(n.ring), r.Slots, r.Size)
	}
	offset := uint64(i) * hypercall.FrameRingSpan
	n.ringGPA = guestmem.HoleStart + hypercall.GPA(offset)
	va := hypercall.FrameRingsVA + hypercall.GVA(offset)
	if err := s.tables.Map(va, n.ringGPA, uint64(len(n.ring)), hypercall.ProtRead|hypercall.ProtWrite); err != nil {
		return hypercall.FrameRing{}, err
	}
	n.device.ShareFrames(link)
	return hypercall.FrameRing{Addr: va, Slots: uint32(r.Slots), Size: uint32(r.Size)}, nil
}

// addRing gives the machine the ring.
func (n *nic) addRing(m *kvm.Machine) error {
	if n.ring == nil {
		return nil
	}
	return m.AddMemory(uint64(n.ringGPA), n.ring)
}

// closeRing releases the ring's memory. The machine is gone.
func (n *nic) closeRing() error {
	if n.ring == nil {
		return nil
	}
	ring := n.ring
	n.ring = nil
	return unix.Munmap(ring)
}
