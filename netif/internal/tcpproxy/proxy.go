// Package tcpproxy joins TCP connections of a guest to sockets of the host, on the thread that moves the guest's
// frames: a segment of the guest is written to its socket inside Input, and what sockets have to say becomes segments
// inside Output. Nobody else has to wake up for either.
//
//	guest ─ segments ─► Input ─ writev ─► socket          pend: what the socket has no room for
//	guest ◄─ segments ─ Output ◄─ read ── socket          send: what the guest has not acknowledged
//
// It is half a TCP (RFC 9293), for a link that is memory: segments arrive in order and intact, or, if one side has no
// room, not at all. So it does what correctness needs on any link (windows, acknowledgement, retransmission, the whole
// state machine), and leaves out what only speed on a bad link needs: congestion control, selective acknowledgements,
// round-trip estimates, keeping of segments that come too early. Payload of the guest is not looked at: it goes
// from the frame to the socket, and its checksum is not verified. Urgent data is ordinary data.
//
// A connection ends on one side as it ended on the other: end of stream or reset.
//
// # Memory
//
// A connection buffers at most its share in each direction: memoryBudget divided by the number of connections, but at
// least minShare and at most maxShare. What the host sends beyond that stays in its socket, what the guest sends beyond
// that it was not allowed to send.
package tcpproxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/iovec"
)

const (
	memoryBudget = 64 << 20 // bytes each way, for all connections of a guest
	maxShare     = 1 << 20
	minShare     = 16 << 10
)

// Config is what a Proxy works with.
type Config struct {
	Guest    netip.Addr               // whom clients of Listen are connected with
	Ethernet [netif.EthernetSize]byte // header of frames to the guest, but for the type
	MTU      int
	Table    *Table
	Timeout  time.Duration // to connect to the guest

	// Dial connects to dst for a connection of the guest. It runs in a goroutine of Go; ctx ends with the Proxy.
	Dial func(ctx context.Context, dst netip.AddrPort) (net.Conn, error)

	// Unreachable is told of an error of Dial and reports whether the guest is to get a reset. If not, it has sent the
	// guest something else. Seq is the sequence number of the guest's SYN.
	Unreachable func(src, dst netip.AddrPort, seq uint32, err error) (refused bool)

	// Other takes over a connection from Dial that is no *net.TCPConn, with the guest's SYN (a whole IP packet).
	Other func(host net.Conn, syn []byte)

	// SeenAs is the address that a client on the host's side has for the guest.
	SeenAs func(client netip.AddrPort) netip.AddrPort

	// Go runs a function in a goroutine that somebody waits for.
	Go func(func())

	// Wake is called, without locks, when Output has something to say that no descriptor tells.
	Wake func()
}

// Proxy is the connections of one guest. It is safe for concurrent use.
type Proxy struct {
	config Config
	start  time.Time // of the clock below
	ctx    context.Context
	cancel context.CancelFunc
	epoll  int

	mu        sync.Mutex
	closed    bool
	features  netif.Features
	conns     map[connKey]*conn
	slots     []slot  // by the number in a descriptor's events
	freeSlots []int32 // numbers
	ready     fifo    // connections that have something for the guest
	timer     *time.Timer
	nextTick  int64  // when it fires; 0: it is not set
	lost      uint64 // frames that did not fit
	outputs   uint   // calls of Output
	gather    gather
	vector    iovec.Vector // of the call that is made next: empty between calls
	memory    pieces
	events    [64]unix.EpollEvent
	scratch   [largePiece]byte
	header    [headerSize6 + synOptionsSize]byte // of the frame that is made
}

// New makes a proxy without connections.
func New(c Config) (*Proxy, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make epoll descriptor: %w", err)
	}
	p := &Proxy{config: c, start: time.Now(), epoll: epoll, conns: make(map[connKey]*conn)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// FD is readable when Output should be called. It is an epoll descriptor; Watch adds others to it.
func (p *Proxy) FD() int { return p.epoll }

// Watch makes FD readable while fd is.
func (p *Proxy) Watch(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: noSlot}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("watch descriptor: %w", err)
	}
	return nil
}

// SetFeatures applies from now on.
func (p *Proxy) SetFeatures(f netif.Features) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.features = f
}

// Lost is how many frames for the guest had no room.
func (p *Proxy) Lost() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// Ready reports whether Output has something for the guest at once, and if not calls arm, before anything can change.
func (p *Proxy) Ready(arm func() bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ready.empty() || arm()
}

// now is in nanoseconds since the start and never 0.
func (p *Proxy) now() int64 { return int64(time.Since(p.start)) + 1 }

// shareLocked is how many bytes a connection may buffer in each direction.
func (p *Proxy) shareLocked() int {
	return max(minShare, min(maxShare, memoryBudget/max(1, len(p.conns))))
}

// readyLocked puts c in the queue of those with something for the guest.
func (p *Proxy) readyLocked(c *conn) {
	if !c.queued {
		c.queued = true
		p.ready.push(c)
	}
}

// fifo is a queue of connections that are each in it once.
type fifo struct {
	list []*conn
	head int
}

func (q *fifo) empty() bool { return q.head == len(q.list) }

func (q *fifo) push(c *conn) { q.list = append(q.list, c) }

func (q *fifo) pop() *conn {
	c := q.list[q.head]
	q.list[q.head] = nil
	c.queued = false
	if q.head++; q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	} else if q.head >= 1024 { // never empty: keep the list from growing for ever
		q.list = slices.Delete(q.list, 0, q.head)
		q.head = 0
	}
	return c
}

// scheduleLocked makes the timer fire at a time, or earlier.
func (p *Proxy) scheduleLocked(at, now int64) {
	if p.closed || p.nextTick != 0 && p.nextTick <= at {
		return
	}
	p.nextTick = at
	wait := time.Duration(max(at-now, int64(time.Millisecond)))
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.tick)
	} else {
		p.timer.Reset(wait)
	}
}

// tick does what is due.
func (p *Proxy) tick() {
	p.mu.Lock()
	p.nextTick = 0
	now := p.now()
	next := int64(0)
	for _, c := range p.conns {
		if at := p.dueLocked(c, now); at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	if p.resumeListenersLocked() && next == 0 {
		next = now + int64(acceptRetry)
	}
	if next != 0 {
		p.scheduleLocked(next, now)
	}
	wake := !p.ready.empty()
	p.mu.Unlock()
	if wake {
		p.config.Wake()
	}
}

// Close resets all connections.
func (p *Proxy) Close() {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	for _, c := range p.conns {
		p.resetHostLocked(c)
		p.removeLocked(c)
	}
	for _, s := range p.slots {
		if s.listener != nil {
			unix.Close(s.listener.fd)
		}
	}
	p.slots, p.ready, p.memory = nil, fifo{}, pieces{}
	if p.timer != nil {
		p.timer.Stop()
	}
	unix.Close(p.epoll)
}

// syscallError is err with the name of the call.
func syscallError(call string, err error) error { return os.NewSyscallError(call, err) }
