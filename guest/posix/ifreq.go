package posix

import (
	"syscall"
	"unsafe"
)

// Requests about network interfaces (netdevice(7)).
const (
	siocgifname    = 0x8910
	siocgifflags   = 0x8913
	siocgifaddr    = 0x8915
	siocgifbrdaddr = 0x8919
	siocgifnetmask = 0x891b
	siocgifmtu     = 0x8921
	siocgifhwaddr  = 0x8927
	siocgifindex   = 0x8933
)

// ifreq is struct ifreq: a name, and a union of which the first 16 bytes are used.
type ifreq struct {
	name [16]byte
	data [24]byte
}

// ARP hardware types (if_arp.h) and flags of interfaces.
const (
	arphrdEther    = 1
	arphrdLoopback = 772
	iffLowerUp     = 0x10000
)

// interfaces describes the network interfaces, of all families that can.
func (s *System) interfaces() (all []Interface) {
	s.mu.Lock()
	var by []Interfacer
	for _, family := range [...]uint16{syscall.AF_INET, syscall.AF_INET6} {
		if f, ok := s.families[family].(Interfacer); ok && (len(by) == 0 || by[0] != f) {
			by = append(by, f)
		}
	}
	s.mu.Unlock()
	for _, f := range by {
		all = append(all, f.Interfaces()...)
	}
	return all
}

func (i *Interface) flags() (f uint32) {
	f = syscall.IFF_BROADCAST | syscall.IFF_MULTICAST
	if i.Loopback {
		f = syscall.IFF_LOOPBACK
	}
	if i.Up {
		f |= syscall.IFF_UP | syscall.IFF_RUNNING | iffLowerUp
	}
	return f
}

func (i *Interface) hardwareType() uint16 {
	if i.Loopback {
		return arphrdLoopback
	}
	return arphrdEther
}

// interfaceIoctl serves the requests that read. Errors: ENOTTY for others, ENODEV, EADDRNOTAVAIL, EFAULT.
func (s *System) interfaceIoctl(request uint32, p unsafe.Pointer) syscall.Errno {
	switch request {
	case siocgifname, siocgifflags, siocgifaddr, siocgifbrdaddr, siocgifnetmask, siocgifmtu, siocgifhwaddr, siocgifindex:
	default:
		return syscall.ENOTTY
	}
	if p == nil {
		return syscall.EFAULT
	}
	r := (*ifreq)(p)
	index, name := int(int32(get32(r.data[:]))), cString(r.name[:])
	for _, i := range s.interfaces() {
		if request == siocgifname && i.Index == index {
			clear(r.name[:])
			copy(r.name[:15], i.Name)
			return 0
		}
		if request != siocgifname && i.Name == name {
			return i.answer(request, r)
		}
	}
	return syscall.ENODEV
}

func (i *Interface) answer(request uint32, r *ifreq) syscall.Errno {
	switch request {
	case siocgifindex:
		put32(r.data[:], uint32(i.Index))
	case siocgifmtu:
		put32(r.data[:], uint32(i.MTU))
	case siocgifflags:
		f := i.flags()
		r.data[0], r.data[1] = byte(f), byte(f>>8)
	case siocgifhwaddr:
		typ := i.hardwareType()
		r.data[0], r.data[1] = byte(typ), byte(typ>>8)
		copy(r.data[2:], i.Hardware[:])
	default:
		return i.answerAddress(request, r)
	}
	return 0
}

// answerAddress stores the first IPv4 address, its mask or its broadcast address.
func (i *Interface) answerAddress(request uint32, r *ifreq) syscall.Errno {
	for _, prefix := range i.Addrs {
		if prefix.Family != syscall.AF_INET {
			continue
		}
		a := prefix.as4()
		mask := ^uint32(0) << (32 - prefix.Bits)
		for k := range a {
			m := byte(mask >> (24 - 8*k))
			switch request {
			case siocgifnetmask:
				a[k] = m
			case siocgifbrdaddr:
				a[k] |= ^m
			}
		}
		clear(r.data[:16])
		r.data[0] = syscall.AF_INET
		copy(r.data[4:], a[:])
		return 0
	}
	return syscall.EADDRNOTAVAIL
}
