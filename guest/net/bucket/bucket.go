// Package bucket limits rates. Not safe for concurrent use: the stack's lock guards it.
package bucket

// Bucket is a token bucket, in the form of the virtual scheduling algorithm (ITU-T I.371, annex A): it holds no tokens,
// but the time at which it is full again. The zero Bucket is full.
type Bucket struct {
	full int64 // nanoseconds
}

// Second is what one event costs a bucket that lets rate of them pass in a second, in nanoseconds.
func Second(rate int64) int64 { return 1e9 / rate }

// Take reports whether one more may happen at now, of what may happen once in cost and burst times at once, and if so
// counts it. Times are nanoseconds.
func (b *Bucket) Take(now, cost, burst int64) bool {
	full := max(b.full, now) + cost
	if full-now > cost*burst {
		return false
	}
	b.full = full
	return true
}
