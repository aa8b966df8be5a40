package memfs

import "math/bits"

// chunk is a piece of a file's contents. It may be shorter than chunkSize; what is missing reads as zero, and so does
// all of a chunk that does not exist and has no base below it.
type chunk struct{ b []byte }

const (
	chunkShift = 16
	chunkSize  = 1 << chunkShift
	chunkMin   = 512 // smallest piece of memory a chunk takes
)

// chunks are a file's chunks by index. The first one has a field of its own, because most files have no other.
type chunks struct {
	first chunk
	has   bool // first exists
	rest  map[int64]chunk
}

func (c *chunks) get(i int64) (chunk, bool) {
	if i == 0 {
		return c.first, c.has
	}
	k, ok := c.rest[i]
	return k, ok
}

func (c *chunks) put(i int64, k chunk) {
	if i == 0 {
		c.first, c.has = k, true
		return
	}
	if c.rest == nil {
		c.rest = make(map[int64]chunk)
	}
	c.rest[i] = k
}

func (c *chunks) remove(i int64) {
	if i == 0 {
		c.first, c.has = chunk{}, false
		return
	}
	delete(c.rest, i)
}

// next returns the lowest index from i on, below end, of a chunk that exists, or end.
func (c *chunks) next(i, end int64) int64 {
	if i == 0 && c.has {
		return 0
	}
	// Dense files answer within a step or two; a hole is worth at most one pass over all chunks.
	for n := 0; i < end && n < len(c.rest); i, n = i+1, n+1 {
		if _, ok := c.get(i); ok {
			return i
		}
	}
	if i >= end {
		return end
	}
	lowest := end
	for j := range c.rest {
		if j >= i && j < lowest {
			lowest = j
		}
	}
	return lowest
}

// sizeFor is how much memory a chunk gets that shall hold n bytes: a power of two.
func sizeFor(n int) int {
	return max(chunkMin, 1<<bits.Len(uint(n-1)))
}

// chunkCount is how many chunks a file of a size spans.
func chunkCount(size int64) int64 { return (size-1)>>chunkShift + 1 }
