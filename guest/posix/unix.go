package posix

import (
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"ukvm.dev/guest/posix/vnode"
)

// unixDomain is what AF_UNIX sockets share (unix(7)): their names, and one lock for all of them, since a connection
// concerns two and a datagram finds its receiver while it is sent.
type unixDomain struct {
	mu    sync.Mutex
	named map[unixName]*unixSocket
	nodes map[vnode.Node]*unixSocket // by the socket file they are bound to
	auto  uint32                     // last name chosen by autobind
}

// unixName is an abstract name, with its NUL. Each type of socket has its own.
type unixName struct {
	typ  int
	name string
}

// unixSocket is a socket of AF_UNIX. unixDomain.mu guards all but socketBase.
//
//	stream, seqpacket:  idle ──bind, listen──► listening
//	                    idle ──connect───────► connected ◄── made by a connect, waits in the listener's pending
//	datagram:           idle; connect only sets the peer
//
// Streams queue bytes in `bytes`, with what came along in `marks`; the other types queue messages.
type unixSocket struct {
	socketBase
	stage   unixState
	local   sockaddr
	node    vnode.Node // of a bound path
	peer    *unixSocket
	backlog int
	pending []*unixSocket // made by connects, not yet accepted
	waiting []*unixSocket // sockets that wait for room here: in pending or in messages

	bytes    ring
	passed   uint64 // bytes ever taken from `bytes`
	marks    []unixMark
	messages []unixMessage
	queued   int // bytes in messages
	charged  int // the same with messageCost for each

	sendLimit  int // SO_SNDBUF
	shutIn     bool
	shutOut    bool
	closed     bool
	passCred   bool
	pendingErr syscall.Errno
}

type unixState uint8

const (
	unixIdle unixState = iota
	unixListening
	unixConnected
)

// unixMark says that files came along with n bytes at a position of a stream, counted like passed.
type unixMark struct {
	at, n uint64
	files []*description
}

// unixMessage is a datagram or a packet.
type unixMessage struct {
	data  []byte
	from  sockaddr
	files []*description
}

const (
	unixSendLimit = 212992 // net.core.wmem_default
	unixMessages  = 10     // net.unix.max_dgram_qlen
	messageCost   = 512    // what a message counts beside its bytes, so that empty ones are limited too
)

var (
	_ socketObject = (*unixSocket)(nil)
	_ gatherer     = (*unixSocket)(nil)
	_ controller   = (*unixSocket)(nil)
)

// newUnix makes a socket. Errors: EPROTONOSUPPORT, ESOCKTNOSUPPORT.
func (s *System) newUnix(typ, protocol int) (socketObject, syscall.Errno) {
	u, errno := s.makeUnix(typ, protocol)
	if errno != 0 {
		return nil, errno
	}
	s.unix.mu.Lock()
	u.updateLocked(0)
	s.unix.mu.Unlock()
	return u, 0
}

func (s *System) makeUnix(typ, protocol int) (*unixSocket, syscall.Errno) {
	if protocol != 0 && protocol != syscall.AF_UNIX {
		return nil, syscall.EPROTONOSUPPORT
	}
	switch typ {
	case syscall.SOCK_RAW: // as Linux has it
		typ = syscall.SOCK_DGRAM
	case syscall.SOCK_STREAM, syscall.SOCK_DGRAM, syscall.SOCK_SEQPACKET:
	default:
		return nil, syscall.ESOCKTNOSUPPORT
	}
	u := &unixSocket{sendLimit: unixSendLimit, local: sockaddr{family: syscall.AF_UNIX}}
	u.initSocket(s, syscall.AF_UNIX, typ, 0)
	return u, 0
}

// newUnixPair makes two connected sockets.
func (s *System) newUnixPair(typ, protocol int) (x, y *unixSocket, errno syscall.Errno) {
	if x, errno = s.makeUnix(typ, protocol); errno != 0 {
		return nil, nil, errno
	}
	y, _ = s.makeUnix(typ, protocol)
	x.peer, y.peer = y, x
	x.stage, y.stage = unixConnected, unixConnected
	s.unix.mu.Lock()
	x.updateLocked(0)
	y.updateLocked(0)
	s.unix.mu.Unlock()
	return x, y, 0
}

