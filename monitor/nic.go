package monitor

import (
	"errors"

	"ukvm.dev/devices/net"
	"ukvm.dev/devices/share"
	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/paging"
	"ukvm.dev/netif"
)

// nic is a network card at work.
type nic struct {
	name     string
	link     netif.Link
	device   *net.Device
	ring     frameRing
	reported bool // that the link is down
}

func newNIC(n *NIC, f netif.Features, slot []byte, s *space) *nic {
	return &nic{name: n.Name, link: n.Link, device: net.New(n.Link, f, n.Config.MTU, slot, s)}
}

// agree switches on what a link can leave to the guest and take from it: all of it, since a guest of this version does
// its part. Frames are at most as long as an IPv4 packet can make them.
func agree(link netif.Link) (netif.Features, error) {
	o, ok := link.(netif.Offloader)
	if !ok {
		return netif.Features{}, nil
	}
	const longest = netif.EthernetSize + 65535
	f := o.Features()
	f.TxSegment, f.RxSegment = min(f.TxSegment, longest), min(f.RxSegment, longest)
	// Who cuts a frame into segments completes their checksums.
	if !f.TxChecksum {
		f.TxSegment = 0
	}
	if !f.RxChecksum {
		f.RxSegment = 0
	}
	return f, o.SetFeatures(f)
}

// Slices is slices, for devices.
func (s *space) Slices(dst [][]byte, va hypercall.GVA, n uint64, access uint32) ([][]byte, error) {
	return s.slices(dst, va, n, access)
}

// arm prepares for sleeping on fd; true means that there is something to receive already.
func (n *nic) arm() bool { return n.device.Down() == nil && n.link.Arm() }

// fd is what to poll; -1 is never ready.
func (n *nic) fd() int {
	if n.device.Down() != nil {
		return -1
	}
	return n.link.FD()
}

// serveRings serves all devices: frames move both ways on the cards.
func (vm *VM) serveRings() (moved bool, err error) {
	if moved, err = vm.serveShares(); err != nil {
		return false, err
	}
	for _, n := range vm.nics {
		if err := vm.offerRing(n); err != nil {
			return false, hostFailure("cannot give the guest the ring of network card "+n.name, err)
		}
		m, err := n.device.Serve()
		if err != nil {
			return false, vm.deviceFailure("network card "+n.name, err)
		}
		moved = moved || m
		if err := n.device.Down(); err != nil && !n.reported {
			n.reported = true
			if vm.config.Log != nil {
				vm.config.Log.Error("network link failed", "card", n.name, "error", err)
			}
		}
	}
	return moved, nil
}

// deviceFailure is how a guest ends because a device could not be served: by its fault, for lack of memory, or by the host's.
func (vm *VM) deviceFailure(device string, err error) error {
	switch {
	case errors.Is(err, paging.ErrNoMemory):
		return outOfMemory(vm.config.Memory)
	case errors.Is(err, net.ErrGuest), errors.Is(err, share.ErrGuest), errors.Is(err, errBadAddress):
		return violation("%s: %v", device, err)
	}
	return hostFailure("cannot serve "+device, err)
}

// sendLast sends what a guest has queued that ends now: a program's last answer, perhaps, written just before. A queue that
// makes no sense is no reason any more to end the guest otherwise than it wants.
func (vm *VM) sendLast() {
	for _, n := range vm.nics {
		_ = n.device.Transmit()
	}
}

// drainLinks has links pass on what they have taken from a guest that has ended.
func (vm *VM) drainLinks() {
	for _, n := range vm.nics {
		if d, ok := n.link.(netif.Drainer); ok && n.device.Down() == nil {
			d.Drain(vm.quit)
		}
	}
}

// ringsMoved reports whether a device has news that the guest wants.
func (vm *VM) ringsMoved() bool {
	for _, n := range vm.nics {
		if n.device.News() {
			return true
		}
	}
	for _, d := range vm.shares {
		if d.News() {
			return true
		}
	}
	return false
}

// A guest that is busy for long does not poll, so its rings are served on the side: soon after it has begun to run, and
// less and less often if there is nothing to do. The longest pace is a little more than nextUpcall: then they are served
// with the upcalls that a busy guest wants anyway, and cost no interruption of their own.
const (
	minPace = 1_000_000 // ns
	maxPace = nextUpcall + 2_000_000
)

// pacing sets when the rings are served next if the guest does not ask before.
func (vm *VM) pacing(now int64, moved bool) {
	if moved || vm.pace == 0 {
		vm.pace = minPace
	} else {
		vm.pace = min(2*vm.pace, maxPace)
	}
	vm.busyIO = now + vm.pace
	if len(vm.nics) > 0 {
		// A guest that polls all the time puts it off all the time: to set the timer costs a hundredth of an interruption.
		vm.vcpu.KickNext(vm.busyIO)
	}
}
