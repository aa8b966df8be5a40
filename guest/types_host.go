//go:build !ukvm

package guest

import (
	"ukvm.dev/guest/net/event"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/tcp"
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
func InGuest() bool { return false }

func loop() *event.Loop { return nativeLoop() }
