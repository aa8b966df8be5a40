package filter

import (
	"time"

	"ukvm.dev/hypercall"
)

// Limits of what Compile accepts.
const (
	MaxChains   = hypercall.FirewallChains
	MaxRules    = hypercall.FirewallRules    // of all chains
	MaxElements = 16384                      // of all sets of addresses and ports; one that is used again counts once
	MaxSteps    = hypercall.FirewallSteps    // rules one packet may have to be compared with at one place
	MaxDepth    = hypercall.FirewallDepth    // chains that have jumped and not returned
	MaxNames    = hypercall.FirewallNames    // interfaces that rules name
	MaxCounters = hypercall.FirewallCounters // names of counters
	MaxName     = hypercall.FirewallName     // bytes of a name
	MaxPrefix   = hypercall.FirewallPrefix   // bytes of a log prefix
	MaxBurst    = hypercall.FirewallBurst    // of a Limit, packets
	MaxPer      = hypercall.FirewallPeriod * time.Second
)

// DefaultBurst is how many packets a Limit lets pass at once if it does not say.
const DefaultBurst = 5

// What is logged, of all rules together.
const (
	LogRate  = 10 // packets a second
	LogBurst = 20
)
