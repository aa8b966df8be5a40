package monitor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
	"ukvm.dev/netif"
)

// frameRing is the ring that the guest takes a card's frames from itself (hypercall/frames.go): memory of the host's kernel, which
// KVM shows the guest in the hole of its physical space. A link may come to have one at any time. No call of the guest's reaches
// it: it lies behind the addresses that a program can have.
type frameRing struct {
	link netif.RingLink // nil: the card has no such link
	at   uint64         // offset among the frame rings of all cards
	mem  []byte         // the VM's own mapping; nil as long as there is none
}

// reserveRing prepares for a ring of the i-th card: what the guest's memory has to give for it is taken now.
func (n *nic) reserveRing(i int, s *space) error {
	link, ok := n.link.(netif.RingLink)
	if !ok {
		return nil
	}
	n.ring = frameRing{link: link, at: uint64(i) * hypercall.FrameRingSpan}
	return s.tables.Reserve(hypercall.FrameRingsVA + hypercall.GVA(n.ring.at))
}

// offerRing gives the guest, which does not run meanwhile, the ring of a link that has come to have one. A link whose ring cannot be
// mapped goes on without.
func (vm *VM) offerRing(n *nic) error {
	r := &n.ring
	if r.link == nil || r.mem != nil || n.device.Down() != nil {
		return nil
	}
	ring, err := r.link.ShareRing()
	if err != nil {
		r.link = nil
		if vm.config.Log != nil && !errors.Is(err, netif.ErrClosed) {
			vm.config.Log.Warn("network card without a ring", "card", n.name, "error", err)
		}
		return nil
	}
	if len(ring.Mem) == 0 {
		return nil
	}
	r.mem = ring.Mem
	if len(r.mem) > hypercall.FrameRingSpan || ring.Slots <= 0 || ring.Size <= 0 || ring.Slots*ring.Size > len(r.mem) {
		return fmt.Errorf("it has %d bytes, and %d slots of %d", len(r.mem), ring.Slots, ring.Size)
	}
	gpa := guestmem.HoleStart + hypercall.GPA(r.at)
	if err := vm.machine.AddMemory(uint64(gpa), r.mem); err != nil {
		return err
	}
	va := hypercall.FrameRingsVA + hypercall.GVA(r.at)
	if err := vm.space.tables.Map(va, gpa, uint64(len(r.mem)), hypercall.ProtRead|hypercall.ProtWrite); err != nil {
		return err
	}
	n.device.ShareFrames(r.link, ring)
	return nil
}

// closeRing releases the ring's memory. The machine is gone.
func (n *nic) closeRing() error {
	if n.ring.mem == nil {
		return nil
	}
	mem := n.ring.mem
	n.ring.mem = nil
	return unix.Munmap(mem)
}
