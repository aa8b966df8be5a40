package net

import (
	"errors"
	"net/netip"

	"ukvm.dev/guest/net/arp"
	"ukvm.dev/guest/net/dhcp"
	"ukvm.dev/guest/net/dhcp6"
	"ukvm.dev/guest/net/eth"
	"ukvm.dev/guest/net/ip4"
	"ukvm.dev/guest/net/ip6"
	"ukvm.dev/guest/net/mcast"
	"ukvm.dev/guest/net/ndp"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/siphash"
	"ukvm.dev/guest/net/slaac"
	"ukvm.dev/guest/net/udp"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
	"ukvm.dev/hypercall"
)

// Interface is a network card with the boxes that belong to it. The boxes are guarded by the stack's lock: outside of
// the functions of this package use them through Stack.Do.
type Interface struct {
	Name  string
	NIC   nic.NIC
	Eth   eth.Box
	ARP   arp.Box
	NDP   ndp.Box
	DHCP  dhcp.Client
	RA    slaac.Client
	DHCP6 dhcp6.Client
	IGMP  mcast.Box
	MLD   mcast.Box

	stack    *Stack
	ready    chan struct{} // closed when there is an address
	link     ip4.Link
	dhcpPort udp.Endpoint
	mtu      int // the card's; link.MTU may be less

	resolvers  []netip.Addr // DNS servers as IPv4's configuration has them, and as the monitor has IPv6's; see names6
	resolvers6 []netip.Addr
	search     string

	link6 ip6.Link
	key   siphash.Key            // of interface identifiers
	tries map[netip.Prefix]uint8 // duplicates of them there have been

	router6 netip.Addr // as the monitor says

	dhcp6Port udp.Endpoint
	names     names6
}

// Card is what a driver says about its device.
type Card struct {
	Name     string // "eth0"
	MAC      [6]byte
	MTU      int // largest IP packet in bytes, at least MinMTU
	Features nic.Features

	// Transmit and Flush are as in nic.NIC: Transmit puts a frame on the ring and takes it over, or returns false if
	// the ring is full; Flush follows the last of a batch. Both are called with the stack's lock held and must not
	// call the stack; what the device has finished can be released there, or anywhere else.
	Transmit func(p *packet.Packet) bool
	Flush    func()
}

// MinMTU is the least MTU of a card: every host must take packets of this size (RFC 791).
const MinMTU = 576

// firstCard is the index of the first card; loopback has 1.
const firstCard = 2

// ErrCard is returned by AddCard for a Card that is incomplete.
var ErrCard = errors.New("network card without address, functions or a sensible MTU")

// AddCard makes an interface of a card. It has no address until Configure.
func (s *Stack) AddCard(c Card) (*Interface, error) {
	mac := wire.MAC(c.MAC)
	if c.Transmit == nil || c.Flush == nil || c.MTU < MinMTU || c.MTU > wire.IPv4Max || mac == (wire.MAC{}) || mac.IsMulticast() {
		return nil, ErrCard
	}
	i := &Interface{Name: c.Name, stack: s, mtu: c.MTU, ready: make(chan struct{})}
	i.NIC.Transmit, i.NIC.Flush, i.NIC.Features = c.Transmit, c.Flush, c.Features
	i.Eth.MAC, i.ARP.MAC, i.NDP.MAC, i.DHCP.MAC, i.DHCP6.MAC = mac, mac, mac, mac, mac
	i.DHCP.Hostname = s.config.Hostname
	i.link.MTU, i.link6.MTU = c.MTU, c.MTU
	if c.Features.TxChecksum {
		i.link.TSO, i.link6.TSO = c.Features.TSO4, c.Features.TSO6
	}
	s.enter()
	defer s.leave()
	s.wireInterface(i)
	if err := s.boxes.IP4.AddLink(&i.link); err != nil {
		return nil, err
	}
	if err := s.boxes.IP6.AddLink(&i.link6); err != nil {
		return nil, err
	}
	i.NDP.Link = i.link6.Index
	s.interfaces = append(s.interfaces, i)
	s.boxes.Filter.Interfaces(s.linkNames())
	return i, nil
}

// Receive takes a batch of frames from the driver, without device headers (packet.DecodeNet). It takes the packets over;
// the slice stays the driver's. The driver calls it without locks that its Transmit and Flush take.
func (i *Interface) Receive(batch []*packet.Packet) {
	s := i.stack
	s.enter()
	for _, p := range batch {
		p.Link = i.link.Index
		i.NIC.Input(p)
	}
	s.turn()
}

// Room is called by the driver when its ring, after Transmit has returned false, has room again.
func (i *Interface) Room() {
	s := i.stack
	s.enter()
	i.NIC.Room()
	s.turn()
}

