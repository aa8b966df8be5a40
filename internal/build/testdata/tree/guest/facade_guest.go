//go:build ukvm

package guest

import "ukvm/stats"

// Stats is an alias.
type Stats = stats.Stats
