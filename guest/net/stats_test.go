package net

import (
	"reflect"
	"testing"

	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/filter"
)

// TestStatsComplete: every counter of every box is reported, once.
func TestStatsComplete(t *testing.T) {
	w := quiet(t).with6()
	s, i := w.a, w.a.iface
	s.filter(t, rules("input", filter.Drop, filter.Rule{State: conntrack.Established, Count: "known", Verdict: filter.Accept}))
	next := uint64(1 << 40)
	places := map[uint64]string{}
	fill := func(name string, stats any) {
		v := reflect.ValueOf(stats).Elem()
		for k := range v.NumField() {
			next++
			places[next] = name + "." + v.Type().Field(k).Name
			v.Field(k).SetUint(next)
		}
	}
	s.Do(func(b *Boxes, _ []*Interface) {
		for name, stats := range map[string]any{
			"Loopback": &b.Loopback.Stats, "IP4": &b.IP4.Stats, "IP6": &b.IP6.Stats, "ICMP4": &b.ICMP4.Stats, "ICMP6": &b.ICMP6.Stats,
			"Ping4": &b.Ping4.Stats, "Ping6": &b.Ping6.Stats,
			"UDP": &b.UDP.Stats, "TCP": &b.TCP.Stats, "Conntrack": &b.Conntrack.Stats, "Filter": &b.Filter.Stats[filter.Input],
			"NIC": &i.NIC.Stats, "Eth": &i.Eth.Stats, "ARP": &i.ARP.Stats, "NDP": &i.NDP.Stats, "DHCP": &i.DHCP.Stats,
			"RA": &i.RA.Stats, "DHCP6": &i.DHCP6.Stats,
		} {
			fill(name, stats)
		}
	})
	all := map[string]uint64{}
	s.Stats(func(name string, v uint64) {
		if _, twice := all[name]; twice {
			t.Errorf("%s is reported twice", name)
		}
		all[name] = v
		delete(places, v)
	})
	for _, place := range places {
		t.Errorf("%s is not reported", place)
	}
	for _, name := range []string{ // gauges, and what IncludeOS has
		"eth0.packets_rx", "eth0.packets_tx", "eth0.ethernet.packets_rx", "eth0.ethernet.packets_tx", "eth0.ethernet.packets_dropped",
		"eth0.arp.requests_rx", "eth0.arp.requests_tx", "eth0.arp.replies_rx", "eth0.arp.replies_tx",
		"eth0.sendq_max", "eth0.sendq_now", "eth0.sendq_dropped", "eth0.stat_rx_total_bytes", "eth0.stat_tx_total_bytes",
		"eth0.stat_rx_total_packets", "eth0.stat_tx_total_packets", "eth0.arp.entries", "eth0.ndp.entries",
		"ip4.packets_rx", "ip4.packets_tx", "ip4.packets_dropped", "ip4.prerouting_dropped", "ip4.postrouting_dropped", "ip4.input_dropped", "ip4.output_dropped",
		"ip6.packets_rx", "ip6.packets_tx", "ip6.packets_dropped",
		"tcp.rx", "tcp.tx", "tcp.packets_rx", "tcp.packets_tx", "tcp.conn_incoming", "tcp.conn_outgoing", "tcp.conn_attempts", "tcp.dropped",
		"filter.known.packets", "filter.known.bytes", "conntrack.entries", "timers.active", "sockets.open",
	} {
		if _, ok := all[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
}
