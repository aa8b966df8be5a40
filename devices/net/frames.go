package net

import (
	"ukvm.dev/devices/ring"
	"ukvm.dev/netif"
)

// frameRing is the monitor's end of a ring that the guest takes frames from itself (hypercall/frames.go).
type frameRing struct {
	link  netif.RingLink
	queue *ring.Queue // the receive queue, which has the guest's account
}

// ShareFrames lets the guest take frames from the link's ring itself: it has been told where that is.
func (d *Device) ShareFrames(link netif.RingLink) { d.shared = &frameRing{link, d.rx} }

// seek has the link go to where the guest is, and reports whether a frame waits there that the guest takes.
func (f *frameRing) seek() bool {
	a := f.queue.Frames()
	return f.link.Seek(netif.Taken{Slot: a.Next, Frames: a.Count, Bytes: a.Bytes})
}

// settle tells the guest where the link is.
func (f *frameRing) settle() { f.queue.SetNextFrame(f.link.Slot()) }
