package posix

import (
	"strconv"
	"strings"
	"syscall"
)

// The files of /proc/net (proc_net(5)) that programs in Go read: package net the groups, gopsutil and its like the traffic,
// others the default route, or whether there is IPv6 at all. Their columns are as wide as Linux's: some cut lines by
// position.

// netDevText is /proc/net/dev.
func netDevText(s *System) string {
	var b strings.Builder
	b.WriteString("Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n")
	for _, i := range s.interfaces() {
		rx, tx := &i.Received, &i.Sent
		b.WriteString(right(i.Name, 6) + ": ")
		b.WriteString(columns([]uint64{rx.Bytes, rx.Packets, 0, rx.Dropped, 0, 0, 0, 0}, []int{7, 7, 4, 4, 4, 5, 10, 9}) + " ")
		b.WriteString(columns([]uint64{tx.Bytes, tx.Packets, 0, tx.Dropped, 0, 0, 0, 0}, []int{8, 7, 4, 4, 4, 5, 7, 10}) + "\n")
	}
	return b.String()
}

// ifInet6Text is /proc/net/if_inet6: address, interface, prefix length, scope, flags, name.
func ifInet6Text(s *System) string {
	const permanent, loopback, link = 0x80, 0x10, 0x20 // IFA_F_PERMANENT, and scopes (include/net/ipv6.h)
	var b strings.Builder
	for _, i := range s.interfaces() {
		for _, p := range i.Addrs {
			if p.Family != syscall.AF_INET6 {
				continue
			}
			scope := uint64(0)
			switch {
			case p.isLoopback():
				scope = loopback
			case p.isLinkLocal6():
				scope = link
			}
			b.WriteString(hexBytes(p.raw()) + " " + hex(uint64(i.Index), 2) + " " + hex(uint64(p.Bits), 2) + " " + hex(scope, 2) + " " +
				hex(permanent, 2) + " " + right(i.Name, 8) + "\n")
		}
	}
	return b.String()
}

// Flags of routes (route(8)).
const (
	rtfUp      = 1
	rtfGateway = 2
	rtfHost    = 4
)

func (r *Route) flags() uint64 {
	f := uint64(rtfUp)
	if r.Gateway.Family != 0 {
		f |= rtfGateway
	}
	if r.Bits == 8*len(r.raw()) {
		f |= rtfHost
	}
	return f
}

// routes are the routes of a family.
func (s *System) routes(family uint16) (list []Route) {
	s.mu.Lock()
	by, ok := s.families[syscall.AF_INET].(Router)
	s.mu.Unlock()
	if !ok {
		return nil
	}
	for _, r := range by.Routes() {
		if r.Family == family {
			list = append(list, r)
		}
	}
	return list
}

// marker is who has the setting of /proc/sys/net/ipv4/tcp_ecn.
func (s *System) marker() (Marker, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.families[syscall.AF_INET].(Marker)
	return m, ok
}

// ecnText is /proc/sys/net/ipv4/tcp_ecn. Without a network nothing is ever asked for.
func ecnText(s *System) string {
	m, ok := s.marker()
	if !ok {
		return "0\n"
	}
	return strconv.Itoa(m.ECN()) + "\n"
}

func storeECN(s *System, text string) syscall.Errno {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return syscall.EINVAL
	}
	m, ok := s.marker()
	if !ok {
		return syscall.EOPNOTSUPP
	}
	return m.SetECN(n)
}

// route4Text is /proc/net/route. Addresses are numbers of the machine's byte order.
func route4Text(s *System) string {
	line := func(text string) string { return left(text, 127) + "\n" }
	var b strings.Builder
	b.WriteString(line("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"))
	number := func(a [4]byte) string { return strings.ToUpper(hex(uint64(get32(a[:])), 8)) }
	for _, r := range s.routes(syscall.AF_INET) {
		var mask [4]byte
		for i := range r.Bits {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		b.WriteString(line(r.Link + "\t" + number(r.as4()) + "\t" + number(r.Gateway.as4()) + "\t" + strings.ToUpper(hex(r.flags(), 4)) +
			"\t0\t0\t0\t" + number(mask) + "\t0\t0\t0"))
	}
	return b.String()
}

// route6Text is /proc/net/ipv6_route: destination, source, next hop, metric, two counts, flags, interface.
func route6Text(s *System) string {
	const metric = 0x400 // IP6_RT_PRIO_USER
	none := strings.Repeat("0", 32) + " 00 "
	var b strings.Builder
	for _, r := range s.routes(syscall.AF_INET6) {
		gateway := r.Gateway.IP
		b.WriteString(hexBytes(r.raw()) + " " + hex(uint64(r.Bits), 2) + " " + none + hexBytes(gateway[:]) + " " + hex(metric, 8) + " " +
			hex(0, 8) + " " + hex(0, 8) + " " + hex(r.flags(), 8) + " " + right(r.Link, 8) + "\n")
	}
	return b.String()
}

// igmpText is /proc/net/igmp: the IPv4 groups of each interface, as numbers of the machine's byte order.
func igmpText(s *System) string {
	var b strings.Builder
	b.WriteString("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n")
	for _, i := range s.interfaces() {
		var groups strings.Builder
		n := 0
		for _, g := range i.Groups {
			if g.Family == syscall.AF_INET {
				n++
				groups.WriteString("\t\t\t\t" + strings.ToUpper(hex(uint64(get32(g.IP[:])), 8)) + "     1 0:00000000\t\t0\n")
			}
		}
		b.WriteString(strconv.Itoa(i.Index) + "\t" + left(i.Name, 10) + ": " + right(strconv.Itoa(n), 5) + "      V3\n" + groups.String())
	}
	return b.String()
}

// igmp6Text is /proc/net/igmp6.
func igmp6Text(s *System) string {
	var b strings.Builder
	for _, i := range s.interfaces() {
		for _, g := range i.Groups {
			if g.Family == syscall.AF_INET6 {
				b.WriteString(left(strconv.Itoa(i.Index), 4) + " " + left(i.Name, 15) + " " + hexBytes(g.IP[:]) + "     1 00000004 0\n")
			}
		}
	}
	return b.String()
}

// netstatText is /proc/net/netstat, of which Prometheus' process collector wants the last line.
func netstatText(s *System) string {
	const ethernet = 14
	var in, out uint64
	for _, i := range s.interfaces() {
		header := uint64(ethernet)
		if i.Loopback {
			header = 0
		}
		in += i.Received.Bytes - header*i.Received.Packets
		out += i.Sent.Bytes - header*i.Sent.Packets
	}
	return "IpExt: InOctets OutOctets\nIpExt: " + strconv.FormatUint(in, 10) + " " + strconv.FormatUint(out, 10) + "\n"
}

// columns are numbers, each at the right of a column.
func columns(values []uint64, widths []int) string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = right(strconv.FormatUint(v, 10), widths[i])
	}
	return strings.Join(list, " ")
}

func right(text string, width int) string { return strings.Repeat(" ", max(0, width-len(text))) + text }

func left(text string, width int) string { return text + strings.Repeat(" ", max(0, width-len(text))) }

// hex is a number of at least so many digits.
func hex(v uint64, digits int) string {
	text := strconv.FormatUint(v, 16)
	return strings.Repeat("0", max(0, digits-len(text))) + text
}

// hexBytes are bytes, two digits each.
func hexBytes(b []byte) string {
	var t strings.Builder
	for _, x := range b {
		t.WriteString(hex(uint64(x), 2))
	}
	return t.String()
}
