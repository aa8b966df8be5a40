package net

// Stats calls f with each counter of the stack, by the name IncludeOS's Statman has for it: those of an interface begin
// with the interface's name, those of the boxes all interfaces share with the box's, and those without a counterpart there
// are named alike. Each name occurs once. The packet filter's are there while it has rules; a rule's Count adds
// filter.NAME.packets and filter.NAME.bytes. f is called with the stack's lock held and must not call the stack.
func (s *Stack) Stats(f func(name string, value uint64)) {
	s.enter()
	defer s.leave()
	s.counters(func(name string, at *uint64) { f(name, *at) })
	s.gauges(f)
}

// counters calls f with where each counter is. Counters of rules stay there as long as the rules.
func (s *Stack) counters(f func(name string, at *uint64)) {
	for _, i := range s.interfaces {
		i.counters(func(name string, at *uint64) { f(i.Name+"."+name, at) })
	}
	lo, ip, tcp, udp, icmp := &s.boxes.Loopback.Stats, &s.boxes.IP4.Stats, &s.boxes.TCP.Stats, &s.boxes.UDP.Stats, &s.boxes.ICMP4.Stats
	ip6, icmp6 := &s.boxes.IP6.Stats, &s.boxes.ICMP6.Stats
	for _, c := range [...]counter{
		{"lo.packets_rx", &lo.PacketsRx}, {"lo.packets_tx", &lo.PacketsTx}, {"lo.sendq_dropped", &lo.SendqDropped},
		{"lo.bytes_rx", &lo.BytesRx}, {"lo.bytes_tx", &lo.BytesTx},

		{"ip4.packets_rx", &ip.PacketsRx}, {"ip4.packets_tx", &ip.PacketsTx}, {"ip4.packets_dropped", &ip.PacketsDropped},
		{"ip4.prerouting_dropped", &ip.PreroutingDropped}, {"ip4.postrouting_dropped", &ip.PostroutingDropped},
		{"ip4.input_dropped", &ip.InputDropped}, {"ip4.output_dropped", &ip.OutputDropped},
		{"ip4.forward_dropped", &ip.ForwardDropped},
		{"ip4.fragments_rx", &ip.FragmentsRx}, {"ip4.fragments_tx", &ip.FragmentsTx},
		{"ip4.reassembled", &ip.Reassembled}, {"ip4.reassembly_failed", &ip.ReassemblyFailed},

		{"icmp4.echo_rx", &icmp.EchoRx}, {"icmp4.echo_tx", &icmp.EchoTx}, {"icmp4.errors_rx", &icmp.ErrorsRx},
		{"icmp4.errors_tx", &icmp.ErrorsTx}, {"icmp4.dropped", &icmp.Dropped}, {"icmp4.throttled", &icmp.Throttled},

		{"ip6.packets_rx", &ip6.PacketsRx}, {"ip6.packets_tx", &ip6.PacketsTx}, {"ip6.packets_dropped", &ip6.PacketsDropped},
		{"ip6.prerouting_dropped", &ip6.PreroutingDropped}, {"ip6.postrouting_dropped", &ip6.PostroutingDropped},
		{"ip6.input_dropped", &ip6.InputDropped}, {"ip6.output_dropped", &ip6.OutputDropped},
		{"ip6.forward_dropped", &ip6.ForwardDropped},
		{"ip6.fragments_rx", &ip6.FragmentsRx}, {"ip6.fragments_tx", &ip6.FragmentsTx},
		{"ip6.reassembled", &ip6.Reassembled}, {"ip6.reassembly_failed", &ip6.ReassemblyFailed},

		{"icmp6.echo_rx", &icmp6.EchoRx}, {"icmp6.echo_tx", &icmp6.EchoTx}, {"icmp6.errors_rx", &icmp6.ErrorsRx},
		{"icmp6.errors_tx", &icmp6.ErrorsTx}, {"icmp6.dropped", &icmp6.Dropped}, {"icmp6.throttled", &icmp6.Throttled},

		{"ping4.dropped", &s.boxes.Ping4.Stats.Dropped}, {"ping6.dropped", &s.boxes.Ping6.Stats.Dropped},

		{"udp.packets_rx", &udp.PacketsRx}, {"udp.packets_tx", &udp.PacketsTx}, {"udp.packets_dropped", &udp.PacketsDropped},
		{"udp.no_port", &udp.NoPort},

		{"tcp.rx", &tcp.Rx}, {"tcp.tx", &tcp.Tx}, {"tcp.packets_rx", &tcp.PacketsRx}, {"tcp.packets_tx", &tcp.PacketsTx},
		{"tcp.conn_incoming", &tcp.ConnIncoming}, {"tcp.conn_outgoing", &tcp.ConnOutgoing},
		{"tcp.conn_attempts", &tcp.ConnAttempts}, {"tcp.dropped", &tcp.Dropped},
		{"tcp.listen_overflows", &tcp.ListenOverflows}, {"tcp.half_open_dropped", &tcp.HalfOpenDropped},
		{"tcp.cookies_tx", &tcp.CookiesTx}, {"tcp.cookies_rx", &tcp.CookiesRx}, {"tcp.cookies_bad", &tcp.CookiesBad},
		{"tcp.retransmits", &tcp.Retransmits}, {"tcp.timeouts", &tcp.Timeouts}, {"tcp.fast_recoveries", &tcp.FastRecoveries},
		{"tcp.spurious_recoveries", &tcp.SpuriousRecoveries}, {"tcp.spurious_timeouts", &tcp.SpuriousTimeouts}, {"tcp.tail_probes", &tcp.TailProbes},
		{"tcp.sack_reneged", &tcp.SACKReneged}, {"tcp.duplicates_tx", &tcp.DuplicatesTx},
		{"tcp.ecn_marks_rx", &tcp.MarksRx}, {"tcp.ecn_marks_answered", &tcp.MarksAnswered},
		{"tcp.out_of_order", &tcp.OutOfOrder}, {"tcp.duplicates_rx", &tcp.DuplicatesRx},
		{"tcp.resets_rx", &tcp.ResetsRx}, {"tcp.resets_tx", &tcp.ResetsTx},
		{"tcp.challenge_acks", &tcp.ChallengeAcks}, {"tcp.zero_window_probes", &tcp.ZeroWindowProbes},
		{"tcp.black_holes", &tcp.BlackHoles},
		{"tcp.keep_alive_probes", &tcp.KeepAliveProbes}, {"tcp.memory_pressure", &tcp.MemoryPressure},
	} {
		f(c.name, c.at)
	}
	s.filterCounters(f)
}

