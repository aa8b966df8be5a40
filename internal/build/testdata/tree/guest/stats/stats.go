// Package stats is imported by the facade only.
package stats

// Stats are counted.
type Stats struct{ Calls uint64 }
