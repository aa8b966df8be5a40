package net

import (
	"ukvm.dev/devices/ring"
	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

// frameRing is the monitor's end of a ring that the guest takes frames from itself (hypercall/frames.go).
type frameRing struct {
	link  netif.RingLink
	queue *ring.Queue // the receive queue, which has the guest's account
}

// ShareFrames has the guest take frames from the link's ring itself, which it sees from now on.
func (d *Device) ShareFrames(link netif.RingLink, r netif.Ring) {
	d.shared = &frameRing{link, d.rx}
	d.rx.SetFrames(hypercall.Frames{Slots: uint32(r.Slots), Size: uint32(r.Size), Next: link.Slot()})
}

// busy reports whether the guest was interrupted while it looked: it will find by itself what there is.
func (f *frameRing) busy() bool { return f.queue.Frames().Busy != 0 }

// seek has the link go to where the guest is, and reports whether a frame waits there that the guest takes.
func (f *frameRing) seek() bool {
	a := f.queue.Frames()
	return f.link.Seek(netif.Taken{Slot: a.Next, Frames: a.Count, Bytes: a.Bytes})
}

// settle tells the guest where the link is.
func (f *frameRing) settle() { f.queue.SetNextFrame(f.link.Slot()) }