func (u *unixSocket) datagram() bool { return u.typ == syscall.SOCK_DGRAM }

// updateLocked announces the readiness, and what was raised just now.
func (u *unixSocket) updateLocked(raised Events) {
	level := Events(0)
	if len(u.pending) > 0 || u.bytes.n > 0 || len(u.messages) > 0 || u.shutIn {
		level |= EventIn
	}
	if u.shutIn {
		level |= EventRdHup
	}
	if u.shutIn && u.shutOut || u.stage == unixIdle && !u.datagram() {
		level |= EventHup
	}
	if u.pendingErr != 0 {
		level |= EventErr
	}
	if u.stage != unixListening && u.writableLocked() {
		level |= EventOut
	}
	u.state.notify(level, raised)
}

// writableLocked is when a socket polls writable: at a quarter of its limit, so that writers do not wake for each
// byte.
func (u *unixSocket) writableLocked() bool {
	p := u.peer
	switch {
	case p == nil:
		return true
	case u.datagram() && p.peer != u:
		return len(p.messages) <= unixMessages
	}
	return 4*(p.bytes.n+p.charged) <= u.sendLimit
}

func (u *unixSocket) read(d *description, p []byte) (int, syscall.Errno) {
	n, _, _, errno := u.receive(p, 0, nil)
	return n, errno
}

func (u *unixSocket) write(d *description, p []byte) (int, syscall.Errno) {
	return u.transmit(p, sockaddr{}, 0, nil)
}

// close ends a socket: its peer sees the end of the stream, or ECONNRESET if what it had sent was not read.
func (u *unixSocket) close(d *description) {
	x := &u.sys.unix
	x.mu.Lock()
	u.closeLocked(x, false)
	var files []*description
	for _, p := range append(u.pending, u) {
		p.closed = true
		files = append(files, p.filesLocked()...)
	}
	u.pending = nil
	node := u.node
	u.node = nil
	x.mu.Unlock()
	for _, f := range files {
		f.release() // outside the lock: a socket may be among them
	}
	if node != nil {
		releaseNode(node)
	}
}

// closeLocked does the part of close that concerns others. unaccepted says that the socket never was the program's.
func (u *unixSocket) closeLocked(x *unixDomain, unaccepted bool) {
	if u.closed {
		return
	}
	u.closed = true
	u.unnameLocked(x)
	for _, p := range u.pending {
		p.closeLocked(x, true)
	}
	if p := u.peer; p != nil && !u.datagram() && !p.closed {
		p.shutIn, p.shutOut = true, true
		if unaccepted || u.bytes.n > 0 || len(u.messages) > 0 {
			p.pendingErr = syscall.ECONNRESET
		}
		p.updateLocked(EventsLevel)
	}
	u.wakeSendersLocked()
}

// wakeSendersLocked lets those that wait for room here try again.
func (u *unixSocket) wakeSendersLocked() {
	for _, w := range u.waiting {
		w.updateLocked(EventOut)
		w.state.wake(EventOut)
	}
	u.waiting = nil
}

func (u *unixSocket) waitLocked(w *unixSocket) {
	if !slices.Contains(u.waiting, w) {
		u.waiting = append(u.waiting, w)
	}
}

// filesLocked takes all files that are on their way to a socket.
func (u *unixSocket) filesLocked() (files []*description) {
	for _, m := range u.marks {
		files = append(files, m.files...)
	}
	for _, m := range u.messages {
		files = append(files, m.files...)
	}
	u.marks, u.messages, u.queued, u.charged, u.bytes = nil, nil, 0, 0, ring{}
	return files
}

