package user

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/resolvconf"
)

// Config is what a Link is made with. The zero value is the default network with nothing published.
type Config struct {
	Subnet  netip.Prefix // of the guest, IPv4, prefix length 8 to 27; zero: 10.0.2.0/24
	Subnet6 netip.Prefix // likewise, IPv6, prefix length 64; zero: fd00::/64
	NoIPv6  bool         // there is no IPv6
	MAC     [6]byte      // of the guest; zero: the same for all, which is no harm, since each is alone on its link
	MTU     int          // largest IP packet in bytes, 576 to 65535, and at least 1280 with IPv6; 0: DefaultMTU

	Publish []Publish

	// HostLoopback lets the guest reach the host's loopback at the address .4 of its subnet.
	HostLoopback bool

	// DNS are the resolvers to ask, at most three; nil: those in the host's resolv.conf, which is read again when it
	// has changed. Search is the guest's search list; nil: the host's.
	DNS    []netip.AddrPort
	Search []string

	// Dial makes the host's side of each connection and flow of the guest, and the queries to resolvers, so it
	// decides what the guest can reach: syscall.ECONNREFUSED makes the guest's attempt refused, EACCES or EPERM
	// prohibited, another error unreachable. Network is "tcp" or "udp", address an IP address and port. A connection
	// that is a *net.TCPConn or *net.UDPConn is used with the least overhead; of others, CloseWrite passes on the end
	// of a stream, if they have it. It must return when ctx is done. Nil: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Ping makes what carries echo requests of the guest to an address, and replies back, a message of ICMP or ICMPv6 each;
	// the identifier in them is its own. Nil: an ICMP socket of the host, or nothing if Dial is set.
	Ping func(ctx context.Context, addr netip.Addr) (net.Conn, error)

	// Zero values of these are the defaults.
	MaxTCP      int           // TCP connections, both ways together; 4096
	MaxPending  int           // of them not yet established; 1024
	MaxUDP      int           // UDP flows, both ways together; 1024
	UDPTimeout  time.Duration // a flow without datagrams ends after this; 60 s
	DialTimeout time.Duration // for the host's side and for the guest's; 30 s

	resolvConf string // for tests; empty: the host's
}

// DefaultMTU makes frames that fit 32 KiB with all that goes before them (network header, Ethernet header, VLAN tag).
// Nothing between guest and host asks for shorter ones, and a frame costs about the same whatever its length; but the
// guest must have memory for the longest that may come, each time. Measured with a web server in a guest of 64 MiB, in
// turns, downloads and uploads of 256 MiB: MTU 1500 540 and 580 MB/s (medians), 16 KiB 1490 and 950, 32 KiB 1850 and 1100,
// 64 KiB 1570 and 930; natively 1600 and 930. Small requests do not tell the difference.
const DefaultMTU = 32<<10 - hypercall.NetHeaderSize - netif.EthernetSize - 4

// Fixed hosts of the subnet.
const (
	hostRouter   = 2
	hostDNS      = 3
	hostLoopback = 4
	hostGuest    = 15
	hostGuest6   = 0x15
)

const (
	minMTU  = 576  // RFC 791 section 3.2
	minMTU6 = 1280 // RFC 8200 section 5
	maxMTU  = 65535
)

// plan is a checked Config with its defaults, and the addresses that follow from it.
type plan struct {
	Config
	guest, router, dns netip.Addr
	guest6             netip.Addr // with IPv6 it is told to have this, and may have others of its subnet
	router6, dns6      netip.Addr // not valid: there is no IPv6
	host, host6        netip.Addr // stand for the host's loopback; not valid: off
	guestMAC           [6]byte
	routerMAC          [6]byte
}

