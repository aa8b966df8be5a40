package net

import (
	"net/netip"

	"ukvm.dev/guest/net/icmp6"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

var (
	allIGMPv3Routers = netip.AddrFrom4([4]byte{224, 0, 0, 22})
	allRouters4      = netip.AddrFrom4([4]byte{224, 0, 0, 2})
)

// wireGroups joins the boxes that announce the interface's groups with the two IPs.
func (i *Interface) wireGroups() {
	s := i.stack
	i.link.Membership, i.link6.Membership = i.IGMP.Changed, i.MLD.Changed
	i.IGMP.Groups, i.MLD.Groups = i.link.Groups, i.link6.Groups
	i.IGMP.Report, i.MLD.Report = i.reportIGMP, i.reportMLD
	now := func() int64 { return s.now }
	i.IGMP.Now, i.IGMP.Random, i.IGMP.Wheel = now, s.config.Random, &s.wheel
	i.MLD.Now, i.MLD.Random, i.MLD.Wheel = now, s.config.Random, &s.wheel
}

// reportIGMP is mcast.Box.Report for IPv4: IGMPv3 (RFC 3376 §4.2) or, for an old router, IGMPv2 (RFC 2236 §2).
func (i *Interface) reportIGMP(records []wire.GroupRecord, old bool) {
	s := i.stack
	send := func(dst netip.Addr, p *packet.Packet) {
		wire.ICMP(p.Bytes()).SetChecksum(wire.Checksum(p.Bytes()))
		p.Src, p.Dst, p.Link, p.Proto, p.TTL, p.TOS = i.link.Addr(), dst, i.link.Index, wire.ProtoIGMP, 1, 0xc0
		s.boxes.IP4.Send(p)
	}
	if !old {
		p := s.pool.Linear(wire.GroupReportSize(len(records), false))
		wire.EncodeGroupReport(p.Bytes(), wire.IGMPv3Report, records)
		send(allIGMPv3Routers, p)
		return
	}
	for _, r := range records {
		p := s.pool.Linear(wire.ICMPSize)
		dst, typ := r.Group, uint8(wire.IGMPv2Report)
		if r.Kind == wire.GroupToInclude {
			dst, typ = allRouters4, wire.IGMPv2Leave
		}
		a := r.Group.As4()
		wire.ICMP(p.Bytes()).Encode(typ, 0, uint32(a[0])<<24|uint32(a[1])<<16|uint32(a[2])<<8|uint32(a[3]))
		send(dst, p)
	}
}

// reportMLD is mcast.Box.Report for IPv6: MLDv2 (RFC 3810 §5.2) or, for an old router, MLDv1 (RFC 2710 §3).
func (i *Interface) reportMLD(records []wire.GroupRecord, old bool) {
	s := i.stack
	src := i.link6.LinkLocal()
	if !src.IsValid() {
		src = netip.IPv6Unspecified() // RFC 3590
	}
	send := func(dst netip.Addr, p *packet.Packet) {
		icmp6.Checksum(p, src, dst)
		// A hop-by-hop header with router alert (RFC 2711) and padding.
		copy(p.Prepend(8), []byte{wire.ProtoICMPv6, 0, wire.OptRouterAlert, 2, 0, 0, 1, 0})
		p.Src, p.Dst, p.Link, p.Proto, p.TTL = src, dst, i.link6.Index, wire.ProtoHopByHop, 1
		s.boxes.IP6.Send(p)
	}
	if !old {
		p := s.pool.Linear(wire.GroupReportSize(len(records), true))
		wire.EncodeGroupReport(p.Bytes(), wire.MLDv2Report, records)
		send(wire.AllMLDv2Routers, p)
		return
	}
	for _, r := range records {
		p := s.pool.Linear(wire.ICMPSize + 16)
		dst, typ := r.Group, uint8(wire.MLDReport)
		if r.Kind == wire.GroupToInclude {
			dst, typ = wire.AllRouters, wire.MLDDone
		}
		wire.ICMP(p.Bytes()).Encode(typ, 0, 0)
		copy(p.Bytes()[wire.ICMPSize:], r.Group.AsSlice())
		send(dst, p)
	}
}

// toIGMP takes an IGMP message: queries, from the link, are answered.
func (s *Stack) toIGMP(p *packet.Packet) {
	if n := p.Link - firstCard; n >= 0 && n < len(s.interfaces) && p.TTL == 1 && p.Pieces() == 1 && wire.Checksum(p.Bytes()) == 0 {
		if delay, group, old, ok := wire.ParseIGMPQuery(p.Bytes()); ok {
			s.interfaces[n].IGMP.Query(delay, group, old)
		}
	}
	p.Release()
}

// toMLD takes an MLD message, whose checksum is right, likewise.
func (s *Stack) toMLD(p *packet.Packet) {
	if n := p.Link - firstCard; n >= 0 && n < len(s.interfaces) && p.TTL == 1 && p.Src.IsLinkLocalUnicast() {
		if delay, group, old, ok := wire.ParseMLDQuery(p.Bytes()); ok {
			s.interfaces[n].MLD.Query(delay, group, old)
		}
	}
	p.Release()
}
