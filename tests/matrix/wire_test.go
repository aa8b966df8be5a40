package matrix

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/wire"
)

// queueMax bounds the bytes under way in one direction. Windows do, too; this is so that a fault of ours does not eat the
// machine's memory.
const queueMax = 256 << 20

// cable joins two ends, in real time, with the faults of a cell in both directions. Frames are whole and carry complete
// checksums: nothing but them protects what passes.
type cable struct{ dirs [2]*direction }

// direction is one way along a cable.
type direction struct {
	faults  nettest.Faults
	queued  bool                  // the courier delivers everything, even what arrives at once
	hole    int                   // longest IP packet that passes; 0: any
	deliver func(frames [][]byte) // to the end; it copies what it keeps
	wake    chan struct{}         // to the courier: the queue's head has changed
	done    chan struct{}         // closed when the courier has ended

	mu      sync.Mutex
	rand    *rand.Rand
	held    [][]byte // while holding
	holding bool
	dark    bool // everything is lost
	closed  bool
	queue   flights
	seq     int
	bytes   int           // in the queue
	busy    time.Duration // until when the line is used by frames sent before
	last    time.Duration // when the last frame in order arrives
	start   time.Time
	stats   wireStats
}

// wireStats counts frames.
type wireStats struct{ sent, lost, corrupted, duplicated, late, swallowed, overflowed int }

// flight is a frame on its way.
type flight struct {
	at    time.Duration // since the cable was made
	seq   int
	frame []byte
}

// flights is a heap by time and, for equal times, order of sending.
type flights []flight

func (q flights) Len() int { return len(q) }
func (q flights) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q flights) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *flights) Push(x any)   { *q = append(*q, x.(flight)) }
func (q *flights) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = flight{}
	*q = old[:len(old)-1]
	return x
}

// newCable returns a cable that nothing is plugged into yet.
func newCable(f nettest.Faults, hole int, seed uint64) *cable {
	c := &cable{}
	for i := range c.dirs {
		d := &direction{
			faults: f, hole: hole, rand: rand.New(rand.NewPCG(seed, uint64(i))), start: time.Now(),
			wake: make(chan struct{}, 1), done: make(chan struct{}),
		}
		c.dirs[i] = d
		go d.courier()
	}
	return c
}

// decouple makes the couriers deliver everything: ends that keep a lock while they send, and need it to receive, would wait for
// themselves.
func (c *cable) decouple() {
	for _, d := range c.dirs {
		d.queued = true
	}
}

// close ends the couriers. What is under way is lost.
func (c *cable) close() {
	for _, d := range c.dirs {
		d.mu.Lock()
		d.closed = true
		d.mu.Unlock()
		d.ring()
		<-d.done
	}
}

// cut takes the cable away, or puts it back: meanwhile everything is lost, and nobody is told.
func (c *cable) cut(dark bool) {
	for _, d := range c.dirs {
		d.mu.Lock()
		d.dark = dark
		d.mu.Unlock()
	}
}

// stats are both directions' together.
func (c *cable) stats() (sum wireStats) {
	for _, d := range c.dirs {
		d.mu.Lock()
		s := d.stats
		d.mu.Unlock()
		sum.sent += s.sent
		sum.lost += s.lost
		sum.corrupted += s.corrupted
		sum.duplicated += s.duplicated
		sum.late += s.late
		sum.swallowed += s.swallowed
		sum.overflowed += s.overflowed
	}
	return sum
}

// hold keeps back what is sent, both ways, so that it meets under way. release lets it go once both directions have a SYN.
func (c *cable) hold() {
	for _, d := range c.dirs {
		d.mu.Lock()
		d.holding = true
		d.mu.Unlock()
	}
}

// holds reports whether both directions have a SYN waiting.
func (c *cable) holds() bool {
	for _, d := range c.dirs {
		d.mu.Lock()
		found := false
		for _, f := range d.held {
			found = found || isSYN(f)
		}
		d.mu.Unlock()
		if !found {
			return false
		}
	}
	return true
}

func (c *cable) release() {
	for _, d := range c.dirs {
		d.mu.Lock()
		held := d.held
		d.held, d.holding = nil, false
		d.mu.Unlock()
		d.send(held)
	}
}

// isSYN reports whether a frame has a SYN without ACK. Neither IPv4 options nor IPv6 extension headers are expected.
func isSYN(f []byte) bool {
	var tcp int
	switch {
	case len(f) < wire.EthernetSize+wire.IPv4Size:
		return false
	case f[12] == 8 && f[13] == 0 && f[wire.EthernetSize+9] == wire.ProtoTCP:
		tcp = wire.EthernetSize + wire.IPv4Size
	case f[12] == 0x86 && f[13] == 0xdd && f[wire.EthernetSize+6] == wire.ProtoTCP:
		tcp = wire.EthernetSize + wire.IPv6Size
	default:
		return false
	}
	return len(f) >= tcp+wire.TCPSize && f[tcp+13]&(wire.SYN|wire.ACK) == wire.SYN
}

