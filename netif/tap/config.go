package tap

import (
	"io"
	"net/netip"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/guestside"
)

// Config describes a TAP device and the guest's side of it. The zero value makes a device that the kernel names.
type Config struct {
	// Name is that of the device, at most 15 bytes. A TAP device of that name that exists is attached to and left
	// when the link is closed (so make bridges and routes on it beforehand, `ip tuntap add NAME mode tap`);
	// otherwise the link makes one and removes it. Empty: one is made with a name of the kernel's choice.
	Name string

	// NetNS is the network namespace of the device: a name (as in `ip netns`), a path if it contains a slash, or
	// empty for that of the process. NetNSFile, if not nil, is used instead; the link does not close it.
	NetNS     string
	NetNSFile interface{ Fd() uintptr }

	MTU  int          // of both sides, 576 to 65521; 0: what an existing device has, 1500 for a new one
	MAC  [6]byte      // the guest's; zero: random, locally administered
	DHCP bool         // the guest asks for its address
	Addr netip.Prefix // the guest's IPv4 address and prefix length

	// Gateway is the guest's default router, and the host's address on a device that the link makes. If it is not
	// set, it is the first address of Addr's network that is not the guest's.
	Gateway netip.Addr

	Addr6    netip.Prefix // the guest's IPv6 address and prefix length; zero: none
	Auto6    bool         // the guest asks routers for its IPv6 addresses and routes
	Gateway6 netip.Addr   // the IPv6 router, as Gateway; not set, none: there may be advertisements

	// Attach, if not nil, is called on a thread in the device's namespace, with the device's index and what the guest is
	// told, before the link carries anything. What it returns is closed with the link. An error is New's.
	Attach func(index int, guest netif.Config) (io.Closer, error)

	DNS    []netip.Addr // for the guest, at most three; nil: the host's, but for those on its loopback
	Search []string     // with DNS nil: the host's
}

const (
	maxMTU     = 65521 // drivers/net/tun.c: MAX_MTU - ETH_HLEN
	defaultMTU = 1500
)

// kind never changes.
var kind = guestside.Kind{Word: "tap", Name: "NAME", What: "a TAP network", Device: "device", MaxMTU: maxMTU}

// Parse reads the command line's form:
// tap=NAME[,ip=ADDR/PREFIX|dhcp][,gw=ADDR][,ip6=ADDR/PREFIX|auto][,gw6=ADDR][,mac=MAC][,mtu=N][,netns=NAME].
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