func (c Config) plan() (plan, error) {
	p := plan{Config: c}
	setDefault(&p.MTU, DefaultMTU)
	setDefault(&p.MaxTCP, 4096)
	setDefault(&p.MaxPending, 1024)
	setDefault(&p.MaxUDP, 1024)
	setDefault(&p.UDPTimeout, time.Minute)
	setDefault(&p.DialTimeout, 30*time.Second)
	setDefault(&p.resolvConf, resolvconf.Path)
	setDefault(&p.Subnet, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 2, 0}), 24))
	// 02: locally administered; then "ukvm" and the host's number.
	p.routerMAC = [6]byte{0x02, 'u', 'k', 'v', 'm', hostRouter}
	p.guestMAC = c.MAC
	setDefault(&p.guestMAC, [6]byte{0x02, 'u', 'k', 'v', 'm', hostGuest})
	setDefault(&p.Subnet6, netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd}), 64))
	p.NoIPv6 = p.NoIPv6 || c.MTU > 0 && c.MTU < minMTU6 && !c.Subnet6.IsValid()
	if p.Ping == nil {
		p.Ping = dialPing
		if p.Dial != nil {
			p.Ping = noPing
		}
	}
	if p.Dial == nil {
		p.Dial = new(net.Dialer).DialContext
	}
	if err := p.check(); err != nil {
		return plan{}, fmt.Errorf("configure user-mode network: %w", err)
	}
	base := p.Subnet.Masked().Addr().As4()
	at := func(host byte) netip.Addr {
		a := base
		a[3] += host
		return netip.AddrFrom4(a)
	}
	p.Subnet = p.Subnet.Masked()
	p.guest, p.router, p.dns = at(hostGuest), at(hostRouter), at(hostDNS)
	if p.HostLoopback {
		p.host = at(hostLoopback)
	}
	if !p.NoIPv6 {
		p.Subnet6 = p.Subnet6.Masked()
		at := func(host byte) netip.Addr {
			a := p.Subnet6.Addr().As16()
			a[15] = host
			return netip.AddrFrom16(a)
		}
		p.guest6, p.router6, p.dns6 = at(hostGuest6), at(hostRouter), at(hostDNS)
		if p.HostLoopback {
			p.host6 = at(hostLoopback)
		}
	}
	if p.Search == nil {
		// A host without the file has no search list.
		conf, _ := resolvconf.Read(p.resolvConf)
		p.Search = conf.Search
	}
	return p, nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

func (p *plan) check() error {
	subnet := p.Subnet.Addr()
	switch {
	case !subnet.Is4() || p.Subnet.Bits() < 8 || p.Subnet.Bits() > 27:
		return fmt.Errorf("subnet %v is not IPv4 with a prefix length from 8 to 27", p.Subnet)
	case !routable(subnet):
		return fmt.Errorf("subnet %v cannot be used by hosts", p.Subnet)
	case !p.NoIPv6 && (!routable6(p.Subnet6.Addr()) || p.Subnet6.Bits() != 64):
		return fmt.Errorf("subnet %v is not IPv6 for hosts with a prefix length of 64", p.Subnet6)
	case !p.NoIPv6 && p.MTU < minMTU6:
		return fmt.Errorf("mtu %d is less than %d, which IPv6 needs", p.MTU, minMTU6)
	case p.MTU < minMTU || p.MTU > maxMTU:
		return fmt.Errorf("mtu %d is out of range %d to %d", p.MTU, minMTU, maxMTU)
	case p.guestMAC[0]&1 != 0 || p.guestMAC == p.routerMAC:
		return fmt.Errorf("mac %v is not one a guest can have", net.HardwareAddr(p.guestMAC[:]))
	case len(p.DNS) > 3:
		return fmt.Errorf("%d DNS servers are more than 3", len(p.DNS))
	case p.MaxTCP < 0 || p.MaxPending < 0 || p.MaxUDP < 0 || p.UDPTimeout < 0 || p.DialTimeout < 0:
		return fmt.Errorf("negative limit")
	}
	for _, server := range p.DNS {
		if !server.IsValid() || server.Port() == 0 {
			return fmt.Errorf("DNS server %v is not an address and port", server)
		}
	}
	for _, publish := range p.Publish {
		switch publish.Network {
		case "", "tcp", "udp":
		default:
			return fmt.Errorf("publish %v: unknown protocol %q", publish, publish.Network)
		}
		if publish.Guest == 0 {
			return fmt.Errorf("publish %v: the guest port is missing", publish)
		}
	}
	return nil
}

// routerOf is the router's address for packets about a.
func (p *plan) routerOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return p.router
	}
	return p.router6
}

// isOurs reports whether a is an address that something on our side has.
func (p *plan) isOurs(a netip.Addr) bool {
	switch a {
	case p.router, p.dns, p.router6, p.dns6, routerLinkLocal:
		return true
	case p.host, p.host6: // not valid, and so not a, if the guest must not reach it
		return true
	}
	return false
}

// guestConfig is what the guest is told.
func (p *plan) guestConfig() netif.Config {
	c := netif.Config{
		MAC: p.guestMAC, MTU: p.MTU,
		Addr: netip.PrefixFrom(p.guest, p.Subnet.Bits()), Router: p.router,
		DNS: []netip.Addr{p.dns}, Search: p.Search, Host: p.host,
		IP6: !p.NoIPv6, Routers: !p.NoIPv6,
	}
	if !p.NoIPv6 {
		// All of it is known, so the guest needs to ask nobody and has it at once.
		c.IP6, c.Addr6, c.Router6 = true, netip.PrefixFrom(p.guest6, p.Subnet6.Bits()), p.router6
	}
	return c
}