// shutdown is not refused without a connection (unlike TCP's).
func (u *unixSocket) shutdown(how int) syscall.Errno {
	x := &u.sys.unix
	x.mu.Lock()
	defer x.mu.Unlock()
	in, out := how != syscall.SHUT_WR, how != syscall.SHUT_RD
	u.shutIn, u.shutOut = u.shutIn || in, u.shutOut || out
	if p := u.peer; p != nil && !u.datagram() {
		p.shutIn, p.shutOut = p.shutIn || out, p.shutOut || in
		p.updateLocked(EventsLevel)
	}
	u.updateLocked(EventsLevel)
	return 0
}

func (u *unixSocket) setOption(level, name int, v []byte) syscall.Errno {
	if level != syscall.SOL_SOCKET {
		return syscall.EOPNOTSUPP
	}
	n, errno := intOption(v)
	if errno != 0 {
		return errno
	}
	u.sys.unix.mu.Lock()
	defer u.sys.unix.mu.Unlock()
	switch name {
	case syscall.SO_SNDBUF, syscall.SO_SNDBUFFORCE:
		u.sendLimit = max(4608, 2*min(max(n, 0), unixSendLimit)) // Linux doubles it and has a least
		u.updateLocked(0)
	case syscall.SO_PASSCRED:
		u.passCred = n != 0
	case syscall.SO_RCVBUF, syscall.SO_RCVBUFFORCE, syscall.SO_REUSEADDR, syscall.SO_KEEPALIVE, syscall.SO_BROADCAST,
		syscall.SO_LINGER, syscall.SO_PRIORITY, syscall.SO_OOBINLINE, syscall.SO_TIMESTAMP, syscall.SO_DEBUG,
		syscall.SO_DONTROUTE, syscall.SO_RCVLOWAT, syscall.SO_MARK: // no effect on local sockets
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

func (u *unixSocket) option(level, name int, v []byte) (int, syscall.Errno) {
	if level != syscall.SOL_SOCKET {
		return 0, syscall.EOPNOTSUPP
	}
	u.sys.unix.mu.Lock()
	defer u.sys.unix.mu.Unlock()
	n := 0
	switch name {
	case syscall.SO_ERROR:
		n = int(u.pendingErr)
		u.pendingErr = 0
		u.updateLocked(0)
	case syscall.SO_ACCEPTCONN:
		if u.stage == unixListening {
			n = 1
		}
	case syscall.SO_SNDBUF, syscall.SO_RCVBUF:
		n = u.sendLimit
	case syscall.SO_PASSCRED:
		if u.passCred {
			n = 1
		}
	case syscall.SO_PEERCRED:
		var b [ucredSize]byte
		putUcred(b[:])
		if u.stage == unixIdle {
			put32(b[:], 0)
			put32(b[4:], ^uint32(0))
			put32(b[8:], ^uint32(0))
		}
		return copy(v, b[:]), 0
	case syscall.SO_RCVLOWAT:
		n = 1
	case syscall.SO_LINGER:
		return copy(v, make([]byte, 8)), 0
	case syscall.SO_REUSEADDR, syscall.SO_KEEPALIVE, syscall.SO_BROADCAST, syscall.SO_PRIORITY, syscall.SO_OOBINLINE,
		syscall.SO_TIMESTAMP, syscall.SO_DEBUG, syscall.SO_DONTROUTE, syscall.SO_MARK:
	default:
		return 0, syscall.ENOPROTOOPT
	}
	return putOption(v, n), 0
}

func (u *unixSocket) ioctl(d *description, request uint32, p unsafe.Pointer) (uintptr, syscall.Errno) {
	u.sys.unix.mu.Lock()
	defer u.sys.unix.mu.Unlock()
	switch request {
	case fionread:
		if u.stage == unixListening {
			return 0, syscall.EINVAL
		}
		n := u.bytes.n
		if u.typ == syscall.SOCK_SEQPACKET {
			n = u.queued
		}
		if u.datagram() && len(u.messages) > 0 {
			n = len(u.messages[0].data)
		}
		return result(putInt(p, n))
	case tiocoutq:
		if u.peer == nil {
			return result(putInt(p, 0))
		}
		return result(putInt(p, u.peer.bytes.n+u.peer.queued))
	}
	return 0, syscall.ENOTTY
}
