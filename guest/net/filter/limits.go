package filter

import "time"

// Limits of what Compile accepts.
const (
	MaxChains   = 64
	MaxRules    = 1024  // of all chains
	MaxElements = 16384 // of all sets of addresses and ports, after equal ones have been merged
	MaxSteps    = 4096  // rules one packet may have to be compared with at one place
	MaxDepth    = 16    // chains that have jumped and not returned
	MaxNames    = 63    // interfaces that rules name
	MaxCounters = 256   // names of counters
	MaxName     = 31    // bytes of a name
	MaxPrefix   = 63    // bytes of a log prefix
	MaxBurst    = 32768 // of a Limit, packets
	MaxPer      = 24 * time.Hour
)

// DefaultBurst is how many packets a Limit lets pass at once if it does not say.
const DefaultBurst = 5

// What is logged, of all rules together.
const (
	LogRate  = 10 // packets a second
	LogBurst = 20
)
