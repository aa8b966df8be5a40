package tcp

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"testing"
)

// sipHashRef is SipHash-2-4 for any length, word by word as in the paper.
func sipHashRef(k0, k1 uint64, b []byte) uint64 {
	v := [4]uint64{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	rounds := func(n int) {
		for range n {
			v[0] += v[1]
			v[2] += v[3]
			v[1] = bits.RotateLeft64(v[1], 13)
			v[3] = bits.RotateLeft64(v[3], 16)
			v[1] ^= v[0]
			v[3] ^= v[2]
			v[0] = bits.RotateLeft64(v[0], 32)
			v[2] += v[1]
			v[0] += v[3]
			v[1] = bits.RotateLeft64(v[1], 17)
			v[3] = bits.RotateLeft64(v[3], 21)
			v[1] ^= v[2]
			v[3] ^= v[0]
			v[2] = bits.RotateLeft64(v[2], 32)
		}
	}
	total := len(b)
	for ; len(b) >= 8; b = b[8:] {
		m := binary.LittleEndian.Uint64(b)
		v[3] ^= m
		rounds(2)
		v[0] ^= m
	}
	m := uint64(total) << 56
	for i, x := range b {
		m |= uint64(x) << (8 * i)
	}
	v[3] ^= m
	rounds(2)
	v[0] ^= m
	v[2] ^= 0xff
	rounds(4)
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

func TestSipHash(t *testing.T) {
	const k0, k1 = 0x0706050403020100, 0x0f0e0d0c0b0a0908
	b := make([]byte, 40)
	for i := range b {
		b[i] = byte(i)
	}
	// The paper's test vector (appendix A).
	if got, want := sipHashRef(k0, k1, b[:15]), uint64(0xa129ca6149be45e5); got != want {
		t.Fatalf("reference: %#x, want %#x", got, want)
	}
	var m [5]uint64
	for i := range m {
		m[i] = load(b[8*i:])
	}
	if got, want := sipHash(k0, k1, m), sipHashRef(k0, k1, b); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}

// TestISN checks RFC 6528: the same flow's numbers grow with time, different flows' have nothing to do with each other.
func TestISN(t *testing.T) {
	var s isnSource
	random := func() uint64 { return 0x123456789abcdef }
	a := flow{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), 80, 5000}
	b := a
	b.remotePort++
	first := s.next(&a, 0, random)
	if d := s.next(&a, 4_000_000, random) - first; d != 1000 {
		t.Errorf("%d in 4 ms, want 1000", d)
	}
	if d := s.next(&b, 0, random).minus(first); d > -1000 && d < 1000 {
		t.Errorf("the next flow's number differs by %d", d)
	}
	if s.timestampOffset(&a) == s.timestampOffset(&b) {
		t.Error("timestamps of two flows start alike")
	}
}

func TestSequenceArithmetic(t *testing.T) {
	const top = seq(0xffffff00)
	for _, c := range []struct {
		a, b seq
		less bool
	}{{1, 2, true}, {2, 1, false}, {top, 5, true}, {5, top, false}, {7, 7, false}, {0, 0x7fffffff, true}} {
		if c.a.before(c.b) != c.less || c.b.after(c.a) != c.less || (c.a == c.b || c.less) != c.b.atLeast(c.a) {
			t.Errorf("%d, %d", c.a, c.b)
		}
	}
	if top.plus(0x200).minus(top) != 0x200 || top.minus(top.plus(0x200)) != -0x200 || maxSeq(top, 5) != 5 {
		t.Error("arithmetic across zero")
	}
}
