package packet

import (
	"net/netip"

	"ukvm.dev/netif/internal/guestside"
)

// Config describes an interface and the guest's side of it.
type Config struct {
	// Name is that of the interface, which exists, at most 15 bytes.
	Name string

	// NetNS is the network namespace of the interface: a name (as in `ip netns`), a path if it contains a slash, or
	// empty for that of the process. NetNSFile, if not nil, is used instead; the link does not close it.
	NetNS     string
	NetNSFile interface{ Fd() uintptr }

	MTU      int          // the guest's, 576 to that of the interface, which is the default
	MAC      [6]byte      // the guest's; zero: that of the interface, with another it becomes promiscuous
	DHCP     bool         // the guest asks for its address
	Addr     netip.Prefix // the guest's IPv4 address and prefix length
	Gateway  netip.Addr   // the guest's default router; not set: the first address of Addr's network that is not the guest's
	Addr6    netip.Prefix // the guest's IPv6 address and prefix length; zero: none
	Auto6    bool         // the guest asks routers for its IPv6 addresses and routes
	Gateway6 netip.Addr   // the IPv6 router; not set, none: there may be advertisements

	DNS    []netip.Addr // for the guest, at most three; nil: the host's, but for those on its loopback
	Search []string     // with DNS nil: the host's
}

// maxMTU is that of an IPv4 packet (RFC 791 section 3.1).
const maxMTU = 65535

// kind never changes.
var kind = guestside.Kind{Word: "packet", Name: "IFACE", What: "a packet network", Device: "interface", MaxMTU: maxMTU}

// Parse reads the command line's form:
// packet=IFACE[,ip=ADDR/PREFIX|dhcp][,gw=ADDR][,ip6=ADDR/PREFIX|auto][,gw6=ADDR][,mac=MAC][,mtu=N][,netns=NAME].
func Parse(s string) (Config, error) {
	w, err := kind.Parse(s)
	if err != nil {
		return Config{}, err
	}
	return Config{
		Name: w.Name, NetNS: w.NetNS, MTU: w.MTU, MAC: w.MAC, DHCP: w.DHCP, Addr: w.Addr, Gateway: w.Gateway,
		Addr6: w.Addr6, Auto6: w.Auto6, Gateway6: w.Gateway6,
	}, nil
}

// side is the guest's.
func (c *Config) side() *guestside.Side {
	return &guestside.Side{
		MTU: c.MTU, MAC: c.MAC, DHCP: c.DHCP, Addr: c.Addr, Gateway: c.Gateway,
		Addr6: c.Addr6, Auto6: c.Auto6, Gateway6: c.Gateway6, DNS: c.DNS, Search: c.Search,
	}
}
