package cli

import (
	"fmt"
	"sync/atomic"

	"ukvm.dev/netif"
	"ukvm.dev/netif/policy"
)

// guard is the policy of a card.
type guard struct {
	*policy.Guard
	card string
	told *atomic.Uint64
}

// guard puts the policy into force on the device of the card that is opened next.
func (l *Links) guard(p policy.Policy, index int, guest netif.Config) (*policy.Guard, error) {
	g, err := p.Attach(index, guest)
	if err != nil {
		return nil, err
	}
	l.guards = append(l.guards, guard{g, fmt.Sprintf("eth%d", len(l.NICs)), new(atomic.Uint64)})
	return g, nil
}

// ExplainDrops calls say with a sentence for each packet that a policy has dropped and told of, in goroutines of its own,
// until the links are closed.
func (l *Links) ExplainDrops(say func(sentence string)) {
	for _, g := range l.guards {
		go func() {
			for {
				drop, err := g.Next()
				if err != nil {
					return
				}
				g.told.Add(1)
				say(g.card + ": " + drop.String())
			}
		}()
	}
}

// Untold returns a sentence for each policy that has dropped more than it has told of.
func (l *Links) Untold() (sentences []string) {
	for _, g := range l.guards {
		c, err := g.Counters()
		if n := c.Dropped(); err == nil && n > g.told.Load() {
			sentences = append(sentences, fmt.Sprintf("%s: the policy has dropped %d packets in all", g.card, n))
		}
	}
	return sentences
}

// PolicyCount is what the policy of a card has counted.
type PolicyCount struct {
	Card     string
	Counters policy.Counters
}

// PolicyCounts are those of all policies.
func (l *Links) PolicyCounts() (counts []PolicyCount) {
	for _, g := range l.guards {
		if c, err := g.Counters(); err == nil {
			counts = append(counts, PolicyCount{g.card, c})
		}
	}
	return counts
}
