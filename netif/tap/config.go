package tap

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ukvm.dev/netif"
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
	minMTU     = 576   // RFC 791 section 3.2
	minMTU6    = 1280  // RFC 8200 section 5
	maxMTU     = 65521 // drivers/net/tun.c: MAX_MTU - ETH_HLEN
	defaultMTU = 1500
	maxName    = 15 // IFNAMSIZ - 1
)

// Parse reads the command line's form:
// tap=NAME[,ip=ADDR/PREFIX|dhcp][,gw=ADDR][,ip6=ADDR/PREFIX|auto][,gw6=ADDR][,mac=MAC][,mtu=N][,netns=NAME].
func Parse(s string) (Config, error) {
	c, err := parse(s)
	if err != nil {
		return Config{}, fmt.Errorf("parse network %q: %w", s, err)
	}
	return c, nil
}

func parse(s string) (Config, error) {
	var c Config
	options := strings.Split(s, ",")
	key, name, ok := strings.Cut(options[0], "=")
	switch {
	case key != "tap":
		return c, fmt.Errorf("%q is not a TAP network: write tap=NAME", options[0])
	case !ok || name == "":
		return c, errors.New("the device's name is missing: write tap=NAME")
	}
	c.Name = name
	seen := []string{"tap"}
	for _, option := range options[1:] {
		key, value, hasValue := strings.Cut(option, "=")
		if slices.Contains(seen, key) {
			return c, fmt.Errorf("%s is given twice", key)
		}
		seen = append(seen, key)
		var err error
		switch {
		case key == "dhcp" && hasValue:
			err = fmt.Errorf("dhcp takes no value, got %q", value)
		case key == "dhcp":
			c.DHCP = true
		case !slices.Contains([]string{"ip", "gw", "ip6", "gw6", "mac", "mtu", "netns"}, key):
			err = fmt.Errorf("unknown option %q: want ip, gw, ip6, gw6, mac, mtu, netns or dhcp", key)
		case value == "":
			err = fmt.Errorf("%s needs a value: write %s=...", key, key)
		default:
			err = c.set(key, value)
		}
		if err != nil {
			return c, err
		}
	}
	if c.Gateway.IsValid() && !c.Addr.IsValid() {
		return c, errors.New("gw needs ip: write ip=ADDR/PREFIX too")
	}
	if c.Gateway6.IsValid() && !c.Addr6.IsValid() {
		return c, errors.New("gw6 needs ip6: write ip6=ADDR/PREFIX too")
	}
	return c, c.check()
}

func (c *Config) set(key, value string) (err error) {
	switch key {
	case "ip":
		if !strings.Contains(value, "/") {
			return fmt.Errorf("ip %s has no prefix length: write ip=%s/24", value, value)
		}
		if c.Addr, err = netip.ParsePrefix(value); err != nil {
			return fmt.Errorf("ip %s is not an address and prefix length such as 10.0.0.2/24", value)
		}
	case "gw":
		if c.Gateway, err = netip.ParseAddr(value); err != nil {
			return fmt.Errorf("gw %s is not an address such as 10.0.0.1", value)
		}
	case "ip6":
		if value == "auto" {
			c.Auto6 = true
			break
		}
		if c.Addr6, err = netip.ParsePrefix(value); err != nil {
			return fmt.Errorf("ip6 %s is not auto, nor an address and prefix length such as fd00::2/64", value)
		}
	case "gw6":
		if c.Gateway6, err = netip.ParseAddr(value); err != nil {
			return fmt.Errorf("gw6 %s is not an address such as fd00::1", value)
		}
	case "mac":
		mac, err := net.ParseMAC(value)
		if err != nil || len(mac) != len(c.MAC) {
			return fmt.Errorf("mac %s is not of the form 02:00:00:00:00:01", value)
		}
		if c.MAC = [6]byte(mac); c.MAC == [6]byte{} {
			return fmt.Errorf("mac %s is not an address", value)
		}
	case "mtu":
		if c.MTU, err = strconv.Atoi(value); err != nil || c.MTU == 0 {
			return fmt.Errorf("mtu %s is not a number from %d to %d", value, minMTU, maxMTU)
		}
	case "netns":
		c.NetNS = value
	}
	return nil
}

