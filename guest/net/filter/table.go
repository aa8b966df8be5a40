package filter

import "ukvm.dev/guest/net/bucket"

// match says which conditions a rule has.
type match uint16

const (
	onIn match = 1 << iota
	onOut
	onProto
	onSrc
	onDst
	onSrcPort
	onDstPort
	onType
	onFlags
	onState
	onLimit
	notSrc // the set is of those that do not match
	notDst
	notSrcPort
	notDstPort
	overLimit
)

// rule is a Rule made ready.
type rule struct {
	match   match
	proto   uint8
	flags   uint8 // of those in mask
	mask    uint8
	state   State
	verdict Verdict
	answer  Answer
	log     bool
	chain   uint16 // Jump: where to
	counter uint16 // number of its counter and one; 0: none
	in, out uint64 // interfaces, a bit each by number of the Table's name

	dstPort, srcPort portSet
	src, dst         addrSet
	types            *[4]uint64
	limit            *limit

	packets, bytes uint64

	rule *Rule // as it was written
}

// chain is a Chain made ready: rules[first:end] of its Table.
type chain struct {
	name           string
	first, end     int32
	policy         Verdict
	packets, bytes uint64 // that the policy decided about
}

// Table is a checked set of rules with its counters.
type Table struct {
	chains   []chain
	rules    []rule
	hooks    [Hooks]int32 // index of the chain and one; 0: none
	names    []string     // interfaces rules name
	counters []counter
	tracking bool // a rule asks for the state of connections
}

// limit is a Limit made ready: once in cost nanoseconds, burst times at once.
type limit struct {
	bucket      bucket.Bucket
	cost, burst int64
}

// take reports whether a packet is within the limit, and counts it if so.
func (l *limit) take(now int64) bool { return l.bucket.Take(now, l.cost, l.burst) }

// counter is what rules with a Count add to.
type counter struct {
	name           string
	packets, bytes uint64
}

// Tracking reports whether a rule asks for the state of connections.
func (t *Table) Tracking() bool { return t.tracking }

// Counters calls f with each named counter and where it is, as long as there is the Table.
func (t *Table) Counters(f func(name string, packets, bytes *uint64)) {
	for i := range t.counters {
		c := &t.counters[i]
		f(c.name, &c.packets, &c.bytes)
	}
}

// Rules calls f for each rule with its chain's name, and, with a nil rule, for each policy.
func (t *Table) Rules(f func(chain string, r *Rule, packets, bytes uint64)) {
	for i := range t.chains {
		c := &t.chains[i]
		for j := c.first; j < c.end; j++ {
			r := &t.rules[j]
			f(c.name, r.rule, r.packets, r.bytes)
		}
		if t.hooked(i) {
			f(c.name, nil, c.packets, c.bytes)
		}
	}
}

func (t *Table) hooked(chain int) bool {
	for _, c := range t.hooks {
		if int(c) == chain+1 {
			return true
		}
	}
	return false
}
