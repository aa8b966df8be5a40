package netdev

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"ukvm.dev/guest/kernel"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
)

// Device is an open network device.
type Device struct {
	file *os.File // readable while the receive queue has news
	pool *packet.Pool
	size int // of receive buffers, in bytes

	rx      queue // only Run uses it, and what follows
	frames  frameRing
	batch   []*packet.Packet
	partial *packet.Packet // a frame of which more is to come
	missing int            // buffers it still lacks

	kick func() // has the monitor serve the queues

	mu sync.Mutex // guards tx; taken with the stack's lock held, never the other way round
	tx queue
}

// Buffers for received frames: as many as fit into a share of the guest's memory, and a queue. They hold a frame of the
// usual MTU each, or where frames may be longer a good part of the longest; a short frame is then copied to memory of its
// size, so that it does not keep much, and the buffer is offered again.
const (
	bufferShare = 64
	minBuffers  = 16
	minFrames   = 2 // of the longest; less than one would be none
)

// Open opens the device with an index in the boot information. Received frames, of at most longest bytes, are stored in
// packets from pool.
func Open(index int, longest int, pool *packet.Pool) (*Device, error) {
	fd := kernel.OpenDevice(index)
	if fd < 0 {
		return nil, fmt.Errorf("open network device %d: %w", index, syscall.Errno(-fd))
	}
	d := newDevice(kernel.Queue(index, 0), kernel.Queue(index, 1), longest, kernel.Boot().Memory, pool)
	d.frames.at = kernel.FrameRing(index)
	d.file, d.kick = os.NewFile(uintptr(fd), fmt.Sprintf("net%d", index)), kernel.Kick
	return d, nil
}

// newDevice prepares the queues and fills the one for receiving, in a guest with memory bytes.
func newDevice(rx, tx *hypercall.Queue, longest int, memory uint64, pool *packet.Pool) *Device {
	d := &Device{pool: pool, size: packet.Small, frames: frameRing{account: &rx.Frames}}
	if hypercall.NetHeaderSize+longest > packet.Small {
		d.size = packet.Medium
	}
	d.rx.init(rx)
	d.tx.init(tx)
	tx.Avail.Flags = hypercall.AvailQuiet // sent packets are collected with received ones, or when descriptors are needed
	least := max(minBuffers, minFrames*((hypercall.NetHeaderSize+longest+d.size-1)/d.size))
	d.fill(min(hypercall.QueueLen, max(least, int(memory/bufferShare)/d.size)))
	return d
}

// fill offers n empty packets to the monitor.
func (d *Device) fill(n int) {
	for range n {
		d.rx.offer(d.pool.Receive(d.size), hypercall.DescWrite)
	}
}

// Transmit sends a packet, of which it becomes the owner. False means that the link takes no more at the moment. It is
// safe for concurrent use.
func (d *Device) Transmit(p *packet.Packet) bool {
	p.EncodeNet()
	n := pieces(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tx.nfree < n && !d.reclaim(n) {
		d.kick()
		if !d.reclaim(n) {
			p.Trim(hypercall.NetHeaderSize)
			return false
		}
	}
	d.tx.offer(p, 0)
	return true
}

// reclaim releases packets that were sent, and reports whether n descriptors are free. d.mu is held.
func (d *Device) reclaim(n int) bool {
	for {
		p, _ := d.tx.take()
		if p == nil {
			return d.tx.nfree >= n
		}
		p.Release()
	}
}

// Run gives received frames to receive, in batches, for ever. receive takes over the packets but not the slice.
func (d *Device) Run(receive func([]*packet.Packet)) error {
	c, err := d.file.SyscallConn()
	if err != nil {
		return err
	}
	// The function is called whenever the queue may have news, and never says that it is done.
	return c.Read(func(uintptr) bool {
		for d.collect() {
			d.mu.Lock()
			d.reclaim(0) // the answers will use the same memory, while it is in the processor's caches
			d.mu.Unlock()
			receive(d.batch)
			clear(d.batch)
			d.batch = d.batch[:0]
		}
		return false
	})
}

// maxBatch bounds a batch, so that the first frame of many is not late.
const maxBatch = 64

// collect moves received frames to d.batch and offers new buffers in their place. It reports whether there are any.
func (d *Device) collect() bool {
	d.frames.enter()
	defer d.frames.leave()
	for len(d.batch) < maxBatch {
		p, n := d.rx.take()
		if p == nil {
			break
		}
		if d.missing > 0 {
			d.partial.AppendBlock(p, n)
			d.missing--
			d.rx.offer(p, hypercall.DescWrite)
		} else if q := d.small(p, n); q != nil {
			d.rx.offer(p, hypercall.DescWrite)
			d.begin(q, n)
		} else {
			d.fill(1)
			d.begin(p, n)
		}
		if d.partial != nil && d.missing == 0 {
			d.batch = append(d.batch, d.partial)
			d.partial = nil
		}
	}
	d.rx.mem.Avail.Event = d.rx.used
	if d.missing == 0 && d.rx.used == d.rx.mem.Used.Index { // what is there is older
		d.takeFrames()
	}
	return len(d.batch) > 0
}

// small returns a copy of a frame's first n bytes that would waste the buffer they lie in, else nil. If more of the frame is
// to come, they have filled the buffer.
func (d *Device) small(p *packet.Packet, n int) *packet.Packet {
	if d.size == packet.Small || n > packet.Small {
		return nil
	}
	q := d.pool.Receive(n)
	copy(q.Bytes(), p.Bytes()[:n])
	return q
}

// begin takes the first n bytes of a frame, whose header says how many buffers more it has.
func (d *Device) begin(p *packet.Packet, n int) {
	p.Truncate(n)
	if !p.DecodeNet() {
		p.Release()
		return
	}
	d.partial, d.missing = p, max(int(p.Net.NumBuffers)-1, 0)
}
