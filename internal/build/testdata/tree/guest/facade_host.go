//go:build !ukvm

package guest

import "ukvm.dev/guest/stats"

// Stats is an alias.
type Stats = stats.Stats