// Ready is closed as soon as the interface has been given an address: at once by a static configuration, later by DHCP.
func (i *Interface) Ready() <-chan struct{} { return i.ready }

// Index is the interface's number, from 2 on.
func (i *Interface) Index() int { return i.link.Index }

// ErrConfig is returned by Configure for addresses that cannot be a host's.
var ErrConfig = errors.New("network configuration has an invalid address or prefix")

// Configure sets the interface up as the monitor says: with the addresses of c, which replace present ones, or by DHCP.
func (i *Interface) Configure(c hypercall.NetConfig) error {
	s := i.stack
	s.enter()
	defer s.leave()
	if err := i.configure6(&c); err != nil {
		return err
	}
	if c.Flags&hypercall.NetDHCP != 0 {
		return i.startDHCP()
	}
	addr := netip.AddrFrom4(c.Addr)
	if addr.IsUnspecified() && c.Flags&hypercall.NetIP6 != 0 {
		return nil // IPv6 only
	}
	if addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() || c.Prefix > 32 || c.Prefix == 0 {
		return ErrConfig
	}
	setup := settings{addr: netip.PrefixFrom(addr, int(c.Prefix)), search: cString(c.Search[:])}
	if r := netip.AddrFrom4(c.Router); !r.IsUnspecified() {
		setup.router = r
	}
	for _, d := range c.DNS {
		if a := netip.AddrFrom4(d); !a.IsUnspecified() {
			setup.dns = append(setup.dns, a)
		} else {
			break
		}
	}
	i.stopDHCP()
	return i.apply(setup)
}

// settings is what configures an interface, whoever says it.
type settings struct {
	addr   netip.Prefix
	router netip.Addr
	dns    []netip.Addr
	search string
	mtu    int
}

// apply makes s the interface's settings. Connections from an address that goes away stay, and time out.
func (i *Interface) apply(c settings) error {
	s := i.stack
	ip := &s.boxes.IP4
	ip.RemoveAddrs(&i.link)
	i.ARP.Flush()
	i.link.MTU = i.mtu
	if c.mtu >= MinMTU {
		i.link.MTU = min(c.mtu, i.mtu)
	}
	if err := ip.AddAddr(&i.link, c.addr); err != nil {
		return err
	}
	if c.router.IsValid() {
		err := ip.Routes.Add(route.Entry{
			Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Router: c.router,
			Link: i.link.Index, Source: c.addr.Addr(),
		})
		if err != nil {
			return err
		}
	}
	i.ARP.Announce(c.addr.Addr())
	i.markReady()
	i.resolvers, i.search = c.dns, c.search
	i.tellResolvers()
	return nil
}

func (i *Interface) markReady() {
	select {
	case <-i.ready:
	default:
		close(i.ready)
	}
}

// tellResolvers passes on the interface's DNS servers.
func (i *Interface) tellResolvers() {
	s := i.stack
	servers, search := i.nameServers(), i.searchList()
	if f := s.config.Resolvers; f != nil && (len(servers) > 0 || search != "") {
		s.after = append(s.after, func() { f(servers, search) })
	}
}

// source is the address ARP asks from.
func (i *Interface) source() (netip.Addr, bool) {
	a := i.link.Addr()
	return a, a.IsValid()
}

// Interfaces describes loopback and all cards, for net.Interfaces.
func (s *Stack) Interfaces() []posix.Interface {
	s.enter()
	defer s.leave()
	lo := &s.boxes.Loopback.Stats
	list := []posix.Interface{{
		Index: s.lo.Index, Name: "lo", MTU: s.lo.MTU, Loopback: true, Up: true,
		Addrs:    append(prefixes(s.lo.Addrs()), prefixes6(&s.lo6)...),
		Groups:   groups(&s.lo, &s.lo6),
		Received: posix.Traffic{Packets: lo.PacketsRx, Bytes: lo.BytesRx},
		Sent:     posix.Traffic{Packets: lo.PacketsTx, Bytes: lo.BytesTx, Dropped: lo.SendqDropped},
	}}
	for _, i := range s.interfaces {
		list = append(list, posix.Interface{
			Index: i.link.Index, Name: i.Name, MTU: i.link.MTU, Hardware: i.Eth.MAC, Up: true,
			Addrs:    append(prefixes(i.link.Addrs()), prefixes6(&i.link6)...),
			Groups:   groups(&i.link, &i.link6),
			Received: posix.Traffic{Packets: i.NIC.Stats.PacketsRx, Bytes: i.NIC.Stats.BytesRx},
			Sent:     posix.Traffic{Packets: i.NIC.Stats.PacketsTx, Bytes: i.NIC.Stats.BytesTx, Dropped: i.NIC.Stats.SendqDropped},
		})
	}
	return list
}

// cString is the text before the first NUL.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
