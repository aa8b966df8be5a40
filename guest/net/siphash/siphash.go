// Package siphash is SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF"), a keyed hash function that
// who does not know the key can neither predict nor invert.
package siphash

import "math/bits"

// Key is the secret.
type Key [16]byte

// Sum64 returns the hash of m.
func Sum64(key Key, m []byte) uint64 {
	k0, k1 := load(key[:8]), load(key[8:])
	v0, v1 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d
	v2, v3 := k0^0x6c7967656e657261, k1^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	block := func(x uint64) {
		v3 ^= x
		round()
		round()
		v0 ^= x
	}
	last := uint64(len(m)) << 56
	for ; len(m) >= 8; m = m[8:] {
		block(load(m))
	}
	for i, x := range m {
		last |= uint64(x) << (8 * i)
	}
	block(last)
	v2 ^= 0xff
	for range 4 {
		round()
	}
	return v0 ^ v1 ^ v2 ^ v3
}

func load(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
