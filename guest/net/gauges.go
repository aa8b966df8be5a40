package net

// Gauges are not counted but there. They are read where they are, so that nothing has to keep them up to date; only for the
// monitor, which cannot ask a guest that has ended, a copy is made whenever the stack is left.

// gaugeNames are the names of what gaugeValues stores, in its order.
func (s *Stack) gaugeNames() (names []string) {
	for _, i := range s.interfaces {
		names = append(names, i.Name+".arp.entries", i.Name+".ndp.entries")
	}
	names = append(names, "udp.endpoints", "udp.memory", "ping4.endpoints", "ping6.endpoints", "tcp.connections", "tcp.time_wait",
		"tcp.memory", "timers.active", "sockets.open")
	if s.tracking() {
		names = append(names, "conntrack.entries")
	}
	return names
}

// gaugeValues stores the values of all gauges, as far as there is room.
func (s *Stack) gaugeValues(v []uint64) {
	for _, i := range s.interfaces {
		if len(v) < 2 {
			return
		}
		v[0], v[1] = uint64(i.ARP.Len()), uint64(i.NDP.Len())
		v = v[2:]
	}
	b := &s.boxes
	all := [...]uint64{
		uint64(b.UDP.Len()), uint64(b.UDP.Used()), uint64(b.Ping4.Len()), uint64(b.Ping6.Len()), uint64(b.TCP.Conns()),
		uint64(b.TCP.Waiting()), uint64(b.TCP.Memory()), uint64(s.wheel.Len()), uint64(s.sockets), uint64(b.Conntrack.Len()),
	}
	copy(v, all[:])
}

// tracking reports whether the filter tracks connections.
func (s *Stack) tracking() bool {
	t := s.boxes.Filter.Table()
	return t != nil && t.Tracking()
}

// gauges calls f with each gauge.
func (s *Stack) gauges(f func(name string, value uint64)) {
	names := s.gaugeNames()
	values := make([]uint64, len(names))
	s.gaugeValues(values)
	for n, name := range names {
		f(name, values[n])
	}
}
