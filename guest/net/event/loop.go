package event

import (
	"errors"
	"net/netip"
	"sync"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/timer"
)

// Errors of this package. Others come from the transport: reset, timed out, refused, address in use, ….
var (
	ErrClosed  = errors.New("use of closed network connection")
	ErrAborted = errors.New("connection was aborted by the program")
	ErrFull    = errors.New("send buffer is full")             // OnDrain tells when to go on
	ErrLimit   = errors.New("too many connections or sockets") // net.Limits.Sockets
)

// Host is what a Loop runs on. All fields are needed, but for the transports that there are none of.
type Host struct {
	Mutex *sync.Mutex
	Look  func() // at the clock; Mutex is held
	Leave func() // completes what was begun, has Run called elsewhere if something is Pending, and gives Mutex back
	Now   func() int64
	Wheel *timer.Wheel

	// Called with Mutex held. Acquire counts a connection or socket and returns ErrLimit if there are too many. The
	// upcalls come with Mutex held, too.
	Acquire func() error
	Release func()
	Listen  func(local netip.AddrPort, upcall func(ready.Events)) (Acceptor, error)
	Connect func(peer netip.AddrPort, upcall func(ready.Events)) (Stream, error)
	Open    func(local netip.AddrPort, upcall func(ready.Events)) (Port, error)
}

// Acceptor is a listening end point. Its functions are called with Mutex held.
type Acceptor interface {
	Accept() Stream // nil: none waits
	Local() netip.AddrPort
	Close()
}

// Stream is one end of a connection. Its functions are called with Mutex held; *tcp.Conn says what they do.
type Stream interface {
	Notify(upcall func(ready.Events))
	SetNoteAcks(on bool)
	Ends() (local, remote netip.AddrPort)
	Opening() bool
	Over() (bool, error)
	Take() *packet.Packet
	Return(p *packet.Packet)
	Consumed(n int)
	Unread() int
	Ended() bool
	Write(b []byte, more bool) (int, error) // takes what fits; an error with 0 if the connection has one, or nothing fits
	Writable() bool
	Unacked() int
	CloseWrite() error
	Close()
	Abort()
}

// Port is a datagram end point. Its functions are called with Mutex held; *udp.Endpoint says what they do.
type Port interface {
	Local() netip.AddrPort
	Take() *packet.Packet
	SendTo(b []byte, to netip.AddrPort) error // ErrFull: the card takes no more; the upcall tells when it does. Zero: to the peer
	Connect(peer netip.AddrPort) error
	Err() error // takes what is pending: ready.Err was raised
	Join(group netip.Addr) error
	Leave(group netip.Addr) error
	Close()
}

// Loop runs callbacks. It is made by New and safe for concurrent use.
type Loop struct {
	host Host

	// host.Mutex guards all that follows, and what belongs to the loop.
	inUse   bool // something has been opened
	running bool // somebody runs callbacks: Pending is theirs to look after
	pending []source
	spare   []source
	open    int // listeners, connections, sockets, active timers
	idle    sync.Cond
	scratch []byte // for datagrams in several pieces
}

// source is something that has callbacks.
type source interface {
	run() // with Mutex held; gives it back around callbacks
}

// New returns a loop.
func New(h Host) *Loop {
	l := &Loop{host: h}
	l.idle.L = h.Mutex
	return l
}

// lock and unlock are around all functions that programs call.
func (l *Loop) lock() {
	if l.host.Mutex.Lock(); !l.running {
		l.host.Look()
	}
}

func (l *Loop) unlock() {
	if l.running {
		l.host.Mutex.Unlock() // the loop completes what was begun when its batch is done
		return
	}
	l.host.Leave()
}

// InUse reports whether there are, or have been, programs for the loop. The caller holds Mutex.
func (l *Loop) InUse() bool { return l.inUse }

// Pending reports whether callbacks wait for Run, and nobody runs them. The caller holds Mutex.
func (l *Loop) Pending() bool { return len(l.pending) > 0 && !l.running }

// Run calls the callbacks of what is pending. The caller holds Mutex, also when Run returns, and flushes then.
func (l *Loop) Run() {
	if !l.Pending() {
		return
	}
	l.running = true
	batch := l.pending
	l.pending = l.spare[:0]
	next, returned := 0, false
	defer func() {
		if !returned { // a callback has panicked, without Mutex
			l.host.Mutex.Lock()
			l.running = false
			l.pending = append(l.pending, batch[next:]...)
			l.host.Leave()
		}
	}()
	for next < len(batch) {
		s := batch[next]
		batch[next] = nil
		next++
		s.run()
	}
	returned = true
	l.spare = batch[:0]
	l.running = false
	l.host.Look()
	if l.open == 0 && len(l.pending) == 0 {
		l.idle.Broadcast()
	}
}

// call calls back without Mutex.
func (l *Loop) call(f func()) {
	if f == nil {
		return
	}
	l.host.Mutex.Unlock()
	f()
	l.host.Mutex.Lock()
}

// schedule puts a source on the list of what is pending.
func (l *Loop) schedule(s source, queued *bool) {
	if !*queued {
		*queued = true
		l.pending = append(l.pending, s)
	}
}

// opened counts what Wait waits for; closed takes it back.
func (l *Loop) opened() {
	l.inUse = true
	l.open++
}

func (l *Loop) closed() {
	if l.open--; l.open == 0 && !l.running && len(l.pending) == 0 {
		l.idle.Broadcast()
	}
}

// Wait returns when nothing is left that could call back: all listeners, connections and sockets are closed and no timer
// is active.
func (l *Loop) Wait() {
	l.host.Mutex.Lock()
	for l.open > 0 || l.running || len(l.pending) > 0 {
		l.idle.Wait()
	}
	l.host.Mutex.Unlock()
}

// Post has f called on the loop, between other callbacks: a way in for what other goroutines have done.
func (l *Loop) Post(f func()) {
	l.lock()
	l.inUse = true
	l.pending = append(l.pending, posted{l, f})
	l.unlock()
}

type posted struct {
	loop *Loop
	f    func()
}

func (p posted) run() { p.loop.call(p.f) }
