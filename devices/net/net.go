// Package net is the monitor's end of a network device: it moves Ethernet frames between the two queues of a ring slot
// (hypercall/ring.go) and a link (package netif), straight from and to guest memory.
//
// Nothing of a frame but its header, of 12 bytes, is copied here: a link gets the pieces of guest memory that the frame
// lies in, or is to lie in. How often a link copies is its affair: package tap once each way, by the kernel; package user
// says it of itself.
//
// A header from the guest is checked before any link, and any kernel behind it, sees it (header.go). Frames go both ways
// in batches, as many as there are when the guest goes to sleep: it is told of those that have come when it wakes, and
// of those that have gone never.
package net

import (
	"errors"
	"fmt"

	"ukvm.dev/devices/ring"
	"ukvm.dev/hypercall"
	"ukvm.dev/internal/pieces"
	"ukvm.dev/netif"
)

// ErrGuest is wrapped by errors that the guest has caused; they end it.
var ErrGuest = errors.New("network device misused")

// batch is how many frames go to the link at a time.
const batch = 64

// Device is one network device. It is used by the vCPU's thread while the vCPU does not run.
type Device struct {
	link     netif.Link
	shared   *frameRing     // nil: the link has none
	features netif.Features // what was agreed
	memory   ring.Memory
	rx, tx   *ring.Queue
	maxFrame int // longest frame the link gives, in bytes
	down     error

	frames  [batch]netif.Frame
	heads   [batch]uint16
	buffers []ring.Buffer
	pieces  [][]byte
	bufs    [batch]buffer
	rooms   []room

	Counters Counters
}

// Counters count frames and bytes as the guest sees them, and what was lost on the way.
type Counters struct {
	RxFrames, RxBytes, TxFrames, TxBytes, TxDropped uint64
}

// New makes a device on a ring slot. Features is what the link's SetFeatures was told. A ring that the guest has is given with
// ShareFrames.
func New(link netif.Link, features netif.Features, mtu int, slot []byte, memory ring.Memory) *Device {
	const ethernet = 14 + 4 // header, and a VLAN tag
	return &Device{
		link: link, features: features, memory: memory, maxFrame: max(mtu+ethernet, features.RxSegment),
		rx: ring.New(slot[:hypercall.QueueSize]), tx: ring.New(slot[hypercall.QueueSize:]),
	}
}

// Down is why the link carries nothing any more, or nil.
func (d *Device) Down() error { return d.down }

// News reports whether the guest has something to look at.
func (d *Device) News() bool {
	return d.rx.News() || d.tx.News() || d.shared != nil && d.down == nil && !d.shared.busy() && d.shared.seek()
}

// Serve sends what the guest has queued and stores what has arrived. moved is whether there was anything. The error is
// the guest's fault (ErrGuest) or that of its memory; a link that fails is down and loses frames, as a cable would.
func (d *Device) Serve() (moved bool, err error) {
	sent, err := d.transmit()
	if err != nil {
		return false, err
	}
	got, err := d.receive()
	return sent || got, err
}

// Transmit sends what the guest has queued, and looks for nothing that has arrived. Errors are those of Serve.
func (d *Device) Transmit() error {
	_, err := d.transmit()
	return err
}

func (d *Device) transmit() (moved bool, err error) {
	n, err := d.tx.Waiting()
	if err != nil {
		return false, fmt.Errorf("%w: transmit queue: %w", ErrGuest, err)
	}
	for n > 0 {
		k := min(n, batch)
		d.pieces = d.pieces[:0]
		for i := range k {
			if err := d.outgoing(i); err != nil {
				return moved, err
			}
		}
		d.send(d.frames[:k])
		for i := range k {
			d.tx.Done(d.heads[i], 0)
		}
		d.tx.Publish()
		moved = true
		n -= k
	}
	return moved, nil
}

// outgoing describes the i-th waiting frame in d.frames[i].
func (d *Device) outgoing(i int) error {
	head := d.tx.Head(i)
	d.heads[i] = head
	var err error
	if d.buffers, err = d.tx.Chain(d.buffers[:0], head, false); err != nil {
		return fmt.Errorf("%w: transmit queue: %w", ErrGuest, err)
	}
	first := len(d.pieces)
	total, err := chainSize(d.buffers)
	if err != nil {
		return err
	}
	for _, b := range d.buffers {
		if d.pieces, err = d.memory.Slices(d.pieces, b.Addr, uint64(b.Len), hypercall.ProtRead); err != nil {
			return fmt.Errorf("transmit buffer at %#x: %w", b.Addr, err)
		}
	}
	var header [hypercall.NetHeaderSize]byte
	pieces.Gather(header[:], d.pieces[first:])
	length := int(total) - hypercall.NetHeaderSize
	checked, err := d.checked(parseHeader(&header), length)
	if err != nil {
		return err
	}
	at, _ := cut(d.pieces[first:], len(header))
	d.frames[i] = netif.Frame{Header: checked, Data: d.pieces[first+at : len(d.pieces) : len(d.pieces)], Len: length}
	return nil
}

// chainSize adds up the buffers of a chain and checks the sum, before their memory is looked at: what a guest costs the
// host depends on it.
func chainSize(buffers []ring.Buffer) (n uint64, err error) {
	for _, b := range buffers {
		n += uint64(b.Len)
	}
	if n < hypercall.NetHeaderSize || n > hypercall.MaxNetChain {
		return n, fmt.Errorf("%w: chain of %d bytes", ErrGuest, n)
	}
	return n, nil
}

func (d *Device) send(frames []netif.Frame) {
	for i := range frames {
		d.Counters.TxFrames++
		d.Counters.TxBytes += uint64(frames[i].Len)
	}
	if d.down != nil {
		d.Counters.TxDropped += uint64(len(frames))
		return
	}
	if n, err := d.link.Send(frames); err != nil {
		d.down = err
		d.Counters.TxDropped += uint64(len(frames) - n)
	}
}
