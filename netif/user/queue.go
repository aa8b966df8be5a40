package user

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"ukvm.dev/netif/internal/wake"
)

// Bounds of the queue towards the guest. TCP sends no more than the guest's window; the bounds matter for a guest that
// does not fetch its frames.
const (
	queueFrames = 1024
	queueBytes  = 4 << 20
)

// queue holds packets for the guest until Receive. It is safe for concurrent use.
type queue struct {
	mu      sync.Mutex
	event   *wake.Event
	ring    [queueFrames]*stack.PacketBuffer
	head, n int
	bytes   int
	closed  bool
	dropped uint64
}

// put queues pkt, with a reference of its own, or drops it.
func (q *queue) put(pkt *stack.PacketBuffer) {
	size := pkt.Size()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.n == len(q.ring) || q.bytes+size > queueBytes {
		q.dropped++
		return
	}
	q.ring[(q.head+q.n)%len(q.ring)] = pkt.IncRef()
	q.n++
	q.bytes += size
	q.event.Notify()
}

// take moves packets to pkts, with their references, and returns how many. The consumer is awake now.
func (q *queue) take(pkts []*stack.PacketBuffer) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.event.Clear()
	n := min(len(pkts), q.n)
	for i := range n {
		slot := &q.ring[q.head]
		pkts[i], *slot = *slot, nil
		q.bytes -= pkts[i].Size()
		q.head = (q.head + 1) % len(q.ring)
	}
	q.n -= n
	return n
}

// arm reports whether something is queued; if not, the next packet makes the event's FD readable.
func (q *queue) arm() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n > 0 || q.closed {
		return true
	}
	q.event.Arm()
	return false
}

// wake makes the event's FD readable for a consumer that sleeps, although nothing is queued.
func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.event.Notify()
	}
}

func (q *queue) drops() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// close drops what is queued and all that comes.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for ; q.n > 0; q.n-- {
		q.ring[q.head].DecRef()
		q.ring[q.head] = nil
		q.head = (q.head + 1) % len(q.ring)
	}
	q.event.Close()
}
