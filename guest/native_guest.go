//go:build ukvm

package guest

import (
	"ukvm/net"
	"ukvm/net/event"
	"ukvm/net/packet"
	"ukvm/net/ready"
	"ukvm/net/timer"
)

// What native.go is made of, under the names that it has in both variants.
type (
	eventLoop     = event.Loop
	eventHost     = event.Host
	eventAcceptor = event.Acceptor
	eventStream   = event.Stream
	eventPort     = event.Port
	pool          = packet.Pool
	packetQueue   = packet.Queue
	aPacket       = packet.Packet
	wheel         = timer.Wheel
	events        = ready.Events
	clock         = net.Clock
)

const (
	eventIn    = ready.In
	eventOut   = ready.Out
	eventErr   = ready.Err
	eventHup   = ready.Hup
	eventAcked = ready.Acked
)

func newLoop(h eventHost) *eventLoop { return event.New(h) }
func systemClock() clock             { return net.SystemClock() }
