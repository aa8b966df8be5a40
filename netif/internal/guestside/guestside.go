// Package guestside is the guest's side of a network card whose frames go to a device of the host's: what the command line
// says of it, and what the guest is told.
package guestside

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/resolvconf"
)

// Side is that side; its fields are those of the backends' Config.
type Side struct {
	MTU      int // 0: the device's
	MAC      [6]byte
	DHCP     bool
	Addr     netip.Prefix
	Gateway  netip.Addr
	Addr6    netip.Prefix
	Auto6    bool
	Gateway6 netip.Addr
	DNS      []netip.Addr
	Search   []string
}

// A Kind of network, as the command line calls it.
type Kind struct {
	Word   string // what it begins with
	Name   string // what stands for the device's name in errors
	What   string // the kind, with an article
	Device string // what has the name
	MaxMTU int    // bytes
}

// Words are what the command line says of a network.
type Words struct {
	Name, NetNS string
	Side
}

const (
	minMTU  = 576  // RFC 791 section 3.2
	minMTU6 = 1280 // RFC 8200 section 5
	maxName = 15   // IFNAMSIZ - 1
)

// Parse reads
// WORD=NAME[,ip=ADDR/PREFIX|dhcp][,gw=ADDR][,ip6=ADDR/PREFIX|auto][,gw6=ADDR][,mac=MAC][,mtu=N][,netns=NAME].
func (k Kind) Parse(s string) (Words, error) {
	w, err := k.parse(s)
	if err != nil {
		return Words{}, fmt.Errorf("parse network %q: %w", s, err)
	}
	return w, nil
}

func (k Kind) parse(s string) (w Words, err error) {
	c := &w.Side
	options := strings.Split(s, ",")
	key, name, ok := strings.Cut(options[0], "=")
	switch {
	case key != k.Word:
		return w, fmt.Errorf("%q is not %s: write %s=%s", options[0], k.What, k.Word, k.Name)
	case !ok || name == "":
		return w, fmt.Errorf("the %s's name is missing: write %s=%s", k.Device, k.Word, k.Name)
	}
	w.Name = name
	seen := []string{k.Word}
	for _, option := range options[1:] {
		key, value, hasValue := strings.Cut(option, "=")
		if slices.Contains(seen, key) {
			return w, fmt.Errorf("%s is given twice", key)
		}
		seen = append(seen, key)
		switch {
		case key == "dhcp" && hasValue:
			err = fmt.Errorf("dhcp takes no value, got %q", value)
		case key == "dhcp":
			c.DHCP = true
		case !slices.Contains([]string{"ip", "gw", "ip6", "gw6", "mac", "mtu", "netns"}, key):
			err = fmt.Errorf("unknown option %q: want ip, gw, ip6, gw6, mac, mtu, netns or dhcp", key)
		case value == "":
			err = fmt.Errorf("%s needs a value: write %s=...", key, key)
		case key == "netns":
			w.NetNS = value
		default:
			err = k.set(c, key, value)
		}
		if err != nil {
			return w, err
		}
	}
	if c.Gateway.IsValid() && !c.Addr.IsValid() {
		return w, errors.New("gw needs ip: write ip=ADDR/PREFIX too")
	}
	if c.Gateway6.IsValid() && !c.Addr6.IsValid() {
		return w, errors.New("gw6 needs ip6: write ip6=ADDR/PREFIX too")
	}
	return w, k.Check(w.Name, c)
}

// set is one option.
func (k Kind) set(c *Side, key, value string) (err error) {
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
			return fmt.Errorf("mtu %s is not a number from %d to %d", value, minMTU, k.MaxMTU)
		}
	}
	return nil
}

// Check refuses what no kernel or guest would take.
func (k Kind) Check(name string, c *Side) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("name %q is longer than %d bytes", name, maxName)
	case name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n%"):
		return fmt.Errorf("name %q is no name for a network device", name)
	}
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > k.MaxMTU) {
		return fmt.Errorf("mtu %d is out of range %d to %d", c.MTU, minMTU, k.MaxMTU)
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
func (c *Side) check6() error {
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

// Router is Gateway or its default; not valid if the network has no room for one.
func (c *Side) Router() netip.Addr {
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

// Guest is c as the guest is told on the device of a name.
func (c *Side) Guest(name string) netif.Config {
	g := netif.Config{MAC: c.MAC, MTU: c.MTU, DHCP: c.DHCP, Addr: c.Addr, Router: c.Router(), DNS: c.DNS, Search: c.Search}
	g.IP6, g.Routers, g.Addr6, g.Router6 = c.Addr6.IsValid() || c.Auto6, c.Auto6, c.Addr6, c.Gateway6
	if g.MAC == [6]byte{} {
		rand.Read(g.MAC[:])
		g.MAC[0] = g.MAC[0]&^1 | 2 // unicast, locally administered
	}
	if c.DNS == nil && c.Addr.IsValid() {
		// A host without the file has no DNS to offer.
		host, _ := resolvconf.Read(resolvconf.Path)
		for _, server := range host.Servers {
			if server.Is4() && !server.IsLoopback() {
				g.DNS = append(g.DNS, server)
			}
		}
		g.Search = host.Search
	}
	if g.IP6 {
		g.Key = key(g.MAC, name)
	}
	return g
}

// key is the secret of a guest's IPv6 interface identifiers: the same for the same card on this machine, and not to be
// guessed, since the machine's identifier is secret, too (machine-id(5)). Without that it is another each time.
func key(mac [6]byte, name string) (k [16]byte) {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(id) < 32 {
		rand.Read(k[:])
		return k
	}
	h := hmac.New(sha256.New, id)
	h.Write([]byte("ukvm interface identifiers " + name))
	h.Write(mac[:])
	return [16]byte(h.Sum(nil))
}
