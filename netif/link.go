// Package netif is the host's end of a guest's network card: the interface between the network device (package
// devices) and what carries its frames. Backends are in the packages below it: user (no privileges needed), tap (a TAP
// device in a network namespace of choice) and pair (in memory, for tests).
package netif

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"ukvm.dev/hypercall"
)

// Frame is one Ethernet frame without its check sequence, from destination address to end of payload.
type Frame struct {
	Header hypercall.NetHeader
	Data   [][]byte // the pieces that make up the frame, in order; they may lie in guest memory
	Len    int      // length of the frame in bytes, at most the sum of the lengths of Data
}

// Link carries frames between a guest and the host. Send and Receive may be called at the same time, but neither by two
// callers at once. The memory behind Frame.Data is the caller's: it is not kept after the call returns. It may be guest
// memory that changes while it is read, so an implementation that looks at a frame looks at a copy of its own.
type Link interface {
	// Send transmits frames in order and returns how many it is done with. It never blocks. Frames the link has no
	// room for are dropped and counted, as Ethernet does; n < len(frames) only with an error.
	Send(frames []Frame) (n int, err error)

	// Receive stores waiting frames into frames, one each, sets Len and Header of those, and returns how many. It
	// never blocks: with nothing waiting it returns 0, nil. A frame that does not fit the Data it is given is dropped
	// and counted.
	Receive(frames []Frame) (n int, err error)

	// Arm prepares for sleeping: it reports whether Receive has something to return. If not, FD becomes readable as
	// soon as it has.
	Arm() bool

	// FD is a file descriptor to poll(2) for POLLIN after Arm. The link owns it; it stays the same until Close.
	FD() int

	// Close releases what the link holds. Send, Receive and Arm fail with ErrClosed afterwards. Close is idempotent.
	Close() error
}

// Dialer is a Link through which the host can reach the guest directly.
type Dialer interface {
	// DialContext connects to a port of the guest. Network is "tcp" or "udp", and only the port of address counts.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// ErrClosed is returned by the methods of a Link that has been closed.
var ErrClosed = errors.New("network link is closed")

// Config is what the guest is told about its side of a Link.
type Config struct {
	MAC    [6]byte      // locally administered unless the user chose it
	MTU    int          // largest IP packet in bytes, 576 to 65535
	DHCP   bool         // ask a DHCP server for the rest
	Addr   netip.Prefix // IPv4 address and prefix length
	Router netip.Addr   // default router
	DNS    []netip.Addr // at most three
	Search []string     // DNS search list
	Host   netip.Addr   // stands for the host's loopback; zero: the guest cannot reach it
}
