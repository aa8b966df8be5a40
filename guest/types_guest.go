//go:build ukvm

package guest

import (
	"ukvm/kernel"
	"ukvm/net"
	"ukvm/net/event"
	"ukvm/net/packet"
	"ukvm/net/tcp"
)

// The types of the event loop, see package ukvm.dev/guest/net/event.
type (
	TCPNet   = event.TCP      // what TCP returns
	UDPNet   = event.UDP      // what UDP returns
	Listener = event.Listener // waits for connections
	Conn     = event.Conn     // is a connection
	Socket   = event.Socket   // sends and receives datagrams
	Timer    = event.Timer    // calls back when time has passed
)

// Errors of the event loop.
var (
	ErrClosed  = event.ErrClosed
	ErrAborted = event.ErrAborted
	ErrFull    = event.ErrFull
	ErrLimit   = event.ErrLimit

	ErrReset       = tcp.ErrReset      // the peer has aborted the connection
	ErrTimeout     = tcp.ErrTimeout    // the peer does not answer
	ErrRefused     = packet.ErrRefused // nobody listens
	ErrUnreachable = packet.ErrHostUnreachable
	ErrInUse       = tcp.ErrInUse // the port has another owner
)

// InGuest reports whether the program runs in a guest, rather than as a Linux program.
func InGuest() bool { return kernel.InGuest() }

// loop is the event loop of the stack that sockets use, too, or natively one of its own.
func loop() *event.Loop {
	if !kernel.InGuest() {
		return nativeLoop()
	}
	return net.System().Events()
}
