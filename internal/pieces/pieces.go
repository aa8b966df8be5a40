// Package pieces moves bytes to and from data that lies in several pieces of memory, such as a guest's.
package pieces

// Size is the length of pieces together, in bytes.
func Size(pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}

// Gather fills b from pieces, as far as they go.
func Gather(b []byte, pieces [][]byte) {
	for _, p := range pieces {
		if b = b[copy(b, p):]; len(b) == 0 {
			return
		}
	}
}

// Scatter stores b in pieces and returns what found no room.
func Scatter(pieces [][]byte, b []byte) (rest []byte) {
	for _, p := range pieces {
		b = b[copy(p, b):]
	}
	return b
}

// Cut is the first n bytes of pieces, and the rest. The slice of pieces stays as it is.
func Cut(pieces [][]byte, n int64) (head, rest [][]byte) {
	for i, p := range pieces {
		if n < int64(len(p)) {
			head = append(pieces[:i:i], p[:n])
			rest = append([][]byte{p[n:]}, pieces[i+1:]...)
			return head, rest
		}
		n -= int64(len(p))
	}
	return pieces, nil
}
