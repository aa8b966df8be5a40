//go:build !ukvm

package guest

import "ukvm.dev/guest/net/event"

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
)

// InGuest reports whether the program runs in a guest, rather than as a Linux program.
func InGuest() bool { return false }

func loop() *event.Loop { return nativeLoop() }
