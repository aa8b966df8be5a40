package filter

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"

	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/wire"
)

// ErrConfig is wrapped by Compile's errors.
var ErrConfig = errors.New("packet filter")

// Error is an error of Compile: what is wrong with which rule. It wraps ErrConfig.
type Error struct {
	Chain string // empty: the rules as a whole
	Rule  int    // from 0; -1: the chain as a whole
	Text  string
}

func (e *Error) Error() string {
	s := "packet filter"
	if e.Chain != "" {
		s += ", chain " + e.Chain
		if e.Rule >= 0 {
			s += ", rule " + strconv.Itoa(e.Rule+1)
		}
	}
	return s + ": " + e.Text
}

// Unwrap returns ErrConfig.
func (e *Error) Unwrap() error { return ErrConfig }

// compiler is what Compile knows so far.
type compiler struct {
	config   *Config
	table    *Table
	index    map[string]int // of chains
	elements int
	addrs    map[slice[netip.Prefix]]addrSet // sets made already: those a Config repeats share their memory
	ports    map[slice[PortRange]]portSet
}

// slice is the identity of a slice that is not empty.
type slice[T any] struct {
	first *T
	n     int
}

// Compile checks rules and makes them ready to be run. The Config and what it refers to are not to be changed any more.
func Compile(config *Config) (*Table, error) {
	c := &compiler{
		config: config, table: &Table{}, index: map[string]int{},
		addrs: map[slice[netip.Prefix]]addrSet{}, ports: map[slice[PortRange]]portSet{},
	}
	if err := c.declare(); err != nil {
		return nil, err
	}
	for i := range config.Chains {
		if err := c.chain(i); err != nil {
			return nil, err
		}
	}
	if err := c.walks(); err != nil {
		return nil, err
	}
	return c.table, nil
}

// declare numbers the chains.
func (c *compiler) declare() error {
	if len(c.config.Chains) > MaxChains {
		return &Error{"", -1, "more than " + strconv.Itoa(MaxChains) + " chains"}
	}
	rules := 0
	for i := range c.config.Chains {
		ch := &c.config.Chains[i]
		bad := func(text string) error { return &Error{ch.Name, -1, text} }
		if !ValidName(ch.Name) {
			return &Error{"", -1, "a chain is named " + strconv.Quote(ch.Name)}
		}
		if _, ok := c.index[ch.Name]; ok {
			return bad("there are two chains of this name")
		}
		c.index[ch.Name] = i
		t := chain{name: ch.Name, policy: Accept}
		hook := slices.Index(hookNames[:], ch.Name)
		switch {
		case ch.Policy == Drop && hook >= 0:
			t.policy = Drop
		case ch.Policy != Continue && (ch.Policy != Accept || hook < 0):
			return bad("its policy can not be " + name(ch.Policy))
		}
		if hook >= 0 {
			c.table.hooks[hook] = int32(i + 1)
		}
		c.table.chains = append(c.table.chains, t)
		if rules += len(ch.Rules); rules > MaxRules {
			return &Error{"", -1, "more than " + strconv.Itoa(MaxRules) + " rules"}
		}
	}
	c.table.rules = make([]rule, 0, rules)
	return nil
}

func name(v Verdict) string {
	if v < verdicts {
		return v.String()
	}
	return "verdict " + strconv.Itoa(int(v))
}

// ValidName reports whether a chain, counter or interface can have the name: letters, digits, '_', '-' and '.', MaxName
// at most.
func ValidName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.':
		default:
			return false
		}
	}
	return 0 < len(s) && len(s) <= MaxName
}

func (c *compiler) chain(i int) error {
	ch := &c.config.Chains[i]
	t := &c.table.chains[i]
	t.first = int32(len(c.table.rules))
	for j := range ch.Rules {
		r, text := c.rule(&ch.Rules[j])
		if text != "" {
			return &Error{ch.Name, j, text}
		}
		c.table.rules = append(c.table.rules, r)
	}
	t.end = int32(len(c.table.rules))
	return nil
}

