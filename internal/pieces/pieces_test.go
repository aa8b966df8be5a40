package pieces

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPieces cuts bytes into random pieces, puts them together again, and compares with the whole.
func TestPieces(t *testing.T) {
	z := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		whole := make([]byte, z.IntN(100))
		for i := range whole {
			whole[i] = byte(z.Uint32())
		}
		var list [][]byte
		for rest := whole; len(rest) > 0 || z.IntN(3) == 0; {
			n := z.IntN(len(rest) + 1)
			list = append(list, rest[:n])
			rest = rest[n:]
		}
		before := slices.Clone(list)
		if n := Size(list); n != len(whole) {
			t.Fatalf("%d bytes in %d pieces, want %d", n, len(list), len(whole))
		}
		n := z.IntN(len(whole) + 1)
		head, rest := Cut(list, int64(n))
		if !bytes.Equal(bytes.Join(head, nil), whole[:n]) || !bytes.Equal(bytes.Join(rest, nil), whole[n:]) {
			t.Fatalf("cut at %d: %x and %x of %x", n, head, rest, whole)
		}
		if !slices.EqualFunc(list, before, func(a, b []byte) bool { return bytes.Equal(a, b) }) {
			t.Fatal("cutting has changed the pieces")
		}
		got := make([]byte, n)
		if Gather(got, list); !bytes.Equal(got, whole[:n]) {
			t.Fatalf("gathered %x of %x", got, whole)
		}
		more := make([]byte, len(whole)+z.IntN(5))
		for i := range more {
			more[i] = byte(z.Uint32())
		}
		if left := Scatter(list, more); !bytes.Equal(whole, more[:len(whole)]) || !bytes.Equal(left, more[len(whole):]) {
			t.Fatalf("scattered %x: %x, and %x is left", more, whole, left)
		}
	}
}
