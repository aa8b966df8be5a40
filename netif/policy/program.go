package policy

import (
	"net/netip"
	"time"

	"github.com/cilium/ebpf/asm"

	"ukvm.dev/netif"
)

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	// Places in struct __sk_buff (include/uapi/linux/bpf.h).
	skbLength      = 0
	skbVLANPresent = 20

	// Verdicts of TCX programs.
	next = -1 // what other programs say
	shot = 2

	// Events: so many at once, then one each interval. The rest is only counted.
	eventBurst    = 32
	eventInterval = 100 * time.Millisecond

	flagSYN, flagACK = 2, 16
)

// Places in the value of the map of buckets.
const (
	packetBucket = 0
	eventBucket  = 8
	bucketsSize  = 16
)

// program is what is assembled for one direction.
type program struct {
	assembler
	policy    *Policy
	guest     netif.Config
	fromGuest bool

	counters, buckets, events int // descriptors of maps
}

// sources are the addresses of the guest in a version of IP. They are not known, and so not checked, if the guest asks others
// for them and the policy does not say.
func (p *program) sources(v6 bool) (sources []netip.Prefix, known bool) {
	told, asks := p.guest.Addr, p.guest.DHCP
	if v6 {
		told, asks = p.guest.Addr6, p.guest.Routers
	}
	for _, a := range p.policy.Addrs {
		if a.Addr().Is6() == v6 {
			sources = append(sources, a)
		}
	}
	if asks && len(sources) == 0 {
		return nil, false
	}
	if told.IsValid() {
		sources = append(sources, netip.PrefixFrom(told.Addr(), told.Addr().BitLen()))
	}
	if v6 {
		sources = append(sources, netip.MustParsePrefix("fe80::/10"))
	}
	return sources, true
}

// assemble makes the program.
func (p *program) assemble() asm.Instructions {
	p.begin()
	p.add(asm.JEq.Imm(fragment, wire16(etherARP), "arp"), asm.JEq.Imm(fragment, wire16(etherIPv4), "ipv4"),
		asm.JEq.Imm(fragment, wire16(etherIPv6), "ipv6"))
	p.drop(OtherProtocol)
	p.mark("arp")
	p.arp()
	p.mark("ipv4")
	p.ipv4()
	p.mark("ipv6")
	p.ipv6()
	p.mark("pass")
	p.pass()
	p.mark("drop")
	p.dropped()
	return prune(p.insns)
}

// wire16 is how a number of two bytes is read from the wire by this architecture.
func wire16(n uint16) int32 { return int32(n>>8 | n<<8) }

// begin clears the event and takes the Ethernet header. The type is in register fragment.
func (p *program) begin() {
	tagged, foreign, ok := p.label(), p.label(), p.label()
	p.add(asm.Mov.Reg(context, asm.R1), asm.Mov.Imm(asm.R0, 0))
	for i := int16(0); i < eventSize; i += 8 {
		p.add(asm.StoreMem(asm.RFP, event+i, asm.R0, asm.DWord))
	}
	direction := int64(1)
	if p.fromGuest {
		direction = 0
	}
	p.add(
		asm.StoreImm(asm.RFP, event+atDirection, direction, asm.Byte),
		asm.LoadMem(asm.R0, context, skbLength, asm.Word), asm.StoreMem(asm.RFP, event+atLength, asm.R0, asm.Word),
	)
	p.load(0, headers, netif.EthernetSize)
	p.copyHalves(headers+6, event+atMAC, 6)
	p.add(
		asm.LoadMem(fragment, asm.RFP, headers+12, asm.Half), asm.StoreMem(asm.RFP, event+atType, fragment, asm.Half),
		asm.LoadMem(asm.R0, context, skbVLANPresent, asm.Word), asm.JNE.Imm(asm.R0, 0, tagged),
	)
	if p.fromGuest {
		p.equalMAC(headers+6, p.guest.MAC, foreign)
	}
	p.add(asm.Ja.Label(ok))
	p.mark(tagged)
	p.drop(Tagged)
	p.mark(foreign)
	p.drop(ForeignMAC)
	p.mark(ok)
}

// arp checks the sender (RFC 826). One that has no address asks whether it may have one (RFC 5227).
func (p *program) arp() {
	const size, senderMAC, sender, target = 28, 8, 14, 24
	p.load(netif.EthernetSize, headers, size)
	p.copyHalves(headers+sender, event+atSrc, 4)
	p.copyHalves(headers+target, event+atDst, 4)
	if p.fromGuest {
		foreign := p.label()
		p.equalMAC(headers+senderMAC, p.guest.MAC, foreign)
		p.add(asm.LoadMem(asm.R0, asm.RFP, event+atSrc, asm.Word), asm.JEq.Imm32(asm.R0, 0, "pass"))
		p.checkSource(event+atSrc, false)
		p.add(asm.Ja.Label("pass"))
		p.mark(foreign)
		p.drop(ForeignMAC)
		return
	}
	p.add(asm.Ja.Label("pass"))
}

// checkSource drops the packet unless the address on the stack is one of the guest's.
func (p *program) checkSource(at int16, v6 bool) {
	sources, known := p.sources(v6)
	if !known {
		return
	}
	ok := p.label()
	for _, s := range sources {
		other := p.label()
		p.within(at, s, other)
		p.add(asm.Ja.Label(ok))
		p.mark(other)
	}
	p.drop(ForeignSource)
	p.mark(ok)
}

// ipv4 takes the headers of IPv4 (RFC 791).
func (p *program) ipv4() {
	malformed, whole, first, ok := p.label(), p.label(), p.label(), p.label()
	p.load(netif.EthernetSize, headers, 20)
	p.copyHalves(headers+12, event+atSrc, 4)
	p.copyHalves(headers+16, event+atDst, 4)
	p.add(
		asm.LoadMem(protocol, asm.RFP, headers+9, asm.Byte), asm.StoreMem(asm.RFP, event+atProtocol, protocol, asm.Byte),
		asm.LoadMem(opening, asm.RFP, headers, asm.Byte),
		asm.Mov.Reg(asm.R0, opening), asm.RSh.Imm(asm.R0, 4), asm.JNE.Imm(asm.R0, 4, malformed),
		asm.And.Imm(opening, 15), asm.JLT.Imm(opening, 5, malformed),
		asm.LSh.Imm(opening, 2), asm.Add.Imm(opening, netif.EthernetSize),
		asm.LoadMem(fragment, asm.RFP, headers+6, asm.Half), asm.HostTo(asm.BE, fragment, asm.Half), asm.And.Imm(fragment, 0x1fff),
		asm.JEq.Imm(fragment, 0, first),
		// A fragment that begins within the header of TCP is none that anybody makes (RFC 3128).
		asm.JNE.Imm(fragment, 1, whole), asm.JNE.Imm(protocol, int32(TCP), whole),
	)
	p.mark(malformed)
	p.drop(Malformed)
	p.mark(whole)
	p.add(asm.Mov.Imm(opening, 0), asm.Ja.Label(ok))
	p.mark(first)
	p.transport(int32(ICMP), 8)
	p.mark(ok)
	if p.guest.DHCP {
		p.dhcp()
	}
	if p.fromGuest {
		p.checkSource(event+atSrc, false)
	}
	if len(p.policy.Rules) > 0 {
		p.icmpErrors(int32(ICMP), 3, 11, 12)
		p.rules(false)
	}
	p.add(asm.Ja.Label("pass"))
}

// transport takes the beginning of what is behind the IP header, whose place is in opening, and sets opening.
func (p *program) transport(icmp, echoRequest int32) {
	tcp, udp, isICMP, opens, done := p.label(), p.label(), p.label(), p.label(), p.label()
	p.add(
		asm.JEq.Imm(protocol, int32(TCP), tcp), asm.JEq.Imm(protocol, int32(UDP), udp), asm.JEq.Imm(protocol, icmp, isICMP),
		asm.Mov.Imm(opening, 0), asm.Ja.Label(done),
	)
	p.mark(tcp)
	p.loadAt(opening, ports, 14)
	p.copyHalves(ports, event+atSrcPort, 4)
	p.add(
		asm.LoadMem(asm.R0, asm.RFP, ports+13, asm.Byte), asm.And.Imm(asm.R0, flagSYN|flagACK),
		asm.JEq.Imm(asm.R0, flagSYN, opens),
		asm.Mov.Imm(opening, 0), asm.Ja.Label(done),
	)
	p.mark(udp)
	p.loadAt(opening, ports, 8)
	p.copyHalves(ports, event+atSrcPort, 4)
	p.add(asm.Mov.Imm(opening, 0), asm.Ja.Label(done))
	p.mark(isICMP)
	if icmp == icmpv6 {
		p.discovery()
	}
	p.loadAt(opening, ports, 4)
	p.add(
		asm.LoadMem(asm.R0, asm.RFP, ports, asm.Byte), asm.StoreMem(asm.RFP, event+atICMP, asm.R0, asm.Byte),
		asm.JEq.Imm(asm.R0, echoRequest, opens),
		asm.Mov.Imm(opening, 0), asm.Ja.Label(done),
	)
	p.mark(opens)
	p.add(asm.Mov.Imm(opening, 1))
	p.mark(done)
}

