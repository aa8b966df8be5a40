package firewall

import (
	"slices"

	"ukvm.dev/hypercall"
)

// check finds what is wrong although every line for itself could be right.
func (p *parser) check() {
	f := &p.rules
	if len(f.chains) == 0 {
		p.fail(p.token.line, "there are no chains")
		return
	}
	if n := len(f.chains); n > hypercall.FirewallChains {
		p.fail(f.chains[hypercall.FirewallChains].line, "there are %d chains, and %d at most can be", n, hypercall.FirewallChains)
	}
	rules, cards, counters := 0, map[string]bool{}, map[string]bool{}
	for _, c := range f.chains {
		for _, r := range c.rules {
			if rules++; rules == hypercall.FirewallRules+1 {
				p.fail(r.line, "there are more than %d rules", hypercall.FirewallRules)
			}
			for _, n := range slices.Concat(r.in, r.out) {
				if cards[n] = true; len(cards) > hypercall.FirewallNames {
					p.fail(r.line, "rules name more than %d network cards", hypercall.FirewallNames)
				}
			}
			if r.count != "" {
				if counters[r.count] = true; len(counters) > hypercall.FirewallCounters {
					p.fail(r.line, "there are more than %d counters", hypercall.FirewallCounters)
				}
			}
			p.checkRule(r)
			if len(p.errors) >= maxErrors {
				return
			}
		}
	}
	if len(p.errors) == 0 {
		p.checkWalks()
	}
}

func (p *parser) checkRule(r *rule) {
	transport := r.proto == protoTCP || r.proto == protoUDP
	switch {
	case !transport && (r.srcPort.set != nil || r.dstPort.set != nil):
		p.fail(r.line, "ports are of tcp or udp: write one of them")
	case r.types != nil && r.proto != protoICMP && r.proto != protoICMP6:
		p.fail(r.line, "types are of icmp or icmp6: write one of them")
	case r.set|r.clear != 0 && r.proto != protoTCP:
		p.fail(r.line, "flags are of tcp: write it")
	case r.set&r.clear != 0:
		p.fail(r.line, "a flag can not be set and not set")
	case r.answer == hypercall.FirewallAnswerReset && r.proto != protoTCP:
		p.fail(r.line, "rst is an answer to tcp: write it")
	case r.verdict == hypercall.FirewallJump:
		r.target = slices.IndexFunc(p.rules.chains, func(c *chain) bool { return c.name == r.jump })
		switch {
		case r.target < 0:
			p.fail(r.line, "there is no chain %s", quote(r.jump))
		case p.rules.chains[r.target].hook() >= 0:
			p.fail(r.line, "packets begin in %s by themselves; nothing can jump there", r.jump)
		}
	}
}

// walk is what there is from a chain on: the line of a rule that asks for something, 0 if none does.
type walk struct {
	steps, depth   int
	in, out, state int
	begun, done    bool
}

// checkWalks follows jumps.
func (p *parser) checkWalks() {
	walks := make([]walk, len(p.rules.chains))
	for i := range p.rules.chains {
		if !p.walk(i, walks) {
			return
		}
	}
	used := make([]bool, len(walks))
	for i, c := range p.rules.chains {
		h := c.hook()
		for _, r := range c.rules {
			if r.verdict == hypercall.FirewallJump {
				used[r.target] = true
			}
		}
		if h < 0 {
			continue
		}
		const forward, output, last = 2, 3, len(hooks) - 1
		used[i] = true
		switch w := &walks[i]; {
		case w.steps > hypercall.FirewallSteps:
			p.fail(c.line, "a packet in %s may have to be compared with more than %d rules", c.name, hypercall.FirewallSteps)
		case w.depth > hypercall.FirewallDepth:
			p.fail(c.line, "from %s more than %d jumps follow one another", c.name, hypercall.FirewallDepth)
		case w.in != 0 && h > forward:
			p.fail(w.in, "in %s it is not known where a packet came in: write oif", c.name)
		case w.out != 0 && h < output:
			p.fail(w.out, "in %s it is not known where a packet goes out: write iif", c.name)
		case w.state != 0 && (h == 0 || h == last):
			p.fail(w.state, "in %s the state of a connection is not known: ask in input, forward or output", c.name)
		}
	}
	for i, c := range p.rules.chains {
		if !used[i] {
			p.fail(c.line, "nothing jumps to the chain %s; packets begin in prerouting, input, forward, output and postrouting", c.name)
		}
	}
}

func (p *parser) walk(i int, walks []walk) bool {
	w, c := &walks[i], p.rules.chains[i]
	if w.done {
		return true
	}
	w.begun = true
	note := func(at *int, line int, asks bool) {
		if asks && *at == 0 {
			*at = line
		}
	}
	for _, r := range c.rules {
		w.steps++
		note(&w.in, r.line, r.in != nil)
		note(&w.out, r.line, r.out != nil)
		note(&w.state, r.line, r.states != 0)
		if r.verdict != hypercall.FirewallJump {
			continue
		}
		to := &walks[r.target]
		if to.begun && !to.done {
			p.fail(r.line, "the chain %s jumps to itself", r.jump)
			return false
		}
		if !p.walk(r.target, walks) {
			return false
		}
		w.steps = min(w.steps+to.steps, hypercall.FirewallSteps+1)
		w.depth = max(w.depth, to.depth+1)
		note(&w.in, to.in, to.in != 0)
		note(&w.out, to.out, to.out != 0)
		note(&w.state, to.state, to.state != 0)
	}
	w.done = true
	return true
}

// cards are the network cards that rules name.
func (p *parser) cards() (l []Card) {
	seen := map[string]bool{}
	for _, c := range p.rules.chains {
		for _, r := range c.rules {
			for _, n := range slices.Concat(r.in, r.out) {
				if !seen[n] {
					seen[n] = true
					l = append(l, Card{n, p.file + ":" + itoa(r.line)})
				}
			}
		}
	}
	return l
}
