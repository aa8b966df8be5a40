package firewall

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ukvm.dev/hypercall"
)

// IP protocols.
const (
	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
)

var protos = map[string]int{"tcp": protoTCP, "udp": protoUDP, "icmp": protoICMP, "icmp6": protoICMP6}

func isProto(word string) bool { return protos[word] != 0 || word == "proto" }

// types are names of ICMP types (RFC 792, RFC 4443, RFC 2710), as nftables has them.
var types = map[int]map[string]uint8{
	protoICMP: {
		"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
		"router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
		"timestamp-request": 13, "timestamp-reply": 14,
	},
	protoICMP6: {
		"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
		"echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132,
		"router-solicitation": 133, "router-advertisement": 134, "neighbour-solicitation": 135,
		"neighbour-advertisement": 136, "redirect": 137, "mld2-listener-report": 143,
	},
}

var flags = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}

var states = []string{"new", "established", "related", "invalid", "untracked"}

var units = map[string]uint32{"second": 1, "minute": 60, "hour": 3600, "day": 86400}

var answers = map[string]uint8{
	"rst": hypercall.FirewallAnswerReset, "port": hypercall.FirewallAnswerPort, "host": hypercall.FirewallAnswerHost,
	"prohibited": hypercall.FirewallAnswerProhibited,
}

// hints are words that other firewalls have.
var hints = map[string]string{
	"ip": "write saddr or daddr alone", "ip6": "write saddr or daddr alone", "ct": "write state alone",
	"iifname": "write iif", "oifname": "write oif", "in": "write iif", "out": "write oif", "from": "write saddr", "to": "write daddr",
	"counter": "every rule counts; count NAME makes it visible", "icmpv6": "write icmp6", "meta": "write proto NUMBER",
	"l4proto": "write proto NUMBER", "port": "write sport or dport", "allow": "write accept", "pass": "write accept", "deny": "write drop",
	"block": "write drop", "ACCEPT": "write accept", "DROP": "write drop", "REJECT": "write reject", "goto": "write jump",
	"table": "there are no tables: begin with chain", "prefix": "the text follows log directly", "masquerade": "addresses are not translated",
	"snat": "addresses are not translated", "dnat": "addresses are not translated", "rate": "the rate follows limit directly",
	"hook": "a chain's name says where it is: prerouting, input, forward, output, postrouting",
}

func hint(word string) string {
	if h := hints[word]; h != "" {
		return ": " + h
	}
	return ""
}

// condition reads the rest of a condition that begins with word, and reports whether there is such a condition.
func (p *parser) condition(r *rule, word string) bool {
	switch word {
	case "iif":
		p.list("iif", nil, func(w string) string { return addCard(&r.in, w) })
	case "oif":
		p.list("oif", nil, func(w string) string { return addCard(&r.out, w) })
	case "tcp", "udp", "icmp", "icmp6":
		r.proto = protos[word]
	case "proto":
		r.proto = p.proto()
	case "saddr":
		r.src = p.use(word, (*set).addAddr)
	case "daddr":
		r.dst = p.use(word, (*set).addAddr)
	case "sport":
		r.srcPort = p.use(word, (*set).addPort)
	case "dport":
		r.dstPort = p.use(word, (*set).addPort)
	case "type":
		p.list(word, nil, func(w string) string { return r.addType(w) })
	case "flags":
		p.list(word, nil, func(w string) string { return r.addFlag(w) })
	case "state":
		p.list(word, nil, func(w string) string { return r.addState(w) })
	case "limit":
		r.limit = p.limit()
	default:
		return false
	}
	return true
}

func (p *parser) action(r *rule, word string) bool {
	switch word {
	case "count":
		if r.count = p.token.text; p.token.kind != tokenWord || !validName(r.count) {
			p.wrong("count is followed by a name, not by %s", p.token.describe())
			return true
		}
		p.advance()
	case "log":
		r.log = true
		if p.token.kind == tokenText {
			r.prefix = p.advance().text
			if len(r.prefix) > hypercall.FirewallPrefix || strings.ContainsFunc(r.prefix, func(c rune) bool { return c < ' ' || c > '~' }) {
				p.wrong("what is logged begins with at most %d ordinary characters", hypercall.FirewallPrefix)
			}
		}
	default:
		return false
	}
	return true
}

func (p *parser) verdict(r *rule, word string) bool {
	switch word {
	case "accept":
		r.verdict = hypercall.FirewallAccept
	case "drop":
		r.verdict = hypercall.FirewallDrop
	case "return":
		r.verdict = hypercall.FirewallReturn
	case "reject":
		r.verdict = hypercall.FirewallReject
		if p.accept("with") {
			a, ok := answers[p.token.text]
			if !ok || p.token.kind != tokenWord {
				p.wrong("reject with rst, port, host or prohibited, not %s", p.token.describe())
				return true
			}
			r.answer = a
			p.advance()
		}
	case "jump":
		r.verdict = hypercall.FirewallJump
		if r.jump = p.token.text; p.token.kind != tokenWord {
			p.wrong("jump is followed by the name of a chain, not by %s", p.token.describe())
			return true
		}
		p.advance()
	default:
		return false
	}
	return true
}