// check refuses what no kernel or guest would take.
func (c *Config) check() error {
	switch name := c.Name; {
	case len(name) > maxName:
		return fmt.Errorf("name %q is longer than %d bytes", name, maxName)
	case name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n%"):
		return fmt.Errorf("name %q is no name for a network device", name)
	}
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU) {
		return fmt.Errorf("mtu %d is out of range %d to %d", c.MTU, minMTU, maxMTU)
	}
	if c.MAC[0]&1 != 0 {
		return fmt.Errorf("mac %v is a multicast address", net.HardwareAddr(c.MAC[:]))
	}
	if len(c.DNS) > 3 {
		return fmt.Errorf("%d DNS servers are more than 3", len(c.DNS))
	}
	if err := c.check6(); err != nil {
		return err
	}
	if !c.Addr.IsValid() {
		return nil
	}
	if c.DHCP {
		return errors.New("ip and dhcp exclude each other")
	}
	if !usable(c.Addr.Addr(), c.Addr) {
		return fmt.Errorf("ip %v is not an IPv4 address of a host", c.Addr)
	}
	if gw := c.Gateway; gw.IsValid() {
		switch {
		case gw == c.Addr.Addr():
			return fmt.Errorf("gw %v is the guest's own address", gw)
		case !c.Addr.Contains(gw):
			return fmt.Errorf("gw %v is not in the guest's network %v", gw, c.Addr.Masked())
		case !usable(gw, c.Addr):
			return fmt.Errorf("gw %v is not an address of a host", gw)
		}
	}
	return nil
}

// check6 is check for IPv6.
func (c *Config) check6() error {
	if (c.Addr6.IsValid() || c.Auto6) && c.MTU != 0 && c.MTU < minMTU6 {
		return fmt.Errorf("mtu %d is less than %d, which IPv6 needs", c.MTU, minMTU6)
	}
	if !c.Addr6.IsValid() {
		return nil
	}
	if a := c.Addr6.Addr(); !host6(a) || c.Addr6.Bits() == 0 {
		return fmt.Errorf("ip6 %v is not an IPv6 address of a host", c.Addr6)
	}
	if gw := c.Gateway6; gw.IsValid() {
		switch {
		case gw == c.Addr6.Addr():
			return fmt.Errorf("gw6 %v is the guest's own address", gw)
		case !host6(gw) || gw.Zone() != "":
			return fmt.Errorf("gw6 %v is not an address of a host", gw)
		case !c.Addr6.Contains(gw) && !gw.IsLinkLocalUnicast():
			return fmt.Errorf("gw6 %v is neither in the guest's network %v nor link-local", gw, c.Addr6.Masked())
		}
	}
	return nil
}

// host6 reports whether a is an IPv6 address that a host may have.
func host6(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

// gateway is Gateway or its default; not valid if the network has no room for one.
func (c *Config) gateway() netip.Addr {
	if c.Gateway.IsValid() || !c.Addr.IsValid() {
		return c.Gateway
	}
	for a := c.Addr.Masked().Addr(); c.Addr.Contains(a); a = a.Next() {
		if a != c.Addr.Addr() && usable(a, c.Addr) {
			return a
		}
	}
	return netip.Addr{}
}

// usable reports whether a host of network p may have address a.
func usable(a netip.Addr, p netip.Prefix) bool {
	if !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.As4()[0] >= 240 {
		return false
	}
	if p.Bits() >= 31 { // RFC 3021: no network or broadcast address
		return true
	}
	return a != p.Masked().Addr() && p.Contains(a.Next())
}
