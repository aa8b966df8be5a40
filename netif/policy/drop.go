package policy

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// Reason is why a packet did not pass.
type Reason uint8

// Reasons. Passed is that of counters alone.
const (
	Passed Reason = iota
	Malformed
	Tagged
	ForeignMAC
	ForeignSource
	OtherProtocol
	RouterMessage
	NoRule
	TooFast
	reasons // how many there are
)

var reasonTexts = [reasons]string{
	Passed:        "it has passed",
	Malformed:     "it is cut off or malformed",
	Tagged:        "it has a VLAN tag",
	ForeignMAC:    "its source MAC address is not the guest's",
	ForeignSource: "its source address is not the guest's (addr=ADDR allows another)",
	OtherProtocol: "it is neither IP nor ARP",
	RouterMessage: "only routers may send it",
	NoRule:        "no rule allows it",
	TooFast:       "the guest sends more packets than its rate",
}

func (r Reason) String() string {
	if r < reasons {
		return reasonTexts[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// eventSize is the size of an event in the ring buffer, and these are places in it. Numbers of more than a byte are as on
// the wire, but for the length.
//
//	0 reason   1 direction   2 EtherType   4 protocol   5 type of ICMP   6 source port   8 destination port   10 source MAC
//	16 source address   32 destination address   48 length
const (
	eventSize = 56

	atReason    = 0
	atDirection = 1
	atType      = 2
	atProtocol  = 4
	atICMP      = 5
	atSrcPort   = 6
	atDstPort   = 8
	atMAC       = 10
	atSrc       = 16
	atDst       = 32
	atLength    = 48
)

// Drop is a packet that did not pass. What was not looked at before that is zero.
type Drop struct {
	Reason    Reason
	FromGuest bool
	EtherType uint16
	Protocol  uint8
	MAC       [6]byte        // source
	Src, Dst  netip.AddrPort // of ARP: sender and target, with port 0
	Length    int            // of the frame in bytes
}

func parseDrop(b []byte) (d Drop, ok bool) {
	if len(b) < eventSize {
		return d, false
	}
	be := binary.BigEndian
	d = Drop{
		Reason: Reason(b[atReason]), FromGuest: b[atDirection] == 0, EtherType: be.Uint16(b[atType:]), Protocol: b[atProtocol],
		MAC: [6]byte(b[atMAC:]), Length: int(binary.LittleEndian.Uint32(b[atLength:])),
	}
	addr := func(at int) netip.Addr {
		if d.EtherType == etherIPv6 {
			return netip.AddrFrom16([16]byte(b[at:]))
		}
		return netip.AddrFrom4([4]byte(b[at:]))
	}
	d.Src = netip.AddrPortFrom(addr(atSrc), be.Uint16(b[atSrcPort:]))
	d.Dst = netip.AddrPortFrom(addr(atDst), be.Uint16(b[atDstPort:]))
	return d, true
}

// String is a sentence without its full stop.
func (d Drop) String() string {
	whose := "a packet for the guest"
	if d.FromGuest {
		whose = "a packet of the guest"
	}
	return fmt.Sprintf("%s was dropped: %s: %s, %d bytes", whose, d.Reason, d.packet(), d.Length)
}

func (d Drop) packet() string {
	if d.Reason == Malformed && !d.Src.Addr().IsValid() || d.Src.Addr().IsUnspecified() && d.Dst.Addr().IsUnspecified() {
		return fmt.Sprintf("EtherType %#04x from %v", d.EtherType, net.HardwareAddr(d.MAC[:]))
	}
	switch {
	case d.EtherType == etherARP:
		return fmt.Sprintf("arp of %v (%v) about %v", d.Src.Addr(), net.HardwareAddr(d.MAC[:]), d.Dst.Addr())
	case d.Src.Port() != 0 || d.Dst.Port() != 0:
		return fmt.Sprintf("%v %v > %v", Protocol(d.Protocol), d.Src, d.Dst)
	}
	return fmt.Sprintf("%v %v > %v", Protocol(d.Protocol), d.Src.Addr(), d.Dst.Addr())
}
