package net

import (
	"syscall"

	"ukvm.dev/guest/net/dgram"
)

// setSending sets an option that datagram and ICMP sockets have alike: about what they send, and which control messages
// they want with what arrives. ok is false if it is none of those.
func (k *common) setSending(s *dgram.Sending, level, name, x int) (e syscall.Errno, ok bool) {
	if k.want(level, name, x != 0) {
		return 0, true
	}
	switch level {
	case solIP:
		switch name {
		case ipTTL:
			return setByte(&s.TTL, x, 1, 0), true
		case ipTOS:
			return setByte(&s.TOS, x, 0, 0), true
		case ipMulticastTTL:
			return setMulticastTTL(s, x), true
		case ipMulticastLoop:
			s.MulticastLoop = x != 0
			return 0, true
		}
	case solIPv6:
		switch name {
		case ipv6UnicastHops:
			return setByte(&s.TTL, x, 0, 0), true
		case ipv6TClass:
			return setByte(&s.TOS, x, 0, 0), true
		case ipv6MulticastHops:
			return setMulticastTTL(s, x), true
		case ipv6MulticastLoop:
			s.MulticastLoop = x != 0
			return 0, true
		case ipv6MulticastIf:
			if x != 0 && k.stack.linkName(x) == "" {
				return syscall.ENODEV, true
			}
			s.MulticastLink = x
			return 0, true
		}
	}
	return 0, false
}

// setMulticastTTL stores a TTL whose default is 1, not that of what is sent to hosts.
func setMulticastTTL(s *dgram.Sending, x int) syscall.Errno {
	if x == -1 {
		x = 1
	}
	return setByte(&s.MulticastTTL, x, 0, 0)
}

// sendingOption gets an option that setSending sets.
func (k *common) sendingOption(s *dgram.Sending, level, name int, v []byte) (n int, e syscall.Errno, ok bool) {
	x := 0
	switch {
	case ancillaryOf(level, name) != 0:
		x = boolInt(k.wanted&ancillaryOf(level, name) != 0)
	case level == solIP && name == ipTTL:
		x = ttlOf(s.TTL)
	case level == solIPv6 && name == ipv6UnicastHops:
		x = hopsOf(s.TTL)
	case level == solIP && name == ipTOS, level == solIPv6 && name == ipv6TClass:
		x = int(s.TOS)
	case level == solIP && name == ipMulticastTTL, level == solIPv6 && name == ipv6MulticastHops:
		x = int(s.MulticastTTL)
	case level == solIP && name == ipMulticastLoop, level == solIPv6 && name == ipv6MulticastLoop:
		x = boolInt(s.MulticastLoop)
	case level == solIPv6 && name == ipv6MulticastIf:
		x = s.MulticastLink
	default:
		return 0, 0, false
	}
	n, e = putInts(v, x)
	return n, e, true
}
