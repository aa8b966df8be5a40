package overlay

// cut is the first n bytes of a vector, and the rest.
func cut(vec [][]byte, n int64) (head, rest [][]byte) {
	for i, b := range vec {
		if n < int64(len(b)) {
			head = append(vec[:i:i], b[:n])
			rest = append([][]byte{b[n:]}, vec[i+1:]...)
			return head, rest
		}
		n -= int64(len(b))
	}
	return vec, nil
}

// behind is a vector without its first n bytes.
func behind(vec [][]byte, n int64) [][]byte {
	_, rest := cut(vec, n)
	return rest
}

// gather fills b from a vector.
func gather(b []byte, vec [][]byte) {
	for _, p := range vec {
		if b = b[copy(b, p):]; len(b) == 0 {
			return
		}
	}
}