// dhcp lets a client talk with servers (RFC 2131 section 4.1), also before it has an address.
func (p *program) dhcp() {
	const client, server = 68, 67
	no := p.label()
	src, dst := int32(client), int32(server)
	if !p.fromGuest {
		src, dst = server, client
	}
	p.add(
		asm.JNE.Imm(protocol, int32(UDP), no), asm.JNE.Imm(fragment, 0, no),
		asm.LoadMem(asm.R0, asm.RFP, event+atSrcPort, asm.Half), asm.JNE.Imm(asm.R0, wire16(uint16(src)), no),
		asm.LoadMem(asm.R0, asm.RFP, event+atDstPort, asm.Half), asm.JNE.Imm(asm.R0, wire16(uint16(dst)), no),
	)
	if p.fromGuest {
		p.add(asm.LoadMem(asm.R0, asm.RFP, event+atSrc, asm.Word), asm.JEq.Imm32(asm.R0, 0, "pass"))
		p.checkSource(event+atSrc, false)
	}
	p.add(asm.Ja.Label("pass"))
	p.mark(no)
}

// ipv6 takes the header of IPv6 (RFC 8200).
func (p *program) ipv6() {
	const hopByHop = 0
	notMLD, ok := p.label(), p.label()
	p.load(netif.EthernetSize, headers, 40)
	p.copyHalves(headers+8, event+atSrc, 16)
	p.copyHalves(headers+24, event+atDst, 16)
	p.add(
		asm.LoadMem(protocol, asm.RFP, headers+6, asm.Byte), asm.StoreMem(asm.RFP, event+atProtocol, protocol, asm.Byte),
		asm.Mov.Imm(fragment, 0), asm.Mov.Imm(opening, netif.EthernetSize+40),
		asm.LoadMem(asm.R0, asm.RFP, headers, asm.Byte), asm.RSh.Imm(asm.R0, 4), asm.JEq.Imm(asm.R0, 6, ok),
	)
	p.drop(Malformed)
	p.mark(ok)
	// Reports of group members, to a group of the link (RFC 3810 section 5).
	p.add(asm.JNE.Imm(protocol, hopByHop, notMLD))
	p.within(event+atDst, netip.MustParsePrefix("ff02::/16"), notMLD)
	if p.fromGuest {
		p.unspecified("pass")
		p.checkSource(event+atSrc, true)
	}
	p.add(asm.Ja.Label("pass"))
	p.mark(notMLD)
	p.transport(icmpv6, 128)
	if p.fromGuest {
		p.checkSource(event+atSrc, true)
	}
	if len(p.policy.Rules) > 0 {
		p.icmpErrors(icmpv6, 1, 2, 3, 4)
		p.rules(true)
	}
	p.add(asm.Ja.Label("pass"))
}

// unspecified goes to label if the source is.
func (p *program) unspecified(label string) {
	other := p.label()
	p.within(event+atSrc, netip.PrefixFrom(netip.IPv6Unspecified(), 128), other)
	p.add(asm.Ja.Label(label))
	p.mark(other)
}

// discovery sees to the messages of neighbour discovery and multicast listeners (RFC 4861, RFC 2710, RFC 3810): for the
// guest all pass; it sends none of a router's, and advertises only addresses of its own.
func (p *program) discovery() {
	const (
		firstListener, lastListener             = 130, 132
		routerSolicitation, routerAdvertisement = 133, 134
		neighborSolicitation, advertisement     = 135, 136
		redirect, listenerReport                = 137, 143
	)
	other, router, solicits := p.label(), p.label(), p.label()
	p.loadAt(opening, ports, 4)
	p.add(asm.LoadMem(asm.R0, asm.RFP, ports, asm.Byte))
	if !p.fromGuest {
		p.add(asm.JLT.Imm(asm.R0, firstListener, other), asm.JLE.Imm(asm.R0, redirect, "pass"), asm.JEq.Imm(asm.R0, listenerReport, "pass"))
		p.mark(other)
		return
	}
	advertises := p.label()
	p.add(
		asm.JEq.Imm(asm.R0, routerAdvertisement, router), asm.JEq.Imm(asm.R0, redirect, router), asm.JEq.Imm(asm.R0, firstListener, router),
		asm.JEq.Imm(asm.R0, routerSolicitation, solicits), asm.JEq.Imm(asm.R0, neighborSolicitation, solicits),
		asm.JEq.Imm(asm.R0, advertisement, advertises),
		asm.Ja.Label(other),
	)
	p.mark(router)
	p.drop(RouterMessage)
	p.mark(advertises)
	p.loadAt(opening, headers, 24)
	p.checkSource(headers+8, true)
	p.checkSource(event+atSrc, true)
	p.add(asm.Ja.Label("pass"))
	p.mark(solicits)
	p.unspecified("pass")
	p.checkSource(event+atSrc, true)
	p.add(asm.Ja.Label("pass"))
	p.mark(other)
}

