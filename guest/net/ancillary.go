package net

import (
	"net/netip"
	"syscall"

	"ukvm.dev/guest/net/dgram"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/posix"
)

// ancillaryOf is the control message that an option asks for, 0 if it is no such option.
func ancillaryOf(level, name int) posix.AncillaryFields {
	switch level {
	case solIP:
		switch name {
		case ipPktInfo:
			return posix.AncillaryPktInfo4
		case ipRecvTTL:
			return posix.AncillaryTTL
		case ipRecvTOS:
			return posix.AncillaryTOS
		}
	case solIPv6:
		switch name {
		case ipv6RecvPktInfo:
			return posix.AncillaryPktInfo6
		case ipv6RecvHopLimit:
			return posix.AncillaryHopLimit
		case ipv6RecvTClass:
			return posix.AncillaryTClass
		}
	}
	return 0
}

// want turns a control message on or off. It reports false for an option that is about none.
func (k *common) want(level, name int, on bool) bool {
	f := ancillaryOf(level, name)
	k.wanted &^= f
	if on {
		k.wanted |= f
	}
	return f != 0
}

// Control messages that a datagram of one version never has: those of the other, but for IPV6_PKTINFO, which as on Linux
// has IPv4 addresses in IPv6 form.
const (
	ancillary4 = posix.AncillaryPktInfo4 | posix.AncillaryTTL | posix.AncillaryTOS
	ancillary6 = posix.AncillaryHopLimit | posix.AncillaryTClass
)

// describe stores into a, which may be nil, what the socket's options ask to know of a datagram.
func (k *common) describe(p *packet.Packet, a *posix.Ancillary) {
	if a == nil || k.wanted == 0 {
		return
	}
	*a = posix.Ancillary{
		Has: k.wanted &^ ancillary6, Link: uint32(p.Link), Local: toPosix(netip.AddrPortFrom(p.Dst, 0)),
		Hops: p.TTL, Class: p.TOS,
	}
	if p.Dst.Is6() {
		a.Has = k.wanted &^ ancillary4
		return
	}
	own := p.Dst
	if n := p.Link - firstCard; n >= 0 && n < len(k.stack.interfaces) && !k.stack.boxes.IP4.IsLocal(own) {
		own = k.stack.interfaces[n].link.Addr() // it went to a group, or to all
	}
	if own.IsValid() {
		a.Own = toPosix(netip.AddrPortFrom(own, 0))
	}
}

// options adds what a, which may be nil, says about a datagram to be sent. Errors: ENETUNREACH or, of IPv6, EINVAL for an
// address that is not this host's, ENODEV for an interface there is none of.
func (k *common) options(o *dgram.Options, a *posix.Ancillary) syscall.Errno {
	if a == nil {
		return 0
	}
	o.TTL = a.Hops
	o.TOS, o.HasTOS = a.Class, a.Has&(posix.AncillaryTOS|posix.AncillaryTClass) != 0
	if a.Link != 0 {
		link := int(a.Link)
		switch {
		case a.Link > 1<<16 || k.stack.linkName(link) == "":
			return syscall.ENODEV
		case k.device != 0 && k.device != link, o.Link != 0 && o.Link != link:
			return syscall.EINVAL
		}
		o.Link = link
	}
	src, _ := inner(fromPosix(a.Local).Addr())
	switch {
	case !src.IsValid() || src.IsUnspecified():
		return 0
	case src.Is4() && !k.stack.boxes.IP4.IsLocal(src):
		return syscall.ENETUNREACH
	case src.Is6() && !k.stack.boxes.IP6.IsLocal(src):
		return syscall.EINVAL
	case src.IsLinkLocalUnicast() && src.Is6():
		owner := k.stack.boxes.IP6.LinkOf(src)
		if o.Link != 0 && o.Link != owner && o.Link != k.stack.lo.Index {
			return syscall.EINVAL
		}
		o.Link = owner
	}
	o.Src = src
	return 0
}
