package user

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

var be = binary.BigEndian

// Neighbour discovery (RFC 4861) as far as a router needs it whose only neighbour's MAC address is known: it answers
// solicitations, and says what the network is. The guest makes its addresses itself (RFC 4862) and gets its resolver with
// the advertisement (RFC 8106).
const (
	ndpHopLimit = 255 // of all messages: nobody beyond the link can have sent them

	routerSolicitation    = 133
	routerAdvertisement   = 134
	neighborSolicitation  = 135
	neighborAdvertisement = 136

	optionSourceMAC = 1
	optionTargetMAC = 2
	optionPrefix    = 3
	optionLinkMTU   = 5
	optionResolvers = 25

	forever = ^uint32(0)

	// routerLifetime is the most that section 6.2.1 allows, and advertiseEvery makes it never end.
	routerLifetime = 9000 // seconds
	advertiseEvery = routerLifetime / 3 * time.Second
)

// routerLinkLocal is what advertisements come from, as they must come from such an address.
var routerLinkLocal = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: hostRouter})

// allNodes is the group of every host on the link.
var allNodes = netip.IPv6LinkLocalAllNodes()

// advertiser repeats the advertisement for a guest that has once asked for it. Others are left asleep.
type advertiser struct {
	mu     sync.Mutex
	timer  *time.Timer
	closed bool
}

func (a *advertiser) start(advertise func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil || a.closed {
		return
	}
	a.timer = time.AfterFunc(advertiseEvery, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.closed {
			advertise()
			a.timer.Reset(advertiseEvery)
		}
	})
}

func (a *advertiser) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// inputNDP reports whether ip, an ICMPv6 packet, is a message of neighbour discovery or of multicast listeners, and answers
// solicitations.
func (l *Link) inputNDP(ip header.IPv6, src, dst netip.Addr) bool {
	icmp := header.ICMPv6(ip.Payload())
	if len(icmp) < header.ICMPv6MinimumSize {
		return false
	}
	switch icmp.Type() {
	case routerSolicitation, neighborSolicitation:
	case routerAdvertisement, neighborAdvertisement, header.ICMPv6RedirectMsg,
		header.ICMPv6MulticastListenerQuery, header.ICMPv6MulticastListenerReport, header.ICMPv6MulticastListenerDone,
		header.ICMPv6MulticastListenerV2Report:
		l.ignored.Add(1)
		return true
	default:
		return false
	}
	sum := header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()})
	if ip.HopLimit() != ndpHopLimit || icmp.Code() != 0 || icmp.Checksum() != sum {
		l.blocked.Add(1)
		return true
	}
	to := src
	if to.IsUnspecified() { // it looks whether an address is free
		to = allNodes
	}
	if icmp.Type() == routerSolicitation {
		l.advertiseRouter(to)
		l.advertiser.start(func() { l.advertiseRouter(allNodes) })
		return true
	}
	const target = 8 // offset
	if len(icmp) < target+16 {
		l.blocked.Add(1)
		return true
	}
	if a := netip.AddrFrom16([16]byte(icmp[target:])); l.plan.isOurs(a) {
		l.advertiseNeighbor(to, a, src.IsUnspecified())
	}
	return true
}

// advertiseNeighbor says that target is the router's (section 4.4).
func (l *Link) advertiseNeighbor(to, target netip.Addr, unasked bool) {
	packet := buffer.NewViewSize(header.IPv6MinimumSize + 24 + 8)
	b := packet.AsSlice()[header.IPv6MinimumSize:]
	const router, solicited, override = 1 << 7, 1 << 6, 1 << 5
	b[0], b[4] = neighborAdvertisement, router|override
	if !unasked {
		b[4] |= solicited
	}
	copy(b[8:], target.AsSlice())
	b[24], b[25] = optionTargetMAC, 1
	copy(b[26:], l.plan.routerMAC[:])
	l.sendICMPv6(packet, target, to, ndpHopLimit)
}

// advertiseRouter says what the network is (section 4.2).
func (l *Link) advertiseRouter(to netip.Addr) {
	b := make([]byte, header.IPv6MinimumSize+16, 128)
	message := b[header.IPv6MinimumSize:]
	message[0], message[4] = routerAdvertisement, ttl
	be.PutUint16(message[6:], routerLifetime)

	b = append(b, optionSourceMAC, 1)
	b = append(b, l.plan.routerMAC[:]...)

	b = append(b, optionLinkMTU, 1, 0, 0)
	b = be.AppendUint32(b, uint32(l.plan.MTU))

	const onLink, autonomous = 1 << 7, 1 << 6
	b = append(b, optionPrefix, 4, byte(l.plan.Subnet6.Bits()), onLink|autonomous)
	b = be.AppendUint32(b, forever) // valid
	b = be.AppendUint32(b, forever) // preferred
	b = append(b, 0, 0, 0, 0)
	b = append(b, l.plan.Subnet6.Addr().AsSlice()...)

	b = append(b, optionResolvers, 3, 0, 0)
	b = be.AppendUint32(b, forever)
	b = append(b, l.plan.dns6.AsSlice()...)
	l.sendICMPv6(buffer.NewViewWithData(b), routerLinkLocal, to, ndpHopLimit)
}