func (p *parser) proto() int {
	w := p.token.text
	if n, ok := protos[w]; ok {
		p.advance()
		return n
	}
	n, err := strconv.ParseUint(w, 10, 8)
	if err != nil || n == 0 || p.token.kind != tokenWord {
		p.wrong("proto is followed by a number from 1 to 255, not by %s", p.token.describe())
		return 0
	}
	p.advance()
	return int(n)
}

// list reads one element or several. named, if not nil, is for @NAME.
func (p *parser) list(what string, named func(*set), add func(string) string) {
	switch {
	case p.token.is("@") && named != nil:
		p.advance()
		s := p.rules.setOf(p.token.text)
		if s == nil || p.token.kind != tokenWord {
			p.wrong("there is no set %s above", p.token.describe())
			return
		}
		p.advance()
		named(s)
	case p.accept("{"):
		p.elements(add)
	default:
		for {
			if p.token.kind != tokenWord {
				p.wrong("%s is followed by %s", what, p.token.describe())
				return
			}
			t := p.advance()
			if w := add(t.text); w != "" {
				p.fail(t.line, "%s", w)
			}
			if !p.accept(",") {
				return
			}
			p.skipLines()
		}
	}
}

// use reads the set of a condition.
func (p *parser) use(what string, add func(*set, string) string) (u use) {
	u.not = p.accept("!=")
	line := p.token.line
	u.set = &set{line: line, number: -1}
	p.list(what, func(s *set) {
		ports := strings.HasSuffix(what, "port")
		if (ports && s.ports == nil || !ports && s.prefixes == nil) && len(p.errors) == 0 {
			p.fail(line, "the set %s is not of what %s is about", s.name, what)
		}
		u.set = s
	}, func(w string) string { return add(u.set, w) })
	return u
}

func (s *set) addAddr(w string) string {
	bad := quote(w) + " is no address or prefix"
	a, err := netip.ParseAddr(w)
	pre := netip.PrefixFrom(a, a.BitLen())
	if a.Zone() != "" {
		return bad
	}
	if err != nil {
		if pre, err = netip.ParsePrefix(w); err != nil {
			return bad
		}
	}
	if pre.Addr().Is4In6() {
		return bad
	}
	if pre.Masked() != pre {
		return quote(w) + " has bits set behind its prefix: do you mean " + pre.Masked().String() + "?"
	}
	s.prefixes = append(s.prefixes, pre)
	return ""
}

func (s *set) addPort(w string) string {
	a, b, isRange := strings.Cut(w, "-")
	if !isRange {
		b = a
	}
	first, err1 := strconv.ParseUint(a, 10, 16)
	last, err2 := strconv.ParseUint(b, 10, 16)
	if err1 != nil || err2 != nil || first > last {
		return quote(w) + " is no port or range of ports"
	}
	s.ports = append(s.ports, [2]uint16{uint16(first), uint16(last)})
	return ""
}

func addCard(l *[]string, w string) string {
	switch {
	case !validName(w):
		return quote(w) + " is no name of a network card"
	case w == "lo":
		return "loopback is not filtered: leave it out"
	case !slices.Contains(*l, w):
		*l = append(*l, w)
	}
	return ""
}

func (r *rule) addType(w string) string {
	t, ok := types[r.proto][w]
	if !ok {
		n, err := strconv.ParseUint(w, 10, 8)
		if err != nil {
			return quote(w) + " is no ICMP type: write icmp or icmp6 before type, and a name or number behind"
		}
		t = uint8(n)
	}
	if !slices.Contains(r.types, t) {
		r.types = append(r.types, t)
	}
	return ""
}

func (r *rule) addFlag(w string) string {
	to := &r.set
	if rest, ok := strings.CutPrefix(w, "!"); ok {
		w, to = rest, &r.clear
	}
	i := slices.Index(flags, w)
	if i < 0 {
		return quote(w) + " is no TCP flag: they are " + strings.Join(flags, ", ")
	}
	*to |= 1 << i
	return ""
}

func (r *rule) addState(w string) string {
	i := slices.Index(states, w)
	if i < 0 {
		return quote(w) + " is no state: they are " + strings.Join(states, ", ")
	}
	r.states |= 1 << i
	return ""
}

func (p *parser) limit() (l limit) {
	l.set, l.over = true, p.accept("over")
	events, unit, ok := strings.Cut(p.token.text, "/")
	n, err := strconv.ParseUint(events, 10, 32)
	l.events, l.per = uint32(n), units[unit]
	if !ok || err != nil || n == 0 || l.per == 0 || p.token.kind != tokenWord {
		p.wrong("a limit is N/second, N/minute, N/hour or N/day, not %s%s", p.token.describe(), hint(p.token.text))
		return l
	}
	p.advance()
	if p.accept("burst") {
		n, err := strconv.ParseUint(p.token.text, 10, 32)
		if err != nil || n == 0 || n > hypercall.FirewallBurst || p.token.kind != tokenWord {
			p.wrong("a burst is 1 to %d packets, not %s", hypercall.FirewallBurst, p.token.describe())
			return l
		}
		l.burst = uint32(n)
		p.advance()
	}
	return l
}
