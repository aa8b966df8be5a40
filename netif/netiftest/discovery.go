package netiftest

import (
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// networks are the protocols of a guest.
func (g *Guest) networks(o GuestOptions) []stack.NetworkProtocolFactory {
	protocols := []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol}
	if !o.IPv6 {
		return protocols
	}
	g.discovery = &discovery{addrs: make(chan netip.Prefix, 16), servers: make(chan []netip.Addr, 16), routers: make(chan netip.Addr, 16), guest: g}
	return append(protocols, ipv6.NewProtocolWithOptions(ipv6.Options{
		AutoGenLinkLocal: true,
		NDPDisp:          g.discovery,
		NDPConfigs: ipv6.NDPConfigurations{
			MaxRtrSolicitations: 3, RtrSolicitationInterval: 500 * time.Millisecond,
			HandleRAs: ipv6.HandlingRAsEnabledWhenForwardingDisabled, DiscoverDefaultRouters: true,
			DiscoverOnLinkPrefixes: true, AutoGenGlobalAddresses: true,
		},
	}))
}

// Discovered is what a guest has learned by neighbour discovery.
type Discovered struct {
	Addr    netip.Prefix // that it has made for itself
	Router  netip.Addr
	Servers []netip.Addr // resolvers
}

// Discover waits until an advertisement has told the guest all of it.
func (g *Guest) Discover(t testing.TB) (d Discovered) {
	t.Helper()
	expired := time.After(Patience)
	for !d.Addr.IsValid() || !d.Router.IsValid() || d.Servers == nil {
		select {
		case d.Addr = <-g.discovery.addrs:
		case d.Router = <-g.discovery.routers:
		case d.Servers = <-g.discovery.servers:
		case <-expired:
			t.Fatalf("after %v the guest knows only %+v", Patience, d)
		}
	}
	return d
}

// discovery is what the guest's stack tells about its neighbour discovery. Routes follow from it.
type discovery struct {
	guest   *Guest
	addrs   chan netip.Prefix
	servers chan []netip.Addr
	routers chan netip.Addr
}

func toNetip(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

func (d *discovery) OnDuplicateAddressDetectionResult(tcpip.NICID, tcpip.Address, stack.DADResult) {}

func (d *discovery) OnOffLinkRouteUpdated(id tcpip.NICID, destination tcpip.Subnet, router tcpip.Address, _ header.NDPRoutePreference) {
	d.guest.Stack.AddRoute(tcpip.Route{Destination: destination, Gateway: router, NIC: id})
	d.routers <- toNetip(router)
}

func (d *discovery) OnOffLinkRouteInvalidated(tcpip.NICID, tcpip.Subnet, tcpip.Address) {}

func (d *discovery) OnOnLinkPrefixDiscovered(id tcpip.NICID, prefix tcpip.Subnet) {
	d.guest.Stack.AddRoute(tcpip.Route{Destination: prefix, NIC: id})
}

func (d *discovery) OnOnLinkPrefixInvalidated(tcpip.NICID, tcpip.Subnet) {}

func (d *discovery) OnAutoGenAddress(_ tcpip.NICID, a tcpip.AddressWithPrefix) stack.AddressDispatcher {
	if addr := toNetip(a.Address); !addr.IsLinkLocalUnicast() {
		d.addrs <- netip.PrefixFrom(addr, a.PrefixLen)
	}
	return nil
}

func (d *discovery) OnAutoGenAddressDeprecated(tcpip.NICID, tcpip.AddressWithPrefix) {}

func (d *discovery) OnAutoGenAddressInvalidated(tcpip.NICID, tcpip.AddressWithPrefix) {}

func (d *discovery) OnRecursiveDNSServerOption(_ tcpip.NICID, addrs []tcpip.Address, _ time.Duration) {
	servers := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		servers = append(servers, toNetip(a))
	}
	d.servers <- servers
}

func (d *discovery) OnDNSSearchListOption(tcpip.NICID, []string, time.Duration) {}

func (d *discovery) OnDHCPv6Configuration(tcpip.NICID, ipv6.DHCPv6ConfigurationFromNDPRA) {}
