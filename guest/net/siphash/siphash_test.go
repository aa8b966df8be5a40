package siphash

import (
	"encoding/binary"
	"math/bits"
	"testing"
)

// TestVectors has values of the reference implementation (vectors_sip64 of the paper's authors): the key is 00 01 … 0f,
// message i is the first i bytes of 00 01 02 ….
func TestVectors(t *testing.T) {
	var key Key
	for i := range key {
		key[i] = byte(i)
	}
	m := make([]byte, 64)
	for i := range m {
		m[i] = byte(i)
	}
	for n, want := range map[int]uint64{
		0:  0x726fdb47dd0e0e31,
		1:  0x74f839c593dc67fd,
		7:  0xab0200f58b01d137,
		8:  0x93f5f5799a932462,
		15: 0xa129ca6149be45e5,
	} {
		if got := Sum64(key, m[:n]); got != want {
			t.Errorf("%d bytes: %#x, want %#x", n, got, want)
		}
	}
}

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

func TestWords(t *testing.T) {
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
		m[i] = Word(b[8*i:])
	}
	if got, want := Words(k0, k1, m[:]...), sipHashRef(k0, k1, b); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}