// rule makes a rule ready, or says what is wrong with it.
func (c *compiler) rule(s *Rule) (r rule, wrong string) {
	r = rule{rule: s, proto: s.Proto, verdict: s.Verdict, answer: s.Answer, log: s.Log}
	set := func(m match, has bool) bool {
		if has {
			r.match |= m
		}
		return has
	}
	transport := s.Proto == wire.ProtoTCP || s.Proto == wire.ProtoUDP
	set(onProto, s.Proto != 0)
	for _, l := range []struct {
		names []string
		m     match
		bits  *uint64
	}{{s.In, onIn, &r.in}, {s.Out, onOut, &r.out}} {
		if set(l.m, len(l.names) > 0) {
			if *l.bits, wrong = c.links(l.names); wrong != "" {
				return r, wrong
			}
		}
	}
	for _, a := range []struct {
		addrs *Addrs
		m     match
		not   match
		set   *addrSet
	}{{&s.Src, onSrc, notSrc, &r.src}, {&s.Dst, onDst, notDst, &r.dst}} {
		set(a.not, a.addrs.Not)
		if set(a.m, a.addrs.Not || a.addrs.Prefixes != nil) {
			if *a.set, wrong = c.addrSet(a.addrs.Prefixes); wrong != "" {
				return r, wrong
			}
		}
	}
	for _, p := range []struct {
		ports *Ports
		m     match
		not   match
		set   *portSet
	}{{&s.SrcPort, onSrcPort, notSrcPort, &r.srcPort}, {&s.DstPort, onDstPort, notDstPort, &r.dstPort}} {
		set(p.not, p.ports.Not)
		if set(p.m, p.ports.Not || p.ports.Ranges != nil) {
			if !transport {
				return r, "there are ports but the protocol is neither TCP nor UDP"
			}
			if *p.set, wrong = c.portSet(p.ports.Ranges); wrong != "" {
				return r, wrong
			}
		}
	}
	if set(onType, s.Types != nil) {
		if s.Proto != wire.ProtoICMP && s.Proto != protoICMPv6 {
			return r, "there are ICMP types but the protocol is not ICMP"
		}
		r.types = new([4]uint64)
		for _, t := range s.Types {
			r.types[t>>6] |= 1 << (t & 63)
		}
	}
	if set(onFlags, s.Set|s.Clear != 0) {
		if s.Proto != wire.ProtoTCP {
			return r, "there are flags but the protocol is not TCP"
		}
		if s.Set&s.Clear != 0 {
			return r, "a flag can not be set and clear"
		}
		r.flags, r.mask = s.Set, s.Set|s.Clear
	}
	if set(onState, s.State != 0) {
		if s.State >= 1<<conntrack.States {
			return r, "unknown state of connections"
		}
		r.state = s.State
		c.table.tracking = true
	}
	if set(onLimit, s.Limit != Limit{}) {
		l := s.Limit
		if l.Burst == 0 {
			l.Burst = DefaultBurst
		}
		if l.Events == 0 || l.Per <= 0 || l.Per > MaxPer || l.Burst > MaxBurst {
			return r, "the limit makes no sense"
		}
		set(overLimit, l.Over)
		r.limit = &limit{cost: max(int64(l.Per)/int64(l.Events), 1), burst: int64(l.Burst)}
	}
	if len(s.Prefix) > MaxPrefix {
		return r, "the log prefix is longer than " + strconv.Itoa(MaxPrefix) + " bytes"
	}
	if s.Count != "" {
		if r.counter, wrong = c.counter(s.Count); wrong != "" {
			return r, wrong
		}
	}
	return r, c.verdict(s, &r)
}

// verdict fills in what the verdict needs.
func (c *compiler) verdict(s *Rule, r *rule) (wrong string) {
	switch {
	case s.Verdict >= verdicts:
		return "unknown verdict"
	case s.Answer >= answers || s.Answer != 0 && s.Verdict != Reject:
		return "an answer is for Reject"
	case s.Answer == AnswerReset && s.Proto != wire.ProtoTCP:
		return "AnswerReset is for TCP"
	case (s.Chain != "") != (s.Verdict == Jump):
		return "a chain is for Jump"
	case s.Verdict == Jump:
		i, ok := c.index[s.Chain]
		if !ok {
			return "there is no chain " + s.Chain
		}
		if c.table.hooked(i) {
			return "it jumps to " + s.Chain + ", where packets begin"
		}
		r.chain = uint16(i)
	}
	return ""
}

