// Package netif is the host's end of a guest's network card: the interface between the network device (package
// devices) and what carries its frames. Backends are in the packages below it: user (no privileges needed), tap (a TAP
// device in a network namespace of choice), packet (an interface that exists) and pair (in memory, for tests); pcap captures what passes over any of them,
// and policy has the kernel check it on a TAP device.
// Package netiftest has what they must all pass.
package netif

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Link carries frames between a guest and the host. Send may run beside Receive and Arm, but at most one Send runs at a
// time, and at most one Receive or Arm. The memory behind Frame.Data is the caller's: it is not kept after the call
// returns. It may be guest memory that changes while it is read, so an implementation that looks at a frame looks at a
// copy of its own.
//
// A link may do all its work inside these calls, on the caller's thread: whoever has one watches FD, and calls Receive,
// also while the guest is busy.
type Link interface {
	// Send transmits frames in order and returns how many it is done with. It never blocks. Frames the link has no
	// room for, or that are no frames, are dropped and counted, as Ethernet does; n < len(frames) only with an error,
	// and an error means that the link will not carry frames again.
	Send(frames []Frame) (n int, err error)

	// Receive stores waiting frames into frames, one each, sets Len and Header of those, and returns how many. It
	// never blocks: with nothing waiting it returns 0, nil. A frame that does not fit the Data it is given is dropped
	// and counted, and leaves that Data to the next one, with bytes of the dropped frame in it. An error means that
	// the link will not carry frames again.
	Receive(frames []Frame) (n int, err error)

	// Arm prepares for sleeping. If it reports true, call Receive again: it may have something to return. If it
	// reports false, FD is readable if something waits, or becomes so as soon as something does. After Close it
	// reports true.
	Arm() bool

	// FD is a file descriptor to poll(2) for POLLIN after Arm. It may become readable without anything to receive,
	// and ceases to be with the next Receive that drains the link. The link owns it. After a Receive it may be another.
	FD() int

	// Close releases what the link holds, after the calls that are under way. Send and Receive fail with ErrClosed
	// afterwards. Nobody may still poll FD: the number can be in use again at once. Close is idempotent and may be
	// called by anyone at any time.
	Close() error
}

// Dialer is a Link through which the host can reach the guest directly.
type Dialer interface {
	// DialContext connects to a port of the guest. Network is "tcp" or "udp", and only the port of address counts.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Drainer is a Link that acknowledges to a guest what others have not got yet.
type Drainer interface {
	// Drain passes on what the guest has sent, after its end: until all is on its way, nobody has taken any of it for seconds, or
	// quit is closed. Send, Receive and Arm are not called meanwhile or afterwards.
	Drain(quit <-chan struct{})
}

// Offloader is a Link that can leave work on frames to the other side.
type Offloader interface {
	// Features is what the link can do. It does none of it until SetFeatures.
	Features() Features

	// SetFeatures switches on what the guest has agreed to, before the first frame. It fails, and changes nothing, if
	// f is more than Features.
	SetFeatures(f Features) error
}

// Features are the offloads of a Link, seen from the guest.
type Features struct {
	TxChecksum bool // Send takes frames with hypercall.NeedsCsum and completes them
	RxChecksum bool // Receive may return frames with hypercall.NeedsCsum or hypercall.DataValid
	TxSegment  int  // longest frame in bytes that Send takes with hypercall.GSOTCP4; 0: none. Needs TxChecksum
	RxSegment  int  // longest frame in bytes that Receive may return with hypercall.GSOTCP4; 0: none. Needs RxChecksum
	TCP6       bool // what is said of GSOTCP4 holds for hypercall.GSOTCP6 too
}

// Within reports whether f asks for nothing that is not in all.
func (f Features) Within(all Features) bool {
	return (!f.TxChecksum || all.TxChecksum) && (!f.RxChecksum || all.RxChecksum) &&
		f.TxSegment <= all.TxSegment && f.RxSegment <= all.RxSegment && (!f.TCP6 || all.TCP6)
}

// Counter is a Link that counts. Counters may be called at any time, also after Close.
type Counter interface {
	Counters() Counters
}

// Counters count frames since the link was made, seen from the guest. Frames that were dropped are not in Frames and
// Bytes.
type Counters struct {
	TxFrames  uint64 // taken by Send
	TxBytes   uint64
	TxDropped uint64
	RxFrames  uint64 // returned by Receive, or taken by the guest itself from a ring, as it says (RingLink)
	RxBytes   uint64
	RxDropped uint64
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
	DNS    []netip.Addr // at most three IPv4 and two IPv6 addresses
	Search []string     // DNS search list
	Host   netip.Addr   // stands for the host's loopback; zero: the guest cannot reach it

	IP6     bool         // the link carries IPv6: the guest has a link-local address
	Routers bool         // with IP6: ask routers for addresses, routes and DNS servers (RFC 4862, RFC 8106)
	Addr6   netip.Prefix // with IP6: an address and prefix length
	Router6 netip.Addr   // with IP6: default router
	Key     [16]byte     // secret that IPv6 interface identifiers are made from (RFC 7217); zero: others at each start
}
