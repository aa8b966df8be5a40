package filter

// bucket is a token bucket. Tokens are counted in nanoseconds: a packet costs what its turn lasts.
type bucket struct {
	cost int64 // of one packet
	full int64
	have int64
	last int64 // when have was right
}

// newBucket is full.
func newBucket(events uint32, per int64, burst uint32) bucket {
	cost := max(per/int64(events), 1)
	full := cost * int64(burst)
	return bucket{cost: cost, full: full, have: full}
}

// take reports whether there is a token at now, and takes it.
func (k *bucket) take(now int64) bool {
	if passed := now - k.last; passed > 0 {
		k.have = min(k.have+min(passed, k.full), k.full)
		k.last = now
	}
	if k.have < k.cost {
		return false
	}
	k.have -= k.cost
	return true
}
