package kernel

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// Devices. Their rings are the drivers' business (package driver); here a device is a descriptor that becomes readable
// when a queue has news for the driver (hypercall/ring.go).

type device struct {
	open bool
	fd   uint32
	seen [2]uint16 // Used.Index of each queue when the descriptor was last raised

	frames hypercall.Frames // where the driver was in the frame ring when a frame there last raised the descriptor
}

var (
	devices     [hypercall.MaxDevices]device
	deviceCount int // no open device has this index or a higher one
)

// sysOpenDevice makes a descriptor for a device of the boot information.
func sysOpenDevice(index uint64) uint64 {
	if index >= uint64(boot_().Devices) || devices[index].open {
		return fail(eNOENT)
	}
	fd, errno := openFile(3, kindDevice, oNonblock|oCloexec, index)
	if errno != 0 {
		return fail(errno)
	}
	devices[index] = device{open: true, fd: uint32(fd), frames: hypercall.Frames{Next: ^uint32(0)}} // nowhere yet
	deviceCount = max(deviceCount, int(index)+1)
	return fd
}

// queueOf is the memory of a device's queue.
func queueOf(device, queue int) *hypercall.Queue {
	addr := ringsAddr + uint64(device)*hypercall.RingSlot + uint64(queue)*hypercall.QueueSize
	return *(**hypercall.Queue)(unsafe.Pointer(&addr))
}

// frameRingOf is where a device's frame ring is, if there is one.
func frameRingOf(device int) uint64 { return framesAddr + uint64(device)*hypercall.FrameRingSpan }

// frameWaits reports whether the driver finds something in the next slot of a device's frame ring.
func frameWaits(device int, f *hypercall.Frames) bool {
	if f.Slots == 0 {
		return false
	}
	addr := frameRingOf(device) + uint64(f.Next%f.Slots)*uint64(f.Size)
	s := *(**hypercall.FrameSlot)(unsafe.Pointer(&addr))
	return s.Status&(hypercall.FrameReady|hypercall.FrameLong|hypercall.FrameVLAN) == hypercall.FrameReady
}

// collectDevices raises the descriptors of devices whose rings have moved on since the last time.
func collectDevices() {
	for i := range deviceCount {
		d := &devices[i]
		if !d.open {
			continue
		}
		if lookup(uint64(d.fd)) == nil || files[d.fd].kind != kindDevice || files[d.fd].value != uint64(i) {
			d.open = false // the driver has closed it
			continue
		}
		ready, moved := false, false
		for n := range d.seen {
			q := queueOf(i, n)
			used := q.Used.Index
			ready = ready || used != q.Avail.Event && q.Avail.Flags == 0
			moved = moved || used != d.seen[n]
			d.seen[n] = used
		}
		if frames := &queueOf(i, 0).Frames; frameWaits(i, frames) {
			ready = true
			moved = moved || d.frames != *frames
			d.frames = *frames
		}
		switch {
		case ready && moved:
			setReady(uint64(d.fd), epollIn, 0)
		case !ready && files[d.fd].level != 0:
			setReady(uint64(d.fd), 0, epollIn)
		}
	}
}
