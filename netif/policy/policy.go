package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Policy is what a guest may do beyond what the guard forbids. The zero value is the guard alone.
type Policy struct {
	Addrs []netip.Prefix // further source addresses of the guest
	Rules []Rule         // at most MaxRules; none: all peers are allowed
	Rate  int            // packets a second that the guest may send, at most MaxRate; 0: any number
}

// Limits of a Policy.
const (
	MaxRules = 64
	MaxAddrs = 16
	MaxRate  = 100_000_000
)

// Direction is who begins a flow.
type Direction uint8

// Directions.
const (
	To   Direction = iota // the guest, to a peer
	From                  // a peer, to the guest
)

// Protocol is that of a rule; ICMP is ICMPv6 over IPv6.
type Protocol uint8

// Protocols; other numbers of IP protocols are possible too.
const (
	Any  Protocol = 0
	ICMP Protocol = 1
	TCP  Protocol = 6
	UDP  Protocol = 17

	icmpv6 = 58
)

// Rule allows flows.
type Rule struct {
	Direction Direction
	Peer      netip.Prefix // not valid: every peer, of IPv4 and IPv6
	Protocol  Protocol
	Low, High uint16 // ports, of the peer in To and of the guest in From; 0, 0: all
}

// String is the rule as Parse reads it.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString([...]string{To: "to=", From: "from="}[r.Direction])
	peer := "*"
	if r.Peer.IsValid() {
		peer = r.Peer.String()
		if r.Peer.IsSingleIP() {
			peer = r.Peer.Addr().String()
		}
		if r.Peer.Addr().Is6() && r.High != 0 {
			peer = "[" + peer + "]"
		}
	}
	b.WriteString(peer)
	if r.High != 0 {
		fmt.Fprintf(&b, ":%d", r.Low)
		if r.High != r.Low {
			fmt.Fprintf(&b, "-%d", r.High)
		}
	}
	if name := r.Protocol.String(); r.Protocol != Any {
		b.WriteString("/" + name)
	}
	return b.String()
}

func (p Protocol) String() string {
	switch p {
	case Any:
		return "any"
	case ICMP, icmpv6:
		return "icmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return strconv.Itoa(int(p))
}

// Parse reads rules as the command line has them, each of these forms, or several with commas between:
//
//	guard                              nothing more than the guard
//	to=PEER[:PORT[-PORT]][/PROTOCOL]   the guest may begin flows to PEER
//	from=PEER[:PORT[-PORT]][/PROTOCOL] PEER may begin flows to a port of the guest
//	addr=ADDR[/LEN]                    a further source address of the guest
//	rate=N                             packets a second that the guest may send
//
// PEER is an address, a network or *; with a port, IPv6 stands in brackets. PROTOCOL is tcp, udp or icmp.
func Parse(words []string) (Policy, error) {
	var p Policy
	for _, word := range strings.Split(strings.Join(words, ","), ",") {
		if err := p.parse(word); err != nil {
			return Policy{}, fmt.Errorf("policy %q: %w", word, err)
		}
	}
	return p, p.check()
}

func (p *Policy) parse(word string) (err error) {
	key, value, _ := strings.Cut(word, "=")
	if value == "" && word != "guard" {
		return errors.New("want guard, to=PEER, from=PEER, addr=ADDR or rate=N")
	}
	switch key {
	case "guard":
		if word != key {
			return errors.New("guard takes no value")
		}
	case "to", "from":
		rule := Rule{Direction: To}
		if key == "from" {
			rule.Direction = From
		}
		if err := rule.parse(value); err != nil {
			return err
		}
		p.Rules = append(p.Rules, rule)
	case "addr":
		addr, err := parsePrefix(value)
		if err != nil {
			return err
		}
		p.Addrs = append(p.Addrs, addr)
	case "rate":
		if p.Rate != 0 {
			return errors.New("the rate is given twice")
		}
		if p.Rate, err = strconv.Atoi(value); err != nil || p.Rate < 1 || p.Rate > MaxRate {
			return fmt.Errorf("the rate is not a number of packets a second from 1 to %d", MaxRate)
		}
	default:
		return errors.New("want guard, to=PEER, from=PEER, addr=ADDR or rate=N")
	}
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" && !addr.Is4In6() {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s is not an address or network such as 10.0.0.0/8", s)
	}
	return p.Masked(), nil
}

// parse reads PEER[:PORT[-PORT]][/PROTOCOL]. What is behind the last slash is a protocol unless it is a number.
func (r *Rule) parse(s string) error {
	if i := strings.LastIndexByte(s, '/'); i > strings.LastIndexByte(s, ']') {
		rest, name := s[:i], s[i+1:]
		if _, err := strconv.Atoi(name); err != nil {
			ok := false
			protocols := map[string]Protocol{"tcp": TCP, "udp": UDP, "icmp": ICMP}
			if r.Protocol, ok = protocols[name]; !ok {
				return fmt.Errorf("protocol %s is unknown: want tcp, udp or icmp", name)
			}
			s = rest
		}
	}
	peer, ports := s, ""
	switch {
	case strings.HasPrefix(s, "["):
		inside, rest, ok := strings.Cut(s[1:], "]")
		if !ok || rest != "" && rest[0] != ':' {
			return fmt.Errorf("%s is not of the form [ADDR]:PORT", s)
		}
		peer, ports = inside, strings.TrimPrefix(rest, ":")
		if rest == ":" {
			return errors.New("the port is missing behind the colon")
		}
	case strings.Count(s, ":") == 1:
		peer, ports, _ = strings.Cut(s, ":")
		if ports == "" {
			return errors.New("the port is missing behind the colon")
		}
	}
	if peer != "*" {
		var err error
		if r.Peer, err = parsePrefix(peer); err != nil {
			return err
		}
	}
	if ports == "" {
		return nil
	}
	if r.Protocol == ICMP {
		return errors.New("icmp has no ports")
	}
	low, high, isRange := strings.Cut(ports, "-")
	if !isRange {
		high = low
	}
	l, err := strconv.ParseUint(low, 10, 16)
	h, err2 := strconv.ParseUint(high, 10, 16)
	if err != nil || err2 != nil || l == 0 || h < l {
		return fmt.Errorf("port %s is not a number from 1 to 65535, or two with - between", ports)
	}
	r.Low, r.High = uint16(l), uint16(h)
	return nil
}

func (p *Policy) check() error {
	switch {
	case len(p.Rules) > MaxRules:
		return fmt.Errorf("policy of %d rules: there can be %d", len(p.Rules), MaxRules)
	case len(p.Addrs) > MaxAddrs:
		return fmt.Errorf("policy with %d addresses: there can be %d", len(p.Addrs), MaxAddrs)
	case p.Rate < 0 || p.Rate > MaxRate:
		return fmt.Errorf("policy with a rate of %d: it must be from 1 to %d", p.Rate, MaxRate)
	}
	for _, r := range p.Rules {
		if r.High < r.Low || r.High != 0 && r.Protocol != Any && r.Protocol != TCP && r.Protocol != UDP {
			return fmt.Errorf("policy rule %v has ports that cannot be", r)
		}
	}
	return nil
}
