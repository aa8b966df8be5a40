package posix

// ring is a queue of bytes that grows as needed up to a limit its user keeps. The zero ring is empty.
type ring struct {
	buf  []byte
	from int // where the first byte is
	n    int
}

const ringMin = 4096

// write appends p.
func (r *ring) write(p []byte) {
	if r.n+len(p) > len(r.buf) {
		r.grow(r.n + len(p))
	}
	at := r.from + r.n
	if at >= len(r.buf) {
		at -= len(r.buf)
	}
	k := copy(r.buf[at:], p)
	copy(r.buf, p[k:])
	r.n += len(p)
}

func (r *ring) grow(need int) {
	size := max(ringMin, len(r.buf))
	for size < need {
		size *= 2
	}
	b := make([]byte, size)
	r.peek(b[:r.n], 0)
	r.buf, r.from = b, 0
}

// peek copies bytes from offset off on and returns how many there were.
func (r *ring) peek(p []byte, off int) int {
	if off >= r.n {
		return 0
	}
	p = p[:min(len(p), r.n-off)]
	at := r.from + off
	if at >= len(r.buf) {
		at -= len(r.buf)
	}
	k := copy(p, r.buf[at:])
	copy(p[k:], r.buf)
	return len(p)
}

// drop removes n bytes.
func (r *ring) drop(n int) {
	r.n -= n
	r.from += n
	if r.from >= len(r.buf) {
		r.from -= len(r.buf)
	}
	if r.n == 0 {
		r.from = 0
		if len(r.buf) > 16*ringMin {
			r.buf = nil // do not keep what a burst has taken
		}
	}
}

// read moves bytes to p and returns how many.
func (r *ring) read(p []byte) int {
	n := r.peek(p, 0)
	r.drop(n)
	return n
}

// front is the part of the queue that lies in one piece at its beginning.
func (r *ring) front() []byte {
	return r.buf[r.from:min(r.from+r.n, len(r.buf))]
}

// space returns room in one piece for up to n bytes behind the queue, at least one. What is stored there is added with
// commit.
func (r *ring) space(n int) []byte {
	if r.n == len(r.buf) {
		r.grow(r.n + n)
	}
	at := r.from + r.n
	if at >= len(r.buf) {
		at -= len(r.buf)
		return r.buf[at:min(at+n, r.from)]
	}
	return r.buf[at:min(at+n, len(r.buf))]
}

func (r *ring) commit(n int) { r.n += n }
