package net

import (
	"fmt"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/pieces"
	"ukvm.dev/netif"
)

// room is a chain that the guest has made available to receive.
type room struct {
	head  uint16
	size  uint64 // bytes
	first int    // position of its first piece in Device.pieces
}

// buffer is one or more chains that together hold the longest frame.
type buffer struct {
	first int    // position of its first chain in Device.rooms
	cut   int    // position of the piece in which the header ends
	whole []byte // that piece before the header was cut off
}

// receive stores arrived frames in the buffers the guest has provided. A frame takes as many chains as it needs
// (virtio 1.2 §5.1.6.4); its header says how many.
//
// Chains are looked at once: those that a short frame leaves are room for the next one. The guest does not run meanwhile,
// so their memory stays where it is.
func (d *Device) receive() (moved bool, err error) {
	if d.down != nil || d.shared != nil && d.shared.busy() {
		return false, nil
	}
	d.pieces, d.rooms = d.pieces[:0], d.rooms[:0]
	n, err := d.rx.Waiting()
	if err != nil {
		return false, fmt.Errorf("%w: receive queue: %w", ErrGuest, err)
	}
	if d.shared != nil {
		d.shared.seek()
		defer d.shared.settle()
	}
	for used := 0; d.down == nil; {
		prepared, err := d.prepare(used, n)
		if err != nil || prepared == 0 {
			return moved, err
		}
		got, err := d.link.Receive(d.frames[:prepared])
		if err != nil {
			d.down = err
		}
		if got == 0 {
			return moved, nil
		}
		for i := range got {
			used = d.deliver(&d.frames[i], &d.bufs[i])
		}
		d.rx.Publish()
		moved = true
		if got < prepared {
			// Headers were cut off from the others' memory: look at it anew.
			d.pieces = d.pieces[:d.rooms[used].first]
			d.rooms = d.rooms[:used]
		}
	}
	return moved, nil
}

// prepare fills d.frames with room for the longest frame each, and returns how many: from the chains behind the first used
// ones of the n that there were. If one chain is not enough for such a frame, it prepares one only, since most frames
// will not need all its chains.
func (d *Device) prepare(used, n int) (frames int, err error) {
	need := uint64(hypercall.NetHeaderSize + d.maxFrame)
	have, first := uint64(0), used
	for i := used; i < n; i++ {
		if i == len(d.rooms) {
			if err := d.incoming(d.rx.Head(i - used)); err != nil {
				return 0, err
			}
		}
		if have += d.rooms[i].size; have < need {
			continue
		}
		end := len(d.pieces)
		if i+1 < len(d.rooms) {
			end = d.rooms[i+1].first
		}
		d.bufs[frames], d.frames[frames] = d.buffer(first, end)
		frames++
		if frames == batch || i > first {
			break
		}
		have, first = 0, i+1
	}
	return frames, nil
}

// buffer makes one of the pieces of chain first and those up to end.
func (d *Device) buffer(first, end int) (buffer, netif.Frame) {
	start := d.rooms[first].first
	i, whole := cut(d.pieces[start:end], hypercall.NetHeaderSize)
	return buffer{first, start + i, whole}, netif.Frame{Data: d.pieces[start+i : end : end]}
}

// incoming appends a chain to d.rooms and its memory to d.pieces.
func (d *Device) incoming(head uint16) (err error) {
	if d.buffers, err = d.rx.Chain(d.buffers[:0], head, true); err != nil {
		return fmt.Errorf("%w: receive queue: %w", ErrGuest, err)
	}
	size, err := chainSize(d.buffers)
	if err != nil {
		return err
	}
	first := len(d.pieces)
	for _, b := range d.buffers {
		if d.pieces, err = d.memory.Slices(d.pieces, b.Addr, uint64(b.Len), hypercall.ProtWrite); err != nil {
			return fmt.Errorf("receive buffer at %#x: %w", b.Addr, err)
		}
	}
	d.rooms = append(d.rooms, room{head, size, first})
	return nil
}

// deliver writes a received frame's header, gives its chains to the guest, and returns the position in d.rooms of the
// next one.
func (d *Device) deliver(f *netif.Frame, b *buffer) int {
	left := uint64(f.Len + hypercall.NetHeaderSize)
	i := b.first
	for chains := 0; chains == 0 || left > 0; chains++ {
		n := min(left, d.rooms[i].size)
		d.rx.Done(d.rooms[i].head, uint32(n))
		left -= n
		i++
	}
	f.Header.NumBuffers = uint16(i - b.first)
	header := formatHeader(&f.Header)
	copy(b.whole, pieces.Scatter(d.pieces[d.rooms[b.first].first:b.cut], header[:]))
	d.Counters.RxFrames++
	d.Counters.RxBytes += uint64(f.Len)
	return i
}