// plain reports whether frames arrive at the moment they are sent, within send.
func (d *direction) plain() bool {
	f := &d.faults
	return !d.queued && f.Delay == 0 && f.Jitter == 0 && f.Rate == 0 && f.Reorder == 0
}

// send puts frames on the cable. They stay the caller's.
func (d *direction) send(frames [][]byte) {
	d.mu.Lock()
	if d.holding {
		for _, f := range frames {
			d.held = append(d.held, clone(f))
		}
		d.mu.Unlock()
		return
	}
	var now [][]byte // what arrives at once
	urgent := false
	for _, f := range frames {
		for _, f := range d.harm(f) {
			if d.plain() {
				now = append(now, f)
				continue
			}
			urgent = d.launch(f) || urgent
		}
	}
	d.mu.Unlock()
	if len(now) > 0 {
		d.deliver(now)
	}
	if urgent {
		d.ring()
	}
}

// harm returns what becomes of a frame: nothing, itself, a damaged copy, twice the same.
func (d *direction) harm(f []byte) [][]byte {
	s, r, x := &d.stats, d.rand, &d.faults
	s.sent++
	switch {
	case d.dark, d.hole > 0 && len(f) > wire.EthernetSize+d.hole:
		s.swallowed++
		return nil
	case x.Loss > 0 && r.Float64() < x.Loss:
		s.lost++
		return nil
	}
	arp := len(f) > 13 && f[12] == 8 && f[13] == 6 // relies on Ethernet's check sequence
	if x.Corrupt > 0 && !arp && r.Float64() < x.Corrupt {
		f = clone(f)
		f[r.IntN(len(f))] ^= 1 << r.IntN(8)
		s.corrupted++
	}
	if x.Duplicate > 0 && r.Float64() < x.Duplicate {
		s.duplicated++
		return [][]byte{f, f}
	}
	return [][]byte{f}
}

// launch queues a copy of a frame until it arrives, and reports whether the courier must know.
func (d *direction) launch(f []byte) bool {
	x := &d.faults
	at := time.Since(d.start)
	if x.Rate > 0 {
		start := max(at, d.busy)
		if x.Queue > 0 && start-at > time.Duration(x.Queue) {
			d.stats.lost++
			return false
		}
		d.busy = start + time.Duration(int64(len(f))*int64(time.Second)/x.Rate)
		at = d.busy
	}
	at += time.Duration(x.Delay)
	if x.Jitter > 0 {
		at += time.Duration(d.rand.Int64N(x.Jitter))
	}
	if x.Reorder > 0 && d.rand.Float64() < x.Reorder {
		at += time.Duration(x.Late)
		d.stats.late++
	} else {
		at = max(at, d.last)
		d.last = at
	}
	if d.bytes+len(f) > queueMax {
		d.stats.overflowed++
		return false
	}
	d.bytes += len(f)
	d.seq++
	heap.Push(&d.queue, flight{at, d.seq, clone(f)})
	return d.queue[0].seq == d.seq
}

func (d *direction) ring() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// courier delivers what is due.
func (d *direction) courier() {
	defer close(d.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due [][]byte
	for {
		due = due[:0]
		next := time.Hour
		d.mu.Lock()
		now := time.Since(d.start)
		for len(d.queue) > 0 && len(due) < batch {
			if at := d.queue[0].at; at > now {
				next = at - now
				break
			}
			f := heap.Pop(&d.queue).(flight).frame
			d.bytes -= len(f)
			due = append(due, f)
		}
		closed := d.closed
		d.mu.Unlock()
		if closed {
			return
		}
		if len(due) > 0 {
			d.deliver(due)
			for _, f := range due {
				recycle(f)
			}
			continue
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-d.wake:
		}
	}
}

// batch is how many frames are handed over at a time, at most.
const batch = 64

// frameMax is the longest frame.
const frameMax = wire.EthernetSize + 9000

// buffers are for frames under way, by size: the usual MTU and less, and above.
var buffers = [...]sync.Pool{
	{New: func() any { return block(1536) }},
	{New: func() any { return block(frameMax) }},
}

func buffersFor(size int) *sync.Pool {
	if size <= 1536 {
		return &buffers[0]
	}
	return &buffers[1]
}

// clone copies a frame.
func clone(f []byte) []byte {
	b := *buffersFor(len(f)).Get().(*[]byte)
	return b[:copy(b, f)]
}

// recycle gives back a frame that clone made.
func recycle(f []byte) {
	f = f[:cap(f)]
	buffersFor(len(f)).Put(&f)
}

func block(size int) *[]byte {
	b := make([]byte, size)
	return &b
}