type counter struct {
	name string
	at   *uint64
}

// counters calls f with where the counters of the interface's own boxes are.
func (i *Interface) counters(f func(name string, at *uint64)) {
	n, e, a, d, h := &i.NIC.Stats, &i.Eth.Stats, &i.ARP.Stats, &i.NDP.Stats, &i.DHCP.Stats
	r, h6 := &i.RA.Stats, &i.DHCP6.Stats
	for _, c := range [...]counter{
		{"packets_rx", &n.PacketsRx}, {"packets_tx", &n.PacketsTx}, // the name until 2017, and since
		{"stat_rx_total_packets", &n.PacketsRx}, {"stat_tx_total_packets", &n.PacketsTx},
		{"stat_rx_total_bytes", &n.BytesRx}, {"stat_tx_total_bytes", &n.BytesTx},
		{"sendq_max", &n.SendqMax}, {"sendq_now", &n.SendqNow}, {"sendq_dropped", &n.SendqDropped},

		{"ethernet.packets_rx", &e.PacketsRx}, {"ethernet.packets_tx", &e.PacketsTx}, {"ethernet.packets_dropped", &e.PacketsDropped},

		{"arp.requests_rx", &a.RequestsRx}, {"arp.requests_tx", &a.RequestsTx}, {"arp.replies_rx", &a.RepliesRx},
		{"arp.replies_tx", &a.RepliesTx}, {"arp.dropped", &i.ARP.Dropped}, {"arp.conflicts", &a.Conflicts},
		{"arp.unreachable", &i.ARP.Silent},

		{"ndp.solicits_rx", &d.SolicitsRx}, {"ndp.solicits_tx", &d.SolicitsTx}, {"ndp.adverts_rx", &d.AdvertsRx},
		{"ndp.adverts_tx", &d.AdvertsTx}, {"ndp.dropped", &i.NDP.Dropped}, {"ndp.conflicts", &d.Conflicts},
		{"ndp.unreachable", &i.NDP.Silent},

		{"dhcp.packets_rx", &h.PacketsRx}, {"dhcp.packets_tx", &h.PacketsTx}, {"dhcp.packets_dropped", &h.Dropped},
		{"dhcp.bound", &h.Bound}, {"dhcp.lost", &h.Lost},

		{"slaac.adverts_rx", &r.AdvertsRx}, {"slaac.dropped", &r.Dropped},
		{"dhcp6.packets_rx", &h6.PacketsRx}, {"dhcp6.packets_tx", &h6.PacketsTx}, {"dhcp6.packets_dropped", &h6.Dropped},
	} {
		f(c.name, c.at)
	}
}