// icmpErrors lets reports of errors pass.
func (p *program) icmpErrors(number int32, types ...int32) {
	no := p.label()
	p.add(asm.JNE.Imm(protocol, number, no), asm.JNE.Imm(fragment, 0, no), asm.LoadMem(asm.R0, asm.RFP, event+atICMP, asm.Byte))
	for _, kind := range types {
		p.add(asm.JEq.Imm(asm.R0, kind, "pass"))
	}
	p.mark(no)
}

// rules goes on to pass if one allows the packet.
func (p *program) rules(v6 bool) {
	for _, r := range p.policy.Rules {
		if r.Peer.IsValid() && r.Peer.Addr().Is6() != v6 {
			continue
		}
		p.rule(r, v6)
	}
	p.drop(NoRule)
}

func (p *program) rule(r Rule, v6 bool) {
	not := p.label()
	number := int32(r.Protocol)
	if r.Protocol == ICMP && v6 {
		number = icmpv6
	}
	if r.Protocol != Any {
		p.add(asm.JNE.Imm(protocol, number, not))
	}
	peer := int16(event + atSrc)
	if p.fromGuest {
		peer = event + atDst
	}
	if r.Peer.IsValid() {
		p.within(peer, r.Peer, not)
	}
	forward := (r.Direction == To) == p.fromGuest
	if !forward {
		p.add(asm.JNE.Imm(opening, 0, not))
	}
	if r.High != 0 {
		if r.Protocol == Any {
			hasPorts := p.label()
			p.add(asm.JEq.Imm(protocol, int32(TCP), hasPorts), asm.JNE.Imm(protocol, int32(UDP), not))
			p.mark(hasPorts)
		}
		place := int16(event + atSrcPort)
		if forward {
			place = event + atDstPort
		}
		p.add(
			asm.JNE.Imm(fragment, 0, "pass"),
			asm.LoadMem(asm.R0, asm.RFP, place, asm.Half), asm.HostTo(asm.BE, asm.R0, asm.Half),
			asm.JLT.Imm(asm.R0, int32(r.Low), not), asm.JGT.Imm(asm.R0, int32(r.High), not),
		)
	}
	p.add(asm.Ja.Label("pass"))
	p.mark(not)
}

// pass ends the program for a packet that may pass, if it does not come too fast.
func (p *program) pass() {
	first := int32(Passed)
	if p.fromGuest && p.policy.Rate > 0 {
		fast, ok := p.label(), p.label()
		interval := int64(time.Second) / int64(p.policy.Rate)
		p.spend(p.buckets, packetBucket, interval, interval*int64(max(p.policy.Rate/10, 10)), fast)
		p.add(asm.Ja.Label(ok))
		p.mark(fast)
		p.drop(TooFast)
		p.mark(ok)
	}
	if !p.fromGuest {
		first += int32(reasons)
	}
	p.add(asm.Mov.Imm(asm.R1, first))
	p.count(p.counters)
	p.add(asm.Mov.Imm(asm.R0, next), asm.Return())
}

// dropped ends the program for another one, whose reason is in register fragment.
func (p *program) dropped() {
	quiet := p.label()
	p.add(asm.StoreMem(asm.RFP, event+atReason, fragment, asm.Byte), asm.Mov.Reg(asm.R1, fragment))
	if !p.fromGuest {
		p.add(asm.Add.Imm(asm.R1, int32(reasons)))
	}
	p.count(p.counters)
	p.spend(p.buckets, eventBucket, int64(eventInterval), int64(eventInterval)*(eventBurst-1), quiet)
	p.add(
		asm.LoadMapPtr(asm.R1, p.events),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, event),
		asm.Mov.Imm(asm.R3, eventSize), asm.Mov.Imm(asm.R4, 0),
		asm.FnRingbufOutput.Call(),
	)
	p.mark(quiet)
	p.add(asm.Mov.Imm(asm.R0, shot), asm.Return())
}
