// Package sharedev is the driver of a shared directory: the guest's end of its queue of requests (hypercall/share.go). What the
// requests mean is package hostfs' business.
//
//	Call ──► a slot: request, data ──► Avail ──► kick: the monitor answers most at once ──► Used ──► Call
//	                                               what waits for a disk ── later ──► poller ──► Call
//
// A caller's memory may lie on its stack, which moves while it waits, so requests and data are copied through slots. There are
// as many slots as requests can be under way; more callers wait for one.
package sharedev

import (
	"sync"
	"syscall"

	"ukvm.dev/guest/kernel"
	"ukvm.dev/hypercall"
)

// How many requests can be under way, and how many descriptors each may take: request, data, reply, data.
const (
	slotCount   = 16
	descriptors = 4
)

// Data of a request, in bytes: all slots together take at most a sixteenth of the guest's memory.
const (
	dataShare = 16 * slotCount
	dataMin   = 64 << 10
)

// Device is an open shared directory. It is safe for concurrent use.
type Device struct {
	max  int // bytes of data in a request
	free chan *slot
	kick func() // has the monitor serve the queue

	mu      sync.Mutex
	mem     *hypercall.Queue
	avail   uint16 // Avail.Index
	used    uint16 // up to where Used has been looked at
	slots   [slotCount]*slot
	polling bool
	await   func() // waits until the queue may have news
}

// slot is the memory of a request.
type slot struct {
	index int
	head  []byte // ShareRequest and names
	reply []byte
	data  []byte
	done  chan struct{}
}

// Open opens the device with an index in the boot information. Errors are the kernel's.
func Open(index int) (*Device, syscall.Errno) {
	fd := kernel.OpenDevice(index)
	if fd < 0 {
		return nil, syscall.Errno(-fd)
	}
	return New(kernel.Queue(index, 0), kernel.Boot().Memory, kernel.Kick, waiter(fd)), 0
}

// New makes a device of a queue, in a guest with memory bytes. kick has the monitor serve the queue; await waits until it may have
// done so since.
func New(mem *hypercall.Queue, memory uint64, kick, await func()) *Device {
	d := &Device{
		max: int(min(max(memory/dataShare, dataMin), hypercall.MaxShareData)) &^ (dataMin - 1), mem: mem,
		free: make(chan *slot, slotCount), kick: kick, await: await,
	}
	for i := range d.slots {
		d.slots[i] = &slot{
			index: i, done: make(chan struct{}, 1),
			head: make([]byte, hypercall.ShareRequestSize+hypercall.MaxShareName), reply: make([]byte, hypercall.ShareReplySize),
		}
		d.free <- d.slots[i]
	}
	return d
}

// edges is EPOLLET, which package syscall has with a sign.
const edges = 1 << 31

// waiter returns what waits until a descriptor is readable, on a thread of its own.
func waiter(fd int) func() {
	epoll := -1
	return func() {
		if epoll < 0 {
			var err error
			if epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
				panic("ukvm: shared directory: " + err.Error())
			}
			// Edges: the descriptor stays readable until the kernel looks at the queue again.
			in := syscall.EpollEvent{Events: syscall.EPOLLIN | edges}
			if err = syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &in); err != nil {
				panic("ukvm: shared directory: " + err.Error())
			}
		}
		var events [1]syscall.EpollEvent
		syscall.EpollWait(epoll, events[:], -1)
	}
}

// Max is the most bytes a request can carry each way.
func (d *Device) Max() int { return d.max }

// Call makes a request and waits for its answer. in is what is written, out is where to put what is read; either may be nil, and
// neither is longer than Max. The lengths of the names are filled in here.
func (d *Device) Call(q hypercall.ShareRequest, name, name2 string, in, out []byte) (r hypercall.ShareReply) {
	if len(name)+len(name2) > hypercall.MaxShareName {
		return hypercall.ShareReply{Errno: uint32(syscall.ENAMETOOLONG)}
	}
	s := <-d.free
	q.Name, q.Name2 = uint16(len(name)), uint16(len(name2))
	q.Put(s.head)
	copy(s.head[hypercall.ShareRequestSize:], name)
	copy(s.head[hypercall.ShareRequestSize+len(name):], name2)
	if n := max(len(in), len(out)); n > len(s.data) {
		s.data = make([]byte, (n+dataMin-1)/dataMin*dataMin)
	}
	copy(s.data, in)
	d.submit(s, hypercall.ShareRequestSize+len(name)+len(name2), len(in), len(out))
	<-s.done
	r.Get(s.reply)
	if r.Errno == 0 {
		copy(out, s.data)
	}
	d.free <- s
	return r
}

// submit offers a slot to the monitor and looks for answers. The first request that has none at once starts the poller.
func (d *Device) submit(s *slot, head, in, out int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := s.index * descriptors
	put := func(b []byte, flags uint16) {
		d.mem.Desc[at] = hypercall.Desc{Addr: addressOf(b), Len: uint32(len(b)), Flags: flags | hypercall.DescNext, Next: uint16(at + 1)}
		at++
	}
	put(s.head[:head], 0)
	if in > 0 {
		put(s.data[:in], 0)
	}
	put(s.reply, hypercall.DescWrite)
	if out > 0 {
		put(s.data[:out], hypercall.DescWrite)
	}
	d.mem.Desc[at-1].Flags &^= hypercall.DescNext
	d.mem.Avail.Ring[d.avail%hypercall.QueueLen] = uint16(s.index * descriptors)
	d.avail++
	d.mem.Avail.Index = d.avail
	d.kick()
	d.collect()
	if len(s.done) == 0 && !d.polling {
		d.polling = true
		go d.poll()
	}
}

// collect tells callers whose requests are answered. d.mu is held.
func (d *Device) collect() {
	for d.used != d.mem.Used.Index {
		e := d.mem.Used.Ring[d.used%hypercall.QueueLen]
		d.used++
		d.slots[e.ID/descriptors].done <- struct{}{}
	}
	d.mem.Avail.Event = d.used
}

// Stopped calls f while nobody touches the queue. A monitor has it so because the guest stands still; tests need this.
func (d *Device) Stopped(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// poll looks for late answers, for good.
func (d *Device) poll() {
	for {
		d.await()
		d.mu.Lock()
		d.collect()
		d.mu.Unlock()
	}
}
