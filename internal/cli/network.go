package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ukvm.dev/monitor"
	"ukvm.dev/netif"
	"ukvm.dev/netif/packet"
	"ukvm.dev/netif/pcap"
	"ukvm.dev/netif/policy"
	"ukvm.dev/netif/tap"
	"ukvm.dev/netif/user"
)

// NetWords are the words of a command line that say what networks a guest gets.
type NetWords struct {
	Nets         []string // --net: user[,OPTION…], tap=NAME[,OPTION…], packet=IFACE[,OPTION…] or none, a card each; none given is Default
	Default      string
	Publish      []string // -p
	DNS          []string // --dns
	HostLoopback bool     // --host-loopback
	Policy       []string // --policy
}

// A Network is what one network card is connected to: one of User, TAP and Packet is set.
type Network struct {
	User   *user.Config
	TAP    *tap.Config
	Packet *packet.Config
	Policy *policy.Policy // for TAP; nil: none
}

// Parse returns the networks, checked as far as is possible without opening them.
func (w *NetWords) Parse() ([]Network, error) {
	nets := w.Nets
	if len(nets) == 0 {
		nets = []string{w.Default}
	}
	networks, err := parseNets(nets)
	if err != nil {
		return nil, err
	}
	if err := w.addDNS(networks); err != nil {
		return nil, err
	}
	if err := w.addPolicy(networks); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(networks, func(n Network) bool { return n.User != nil })
	if i < 0 {
		switch {
		case len(w.Publish) > 0:
			return nil, fmt.Errorf("-p %s needs the user network, whose ports it publishes: add --net user, or reach the guest at its own address",
				w.Publish[0])
		case w.HostLoopback:
			return nil, errors.New("--host-loopback needs the user network: add --net user")
		}
		return networks, nil
	}
	c := networks[i].User
	c.HostLoopback = w.HostLoopback
	for _, s := range w.Publish {
		p, err := user.ParsePublish(s)
		if err != nil {
			return nil, err
		}
		c.Publish = append(c.Publish, p)
	}
	return networks, nil
}

func parseNets(nets []string) (networks []Network, err error) {
	users := 0
	for _, s := range nets {
		kind, options, _ := strings.Cut(s, ",")
		kind, _, _ = strings.Cut(kind, "=")
		switch kind {
		case "none":
			if len(nets) > 1 || options != "" || s != kind {
				return nil, errors.New("--net none stands alone: it means no network card")
			}
		case "user":
			c, err := parseUser(s)
			if err != nil {
				return nil, fmt.Errorf("--net %s: %w", s, err)
			}
			if users++; users > 1 {
				return nil, errors.New("--net user is given twice: one is enough, as it reaches what the host reaches")
			}
			networks = append(networks, Network{User: &c})
		case "tap":
			c, err := tap.Parse(s)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(networks, func(n Network) bool { return n.TAP != nil && n.TAP.Name == c.Name && n.TAP.NetNS == c.NetNS }) {
				return nil, fmt.Errorf("--net tap=%s is given twice: each card needs a device of its own", c.Name)
			}
			networks = append(networks, Network{TAP: &c})
		case "packet":
			c, err := packet.Parse(s)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(networks, func(n Network) bool {
				return n.Packet != nil && n.Packet.Name == c.Name && n.Packet.NetNS == c.NetNS
			}) {
				return nil, fmt.Errorf("--net packet=%s is given twice: each card needs an interface of its own", c.Name)
			}
			networks = append(networks, Network{Packet: &c})
		default:
			return nil, fmt.Errorf("--net %s is unknown: write user, tap=NAME, packet=IFACE or none", s)
		}
	}
	return networks, nil
}

// parseUser reads user[,subnet=PREFIX][,subnet6=PREFIX|none][,mac=MAC][,mtu=N].
func parseUser(s string) (c user.Config, err error) {
	words := strings.Split(s, ",")
	if words[0] != "user" {
		return c, errors.New("user takes no value: write --net user")
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "subnet":
			if c.Subnet, err = netip.ParsePrefix(value); err != nil {
				return c, fmt.Errorf("subnet %q is not of the form 10.0.2.0/24", value)
			}
		case "subnet6":
			if c.NoIPv6 = value == "none"; c.NoIPv6 {
				continue
			}
			if c.Subnet6, err = netip.ParsePrefix(value); err != nil {
				return c, fmt.Errorf("subnet6 %q is not none or of the form fd00::/64", value)
			}
		case "mac":
			mac, err := net.ParseMAC(value)
			if err != nil || len(mac) != len(c.MAC) {
				return c, fmt.Errorf("mac %q is not of the form 02:00:00:00:00:01", value)
			}
			c.MAC = [6]byte(mac)
		case "mtu":
			if c.MTU, err = strconv.Atoi(value); err != nil || c.MTU <= 0 {
				return c, fmt.Errorf("mtu %q is not a number such as 1500", value)
			}
		default:
			return c, fmt.Errorf("unknown option %q: want subnet, subnet6, mac or mtu", key)
		}
	}
	return c, nil
}

