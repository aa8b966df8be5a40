package net

import (
	"fmt"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

// buffer is one or more chains of the guest's that together hold the longest frame.
type buffer struct {
	first  int      // position of its first chain in heads
	header [][]byte // where the header goes
}

// room is a chain's capacity in bytes.
type room struct {
	head uint16
	size uint64
}

// receive stores arrived frames in the buffers the guest has provided. A frame takes as many chains as it needs
// (virtio 1.2 §5.1.6.4); its header says how many.
func (d *Device) receive() (moved bool, err error) {
	for d.down == nil {
		n, err := d.rx.Waiting()
		if err != nil {
			return moved, fmt.Errorf("%w: receive queue: %w", ErrGuest, err)
		}
		prepared, err := d.prepare(n)
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
			d.deliver(&d.frames[i], &d.bufs[i])
		}
		d.rx.Publish()
		moved = true
	}
	return moved, nil
}

// prepare fills d.frames with room for the longest frame each, from n waiting chains, and returns how many. If one
// chain is not enough for such a frame, it prepares one only, since most frames will not need all its chains.
func (d *Device) prepare(n int) (frames int, err error) {
	d.pieces, d.rooms = d.pieces[:0], d.rooms[:0]
	need := uint64(hypercall.NetHeaderSize + d.maxFrame)
	have, start, first := uint64(0), 0, 0
	for i := range n {
		size, err := d.incoming(d.rx.Head(i))
		if err != nil {
			return 0, err
		}
		if have += size; have < need {
			continue
		}
		data := d.pieces[start:]
		var blank [hypercall.NetHeaderSize]byte
		header, data := split(data, len(blank))
		d.frames[frames] = netif.Frame{Data: data}
		d.bufs[frames] = buffer{first: first, header: header}
		frames++
		if frames == batch || i > first {
			break
		}
		have, start, first = 0, len(d.pieces), i+1
	}
	return frames, nil
}

// incoming appends a chain's memory to d.pieces and its size to d.rooms.
func (d *Device) incoming(head uint16) (size uint64, err error) {
	if d.buffers, err = d.rx.Chain(d.buffers[:0], head, true); err != nil {
		return 0, fmt.Errorf("%w: receive queue: %w", ErrGuest, err)
	}
	if size, err = chainSize(d.buffers); err != nil {
		return 0, err
	}
	for _, b := range d.buffers {
		if d.pieces, err = d.memory.Slices(d.pieces, b.Addr, uint64(b.Len), hypercall.ProtWrite); err != nil {
			return 0, fmt.Errorf("receive buffer at %#x: %w", b.Addr, err)
		}
	}
	d.rooms = append(d.rooms, room{head, size})
	return size, nil
}

// deliver writes a received frame's header and gives its chains to the guest.
func (d *Device) deliver(f *netif.Frame, b *buffer) {
	left := uint64(f.Len + hypercall.NetHeaderSize)
	chains := uint16(0)
	for i := b.first; chains == 0 || left > 0; i++ {
		n := min(left, d.rooms[i].size)
		d.rx.Done(d.rooms[i].head, uint32(n))
		left -= n
		chains++
	}
	f.Header.NumBuffers = chains
	header := formatHeader(&f.Header)
	scatter(header[:], b.header)
	d.Counters.RxFrames++
	d.Counters.RxBytes += uint64(f.Len)
}
