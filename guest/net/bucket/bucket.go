// Package bucket limits rates. Not safe for concurrent use: the stack's lock guards it.
package bucket

// Bucket is a token bucket. The zero Bucket is full.
type Bucket struct {
	last   int64 // nanoseconds
	tokens int64 // in billionths
	used   bool
}

// Take reports whether one more of what may happen rate times a second, and burst times at once, may happen at now, in
// nanoseconds.
func (k *Bucket) Take(now int64, rate, burst int64) bool {
	if !k.used {
		k.used, k.tokens = true, burst*1e9
	} else {
		k.tokens = min(k.tokens+min(now-k.last, 1e9)*rate, burst*1e9)
	}
	k.last = now
	if k.tokens < 1e9 {
		return false
	}
	k.tokens -= 1e9
	return true
}