// addPolicy gives every TAP device the policy of --policy.
func (w *NetWords) addPolicy(networks []Network) error {
	if len(w.Policy) == 0 {
		return nil
	}
	p, err := policy.Parse(w.Policy)
	if err != nil {
		return fmt.Errorf("--policy: %w", err)
	}
	found := false
	for i := range networks {
		if networks[i].TAP != nil {
			networks[i].Policy, found = &p, true
		}
		if c := networks[i].Packet; c != nil { // what comes in is the guest's before it would be checked
			return fmt.Errorf("--policy does not hold for --net packet=%s: use a TAP network", c.Name)
		}
	}
	if !found {
		return errors.New("--policy needs a TAP network, where the kernel checks packets: add --net tap=NAME")
	}
	return nil
}

// addDNS gives every network the resolvers of --dns.
func (w *NetWords) addDNS(networks []Network) error {
	if len(w.DNS) == 0 {
		return nil
	}
	if len(networks) == 0 {
		return errors.New("--dns needs a network: leave out --net none")
	}
	const port = 53
	for _, s := range strings.Split(strings.Join(w.DNS, ","), ",") {
		server, err := netip.ParseAddrPort(s)
		if err != nil {
			addr, err := netip.ParseAddr(s)
			if err != nil {
				return fmt.Errorf("--dns %q is not an address such as 9.9.9.9 or 9.9.9.9:53", s)
			}
			server = netip.AddrPortFrom(addr, port)
		}
		for _, n := range networks {
			if n.User != nil {
				n.User.DNS = append(n.User.DNS, server)
				continue
			}
			if !server.Addr().Is4() || server.Port() != port {
				return fmt.Errorf("--dns %s: the guest asks a resolver on a TAP or packet network itself, by IPv4 and on port 53", s)
			}
			if n.Packet != nil {
				n.Packet.DNS = append(n.Packet.DNS, server.Addr())
				continue
			}
			n.TAP.DNS = append(n.TAP.DNS, server.Addr())
		}
	}
	return nil
}

// Links are open networks.
type Links struct {
	NICs      []monitor.NIC
	Published []user.Publish // with the ports that were free where 0 was asked for

	capture *pcap.Capture // nil: none
	guards  []guard
}

// Open opens the networks in order, and a capture of them if there is to be one. On error nothing is left open.
func Open(networks []Network, capture *Capture) (*Links, error) {
	l := &Links{}
	if capture != nil {
		var err error
		if l.capture, err = capture.open(); err != nil {
			return nil, err
		}
	}
	for _, n := range networks {
		if err := l.open(n); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

func (l *Links) open(n Network) error {
	if n.TAP != nil {
		c := *n.TAP
		if n.Policy != nil {
			c.Attach = func(index int, guest netif.Config) (io.Closer, error) { return l.guard(*n.Policy, index, guest) }
		}
		link, err := tap.New(c)
		if err != nil {
			return err
		}
		l.add(link, link.Config())
		return nil
	}
	if n.Packet != nil {
		link, err := packet.New(*n.Packet)
		if err != nil {
			return err
		}
		l.add(link, link.Config())
		return nil
	}
	link, err := user.New(*n.User)
	if err != nil {
		return err
	}
	l.add(link, link.Config())
	l.Published = link.Published()
	return nil
}

func (l *Links) add(link netif.Link, c netif.Config) {
	name := fmt.Sprintf("eth%d", len(l.NICs))
	if l.capture != nil {
		link = l.capture.Link(link, name, c)
	}
	l.NICs = append(l.NICs, monitor.NIC{Name: name, Link: link, Config: c})
}

// Close closes the links, after the guest has ended.
func (l *Links) Close() error {
	var errs []error
	for _, n := range l.NICs {
		errs = append(errs, n.Link.Close())
	}
	if l.capture != nil {
		errs = append(errs, l.capture.Close())
	}
	return errors.Join(errs...)
}
