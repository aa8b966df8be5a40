package user

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// routable reports whether packets to a may leave the link at all: it is not "this network" (on Linux another name for
// the loopback), loopback, link-local, multicast, reserved or broadcast (RFC 6890).
func routable(a netip.Addr) bool {
	return a.Is4() && a.As4()[0] != 0 && !a.IsLoopback() && !a.IsLinkLocalUnicast() && a.As4()[0] < 224
}

// policy says what the guest's packets to an address mean. It is safe for concurrent use.
type policy struct {
	plan *plan

	mu    sync.Mutex
	local []netip.Prefix // of loopback devices
	until time.Time      // local is taken for true
}

// localTTL is how long the addresses of loopback devices are kept.
const localTTL = 5 * time.Second

// verdict is what to do with a flow of the guest.
type verdict int

const (
	forward verdict = iota // dial the address
	absent                 // nobody has the address: unreachable
	refuse                 // ours, but nothing there: refused
	forbid                 // the host's loopback: prohibited
)

// forward decides on a flow to dst and returns what to dial for it. Packets that are not routable do not get here.
func (p *policy) decide(dst netip.AddrPort) (netip.AddrPort, verdict) {
	a := dst.Addr()
	switch {
	case a == p.plan.host && p.plan.HostLoopback:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dst.Port()), forward
	case a == p.plan.host6 && p.plan.HostLoopback:
		return netip.AddrPortFrom(netip.IPv6Loopback(), dst.Port()), forward
	case p.plan.isOurs(a):
		return dst, refuse
	case p.plan.Subnet.Contains(a), p.plan.Subnet6.Contains(a):
		return dst, absent
	case p.onLoopback(a):
		return dst, forbid
	}
	return dst, forward
}

// onLoopback reports whether the host has a on a loopback device, where services listen that nobody else shall reach.
// Linux takes the whole network of such an address for its own.
func (p *policy) onLoopback(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.After(p.until) {
		p.local, p.until = loopbackNetworks(), now.Add(localTTL)
	}
	for _, network := range p.local {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

func loopbackNetworks() (networks []netip.Prefix) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil // nothing is known; 127.0.0.0/8 is not routable anyway
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, addr := range addrs {
			if n, ok := addr.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(n.IP)
				ones, _ := n.Mask.Size()
				networks = append(networks, netip.PrefixFrom(ip.Unmap(), ones))
			}
		}
	}
	return networks
}
