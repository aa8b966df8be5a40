package firewall

import (
	"net/netip"
	"strings"

	"ukvm.dev/hypercall"
)

// Rules are rules that have been read and checked.
type Rules struct {
	code  []byte
	cards []Card
}

// Card is a network card that a rule names, and where.
type Card struct {
	Name  string
	Where string // file:line
}

// Code returns the rules as a guest takes them (hypercall/firewall.go). The caller does not change it.
func (r *Rules) Code() []byte { return r.code }

// Cards returns the network cards that rules name, each once.
func (r *Rules) Cards() []Card { return r.cards }

// Error is what is wrong with a line.
type Error struct {
	File string
	Line int
	Text string
}

func (e *Error) Error() string { return e.File + ":" + itoa(e.Line) + ": " + e.Text }

// Errors is what is wrong with a file: one error at least, maxErrors at most, in the order of their lines.
type Errors []*Error

const maxErrors = 10

func (e Errors) Error() string {
	var l []string
	for _, x := range e {
		l = append(l, x.Error())
	}
	return strings.Join(l, "\n")
}

// ruleset is a file that has been read.
type ruleset struct {
	sets   []*set
	chains []*chain
}

// set is the elements of a condition or of a set statement.
type set struct {
	name     string // "" if it has none
	line     int
	prefixes []netip.Prefix
	ports    [][2]uint16
	number   int // when encoded; -1 before
}

// chain is a chain.
type chain struct {
	name   string
	line   int
	drop   bool // policy
	policy int  // its line; 0: there is none
	rules  []*rule
}

// hooks are the chains in which packets begin, in the order they pass them.
var hooks = [...]string{"prerouting", "input", "forward", "output", "postrouting"}

func (c *chain) hook() int {
	for i, h := range hooks {
		if c.name == h {
			return i
		}
	}
	return -1
}

// rule is a rule.
type rule struct {
	line             int
	in, out          []string
	proto            int // -1: none
	src, dst         use
	srcPort, dstPort use
	types            []uint8
	set, clear       uint8
	states           uint8
	limit            limit
	count            string
	log              bool
	prefix           string
	verdict          uint8
	answer           uint8
	jump             string
	target           int // number of the chain
}

// use is a set as a condition has it.
type use struct {
	set *set // nil: no condition
	not bool
}

type limit struct {
	set    bool
	over   bool
	events uint32
	per    uint32 // seconds
	burst  uint32 // 0: the default
}

// encode makes of a checked file what a guest takes.
func (f *ruleset) encode() []byte {
	b := append([]byte(hypercall.FirewallMagic), hypercall.FirewallVersion)
	var sets []*set
	f.uses(func(u use) {
		if u.set != nil && u.set.number < 0 {
			u.set.number = len(sets)
			sets = append(sets, u.set)
		}
	})
	b = word(b, len(sets))
	for _, s := range sets {
		b = s.encode(b)
	}
	b = word(b, len(f.chains))
	for _, c := range f.chains {
		b = name(b, c.name)
		policy := byte(hypercall.FirewallAccept)
		switch {
		case c.hook() < 0:
			policy = hypercall.FirewallContinue
		case c.drop:
			policy = hypercall.FirewallDrop
		}
		b = word(append(b, policy), len(c.rules))
		for _, r := range c.rules {
			b = r.encode(b)
		}
	}
	return b
}

func (f *ruleset) uses(do func(use)) {
	for _, c := range f.chains {
		for _, r := range c.rules {
			for _, u := range []use{r.src, r.dst, r.srcPort, r.dstPort} {
				do(u)
			}
		}
	}
}

func (s *set) encode(b []byte) []byte {
	if s.ports != nil {
		b = word(append(b, hypercall.FirewallPorts), len(s.ports))
		for _, p := range s.ports {
			b = word(word(b, int(p[0])), int(p[1]))
		}
		return b
	}
	b = word(append(b, hypercall.FirewallAddrs), len(s.prefixes))
	for _, p := range s.prefixes {
		family := byte(4)
		if p.Addr().Is6() {
			family = 6
		}
		b = append(append(b, family, byte(p.Bits())), p.Addr().AsSlice()...)
	}
	return b
}

func (r *rule) encode(b []byte) []byte {
	for _, n := range r.in {
		b = name(append(b, hypercall.FirewallFieldIn), n)
	}
	for _, n := range r.out {
		b = name(append(b, hypercall.FirewallFieldOut), n)
	}
	if r.proto >= 0 {
		b = append(b, hypercall.FirewallFieldProto, byte(r.proto))
	}
	for _, u := range []struct {
		field byte
		use
	}{
		{hypercall.FirewallFieldSrc, r.src}, {hypercall.FirewallFieldDst, r.dst},
		{hypercall.FirewallFieldSrcPort, r.srcPort}, {hypercall.FirewallFieldDstPort, r.dstPort},
	} {
		if u.set != nil {
			n := u.set.number
			if u.not {
				n |= hypercall.FirewallNot
			}
			b = word(append(b, u.field), n)
		}
	}
	for _, t := range r.types {
		b = append(b, hypercall.FirewallFieldType, t)
	}
	if r.set|r.clear != 0 {
		b = append(b, hypercall.FirewallFieldFlags, r.set, r.clear)
	}
	if r.states != 0 {
		b = append(b, hypercall.FirewallFieldState, r.states)
	}
	if l := r.limit; l.set {
		b = long(long(long(append(b, hypercall.FirewallFieldLimit), l.events), l.per), l.burst)
		over := byte(0)
		if l.over {
			over = 1
		}
		b = append(b, over)
	}
	if r.log {
		b = name(append(b, hypercall.FirewallFieldLog), r.prefix)
	}
	if r.count != "" {
		b = name(append(b, hypercall.FirewallFieldCount), r.count)
	}
	b = long(append(b, hypercall.FirewallFieldLine), uint32(r.line))
	b = append(b, hypercall.FirewallFieldVerdict, r.verdict)
	switch r.verdict {
	case hypercall.FirewallReject:
		b = append(b, r.answer)
	case hypercall.FirewallJump:
		b = word(b, r.target)
	}
	return b
}

func word(b []byte, n int) []byte { return append(b, byte(n), byte(n>>8)) }

func long(b []byte, n uint32) []byte { return append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)) }

func name(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }
