package posix

import "syscall"

// Events are poll(2) bits as Linux numbers them.
type Events uint32

// Event bits.
const (
	EventIn     Events = 0x1    // POLLIN: data, a connection or end of file can be read without waiting
	EventPri    Events = 0x2    // POLLPRI
	EventOut    Events = 0x4    // POLLOUT: there is room to write
	EventErr    Events = 0x8    // POLLERR: an error is pending
	EventHup    Events = 0x10   // POLLHUP: both directions are shut
	EventRdHup  Events = 0x2000 // POLLRDHUP: the peer has shut its writing side
	EventsLevel        = EventIn | EventPri | EventOut | EventErr | EventHup | EventRdHup
)

// Family makes the sockets of one address family. A protocol stack registers itself for AF_INET (and AF_INET6) when it
// is linked in; a program without sockets has no stack.
type Family interface {
	// Socket makes an unbound socket. typ is SOCK_STREAM, SOCK_DGRAM or SOCK_RAW without flags. Errors:
	// EPROTONOSUPPORT, ESOCKTNOSUPPORT, ENOBUFS.
	Socket(typ, protocol int) (Socket, syscall.Errno)
}

// Socket is one end point of a protocol stack. It never blocks: an operation that would have to wait returns EAGAIN and
// package posix waits for the readiness that the stack announces. It is safe for concurrent use. The zero
// Addr means "none".
//
// Buffers belong to the caller and must not be kept: they may lie on a goroutine's stack, which moves.
type Socket interface {
	// Bind sets the local address; port 0 chooses one. Errors: EADDRINUSE, EADDRNOTAVAIL, EINVAL, EACCES.
	Bind(local Addr) syscall.Errno

	// Connect sets the peer. For a stream it starts the handshake and returns EINPROGRESS; EventOut follows, with the
	// outcome in option SO_ERROR. A second call returns EALREADY or EISCONN. A datagram socket is connected at once;
	// the zero Addr disconnects it (AF_UNSPEC).
	Connect(peer Addr) syscall.Errno

	// Listen makes a bound stream socket accept connections; backlog bounds those not yet accepted.
	Listen(backlog int) syscall.Errno

	// Accept takes the next established connection.
	Accept() (Socket, Addr, syscall.Errno)

	// Recv stores what has arrived into p and returns its length, the peer's address for datagrams, and the flags
	// recvmsg(2) reports (MSG_TRUNC). flags are MSG_PEEK, MSG_TRUNC and MSG_OOB; others are posix's business. 0 bytes
	// without error is the end of a stream.
	Recv(p []byte, flags int) (n int, from Addr, mflags int, errno syscall.Errno)

	// Send queues p. A stream takes as much as fits (n < len(p) is normal); a datagram goes whole or not at all, to
	// `to` or, if that is zero, to the connected peer. flags may hold MSG_MORE. Errors: EPIPE, ECONNRESET,
	// EDESTADDRREQ, EMSGSIZE, ENETUNREACH, EHOSTUNREACH, ENOBUFS.
	Send(p []byte, to Addr, flags int) (n int, errno syscall.Errno)

	// Shutdown closes the reading (SHUT_RD), the writing side (SHUT_WR) or both.
	Shutdown(how int) syscall.Errno

	// Name returns the local address, or the peer's (ENOTCONN without one).
	Name(peer bool) (Addr, syscall.Errno)

	// SetOption and Option are setsockopt(2) and getsockopt(2) with the option's bytes as Linux lays them out on
	// amd64. Option stores into v and returns the length. Unknown options are ENOPROTOOPT.
	SetOption(level, name int, v []byte) syscall.Errno
	Option(level, name int, v []byte) (n int, errno syscall.Errno)

	// Notify registers f, once and before any other use, to be called with the present readiness and with the bits
	// that were just raised, after every change and again whenever more data, another connection or more room
	// arrives. f does not block and does not call back into the socket; it may be called with the stack's locks held. A
	// stream that is ready for EventOut and nothing else may be taken to be connected and without anything to Recv.
	Notify(f func(level, raised Events))

	// Close releases the socket; a stream sends what is queued and closes in order, as SO_LINGER says. No call of
	// Notify's function starts after Close has returned.
	Close() syscall.Errno
}

// Interfacer is a Family that can describe its network interfaces, for net.Interfaces and /proc/net.
type Interfacer interface {
	Interfaces() []Interface
}

// Router is a Family that can describe its routes, of all families, for /proc/net.
type Router interface {
	Routes() []Route
}

// Marker is a Family with explicit congestion notification, whose use is a number as Linux's net.ipv4.tcp_ecn has it: 0 for
// never, 1 to ask for it, 2 only to answer. Others are EINVAL.
type Marker interface {
	ECN() int
	SetECN(n int) syscall.Errno
}

// Route is one line of a routing table.
type Route struct {
	Prefix
	Gateway Addr // none: on the link
	Link    string
}

// Interface describes one network interface as rtnetlink(7) would.
type Interface struct {
	Index    int
	Name     string
	MTU      int
	Hardware [6]byte
	Loopback bool
	Up       bool
	Addrs    []Prefix
	Groups   []Addr // multicast groups it is in
	Received Traffic
	Sent     Traffic
}

// Traffic is what has passed an interface one way: packets, and their bytes with Ethernet headers, which loopback has none
// of.
type Traffic struct{ Packets, Bytes, Dropped uint64 }
