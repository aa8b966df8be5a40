package packet

import (
	"errors"
	"net/netip"
)

// What can become of a packet on its way.
var (
	ErrNetUnreachable   = errors.New("network is unreachable")
	ErrHostUnreachable  = errors.New("no route to host")
	ErrRefused          = errors.New("connection refused") // nobody has the port
	ErrProtoUnreachable = errors.New("protocol not available")
	ErrTooBig           = errors.New("message too long")
)

// Failure is the news, from an ICMP message or from a neighbour's silence, that a packet of ours did not arrive. It is
// valid during the call only, and no more to be trusted than any packet: who gets it checks that Header is of a packet
// that can be on its way (RFC 5927).
type Failure struct {
	Src, Dst netip.Addr // of the packet
	Proto    uint8
	Header   []byte // the start of its transport header, at least 8 bytes
	Err      error
	Hard     bool // it makes no sense to try again (RFC 1122 §4.2.3.9)
	MTU      int  // with ErrTooBig: what would have fitted; 0 if unknown
}

// FailureHandler takes a Failure.
type FailureHandler func(*Failure)