// links returns a bit for each of the names.
func (c *compiler) links(names []string) (set uint64, wrong string) {
	for _, n := range names {
		if !ValidName(n) {
			return 0, "an interface is named " + strconv.Quote(n)
		}
		i := slices.Index(c.table.names, n)
		if i < 0 {
			if i = len(c.table.names); i == MaxNames {
				return 0, "rules name more than " + strconv.Itoa(MaxNames) + " interfaces"
			}
			c.table.names = append(c.table.names, n)
		}
		set |= 1 << i
	}
	return set, ""
}

func (c *compiler) counter(name string) (n uint16, wrong string) {
	if !ValidName(name) {
		return 0, "a counter is named " + strconv.Quote(name)
	}
	for i := range c.table.counters {
		if c.table.counters[i].name == name {
			return uint16(i + 1), ""
		}
	}
	if len(c.table.counters) == MaxCounters {
		return 0, "more than " + strconv.Itoa(MaxCounters) + " counters"
	}
	c.table.counters = append(c.table.counters, counter{name: name})
	return uint16(len(c.table.counters)), ""
}

const tooManyElements = "the sets of addresses and ports have too many elements"

func (c *compiler) addrSet(list []netip.Prefix) (s addrSet, wrong string) {
	if len(list) == 0 {
		return s, "a set of addresses is empty"
	}
	key := slice[netip.Prefix]{&list[0], len(list)}
	if s, ok := c.addrs[key]; ok {
		return s, ""
	}
	if c.elements += len(list); c.elements > MaxElements {
		return s, tooManyElements
	}
	for _, p := range list {
		if !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			return s, "there is an invalid address"
		}
	}
	s = makeAddrSet(list)
	c.addrs[key] = s
	return s, ""
}

func (c *compiler) portSet(list []PortRange) (s portSet, wrong string) {
	if len(list) == 0 {
		return s, "a set of ports is empty"
	}
	key := slice[PortRange]{&list[0], len(list)}
	if s, ok := c.ports[key]; ok {
		return s, ""
	}
	if c.elements += len(list); c.elements > MaxElements {
		return s, tooManyElements
	}
	for _, r := range list {
		if r.First > r.Last {
			return s, "a range of ports ends before it begins"
		}
	}
	s = makePortSet(list)
	c.ports[key] = s
	return s, ""
}

// walks checks what packets may meet from each of the five chains on: no loops, no long ways, and no conditions that
// mean nothing there.
func (c *compiler) walks() error {
	t := c.table
	state := make([]walk, len(t.chains))
	for i := range t.chains {
		if err := c.walk(i, state); err != nil {
			return err
		}
	}
	for h, i := range t.hooks {
		if i == 0 {
			continue
		}
		w := &state[i-1]
		bad := func(text string) error { return &Error{hookNames[h], -1, text} }
		switch h := Hook(h); {
		case w.steps > MaxSteps:
			return bad("a packet may have to be compared with more than " + strconv.Itoa(MaxSteps) + " rules")
		case w.depth > MaxDepth:
			return bad("more than " + strconv.Itoa(MaxDepth) + " jumps within each other")
		case w.uses&onIn != 0 && h > Forward:
			return bad("a rule asks where a packet came in, which is not known there")
		case w.uses&onOut != 0 && h < Output:
			return bad("a rule asks where a packet goes out, which is not known there")
		case w.uses&onState != 0 && (h == Prerouting || h == Postrouting):
			return bad("a rule asks for the state of a connection, which is not known there")
		}
	}
	return nil
}

// walk is what there is from a chain on.
type walk struct {
	steps int
	depth int
	uses  match
	begun bool
	done  bool
}

func (c *compiler) walk(i int, state []walk) error {
	w := &state[i]
	if w.done {
		return nil
	}
	t := &c.table.chains[i]
	if w.begun {
		return &Error{t.name, -1, "it jumps to itself"}
	}
	w.begun = true
	for j := t.first; j < t.end; j++ {
		r := &c.table.rules[j]
		w.steps++
		w.uses |= r.match
		if r.verdict != Jump {
			continue
		}
		if err := c.walk(int(r.chain), state); err != nil {
			return err
		}
		to := &state[r.chain]
		w.steps = min(w.steps+to.steps, MaxSteps+1)
		w.depth = max(w.depth, to.depth+1)
		w.uses |= to.uses
	}
	w.done = true
	return nil
}
