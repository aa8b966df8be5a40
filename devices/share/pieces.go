package share

// gather copies the first bytes of pieces to dst and returns how many.
func gather(dst []byte, pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += copy(dst[n:], p)
	}
	return n
}

// scatter copies src to pieces and returns how many bytes fitted.
func scatter(pieces [][]byte, src []byte) (n int) {
	for _, p := range pieces {
		n += copy(p, src[n:])
	}
	return n
}

// size is the length of pieces together.
func size(pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}
