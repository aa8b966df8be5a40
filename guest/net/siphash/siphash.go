// Package siphash is SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", §2), a keyed hash function that
// who does not know the key can neither predict nor invert.
package siphash

import "math/bits"

// Key is the secret.
type Key [16]byte

// Sum64 returns the hash of m.
func Sum64(key Key, m []byte) uint64 {
	s := begin(Word(key[:8]), Word(key[8:]))
	last := uint64(len(m)) << 56
	for ; len(m) >= 8; m = m[8:] {
		s = s.block(Word(m))
	}
	for i, x := range m {
		last |= uint64(x) << (8 * i)
	}
	s = s.block(last)
	return s.end()
}

// Words is Sum64 of the bytes of m, the halves of the key being k0 and k1; all are as Word has them.
func Words(k0, k1 uint64, m ...uint64) uint64 {
	s := begin(k0, k1)
	for _, x := range m {
		s = s.block(x)
	}
	s = s.block(uint64(8*len(m)) << 56)
	return s.end()
}

// Word is the first eight bytes of b as a number, the least significant first.
func Word(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// state is between blocks.
type state struct{ v0, v1, v2, v3 uint64 }

func begin(k0, k1 uint64) state {
	return state{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
}

// round is SipRound.
func round(v0, v1, v2, v3 uint64) state {
	v0 += v1
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v3
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 += v3
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	return state{v0, v1, bits.RotateLeft64(v2, 32), v3}
}

func (s state) block(x uint64) state {
	s = round(s.v0, s.v1, s.v2, s.v3^x)
	s = round(s.v0, s.v1, s.v2, s.v3)
	s.v0 ^= x
	return s
}

func (s state) end() uint64 {
	s.v2 ^= 0xff
	for range 4 {
		s = round(s.v0, s.v1, s.v2, s.v3)
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}
