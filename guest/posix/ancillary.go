package posix

import "syscall"

// Ancillary is what is known of a datagram, or asked for it, beside its bytes: what control messages of IPPROTO_IP and
// IPPROTO_IPV6 hold (ip(7), ipv6(7), RFC 3542).
type Ancillary struct {
	Has   AncillaryFields
	Link  uint32 // the interface it came through, or is to leave through (0: any)
	Local Addr   // where it was sent to; or the address it is to be sent from, if not none
	Own   Addr   // received, IPv4: the interface's own address
	Hops  uint8  // TTL or hop limit; to send, 0 is the socket's own
	Class uint8  // type of service or traffic class
}

// AncillaryFields says which control messages there are.
type AncillaryFields uint8

// The control messages.
const (
	AncillaryPktInfo4 AncillaryFields = 1 << iota // IP_PKTINFO
	AncillaryPktInfo6                             // IPV6_PKTINFO
	AncillaryTTL                                  // IP_TTL
	AncillaryHopLimit                             // IPV6_HOPLIMIT
	AncillaryTOS                                  // IP_TOS
	AncillaryTClass                               // IPV6_TCLASS
)

// Messenger is an optional ability of a Socket: Recv and Send with ancillary data.
type Messenger interface {
	// RecvMessage is Recv, and stores what the socket's options ask for (IP_PKTINFO, IPV6_RECVPKTINFO, …) into a.
	RecvMessage(p []byte, flags int, a *Ancillary) (n int, from Addr, mflags int, errno syscall.Errno)

	// SendMessage is Send as a says. Errors: also EINVAL, ENODEV.
	SendMessage(p []byte, to Addr, flags int, a *Ancillary) (n int, errno syscall.Errno)
}

// Types of control messages, and sizes of struct in_pktinfo and struct in6_pktinfo.
const (
	ipPktInfo    = 8
	ipv6PktInfo  = 50
	ipv6HopLimit = 52
	ipv6TClass   = 67

	sizePktInfo4 = 12
	sizePktInfo6 = 20
)

// parse takes a control message to send, for a socket of a family. Errors: EINVAL.
func (a *Ancillary) parse(m cmsg, family uint16) syscall.Errno {
	switch {
	case m.level == syscall.IPPROTO_IP:
		return a.parse4(m)
	case m.level == syscall.IPPROTO_IPV6 && family == syscall.AF_INET6:
		return a.parse6(m)
	}
	return 0 // another protocol's
}

func (a *Ancillary) parse4(m cmsg) syscall.Errno {
	switch m.typ {
	case ipPktInfo:
		if len(m.data) != sizePktInfo4 {
			return syscall.EINVAL
		}
		a.Has |= AncillaryPktInfo4
		a.Link, a.Local = get32(m.data), Addr4([4]byte(m.data[4:8]), 0)
		if a.Local.as4() == [4]byte{} {
			a.Local = Addr{}
		}
		return 0
	case syscall.IP_TTL:
		if len(m.data) != 4 {
			return syscall.EINVAL
		}
		return a.small(AncillaryTTL, &a.Hops, m.data, 1)
	case syscall.IP_TOS:
		if len(m.data) == 1 {
			a.Has |= AncillaryTOS
			a.Class = m.data[0]
			return 0
		}
		return a.small(AncillaryTOS, &a.Class, m.data, 0)
	}
	return syscall.EINVAL
}

func (a *Ancillary) parse6(m cmsg) syscall.Errno {
	switch m.typ {
	case ipv6PktInfo:
		if len(m.data) < sizePktInfo6 {
			return syscall.EINVAL
		}
		a.Has |= AncillaryPktInfo6
		a.Link = get32(m.data[16:])
		a.Local = Addr{Family: syscall.AF_INET6, Scope: a.Link, IP: [16]byte(m.data[:16])}
		if a.Local.IP == [16]byte{} {
			a.Local = Addr{}
		}
		return 0
	case ipv6HopLimit:
		return a.small(AncillaryHopLimit, &a.Hops, m.data, 0)
	case ipv6TClass:
		return a.small(AncillaryTClass, &a.Class, m.data, 0)
	}
	return syscall.EINVAL
}

// small takes an int from least to 255, or -1, which is as if nothing had been said.
func (a *Ancillary) small(f AncillaryFields, p *uint8, v []byte, least int32) syscall.Errno {
	if len(v) != 4 {
		return syscall.EINVAL
	}
	x := int32(get32(v))
	if x == -1 && least == 0 {
		return 0
	}
	if x < least || x > 255 {
		return syscall.EINVAL
	}
	a.Has |= f
	*p = uint8(x)
	return 0
}

// store stores control messages into b, in Linux's order. It returns how much of b it used, and whether something did not fit.
func (a *Ancillary) store(b []byte) (used int, cut bool) {
	put := func(f AncillaryFields, level int, typ int, data []byte) {
		if a.Has&f == 0 {
			return
		}
		at := b[used:]
		if len(at) < cmsgHeader {
			cut = true
			return
		}
		n := cmsgHeader + len(data)
		if len(at) < n { // as much of it as there is room for
			cut, n = true, len(at)
		}
		putCmsg(at, n, level, typ)
		copy(at[cmsgHeader:], data)
		used += min(cmsgAlign(n), len(at))
	}
	var info [sizePktInfo6]byte
	local6 := a.Local.as16()
	copy(info[:], local6[:])
	put32(info[16:], a.Link)
	put(AncillaryPktInfo6, syscall.IPPROTO_IPV6, ipv6PktInfo, info[:])
	put(AncillaryHopLimit, syscall.IPPROTO_IPV6, ipv6HopLimit, []byte{a.Hops, 0, 0, 0})
	put(AncillaryTClass, syscall.IPPROTO_IPV6, ipv6TClass, []byte{a.Class, 0, 0, 0})
	own, local := a.Own.as4(), a.Local.as4()
	put32(info[:], a.Link)
	copy(info[4:], own[:])
	copy(info[8:], local[:])
	put(AncillaryPktInfo4, syscall.IPPROTO_IP, ipPktInfo, info[:sizePktInfo4])
	put(AncillaryTTL, syscall.IPPROTO_IP, syscall.IP_TTL, []byte{a.Hops, 0, 0, 0})
	put(AncillaryTOS, syscall.IPPROTO_IP, syscall.IP_TOS, []byte{a.Class}) // one byte, unlike all others
	return used, cut
}
