package tcp

import "math/bits"

// isnSource makes initial sequence numbers: RFC 6528's M + F(flow, secret), where M counts 4 µs and F is SipHash-2-4.
type isnSource struct {
	k0, k1 uint64
	ready  bool
}

func (s *isnSource) init(random func() uint64) {
	if !s.ready {
		s.k0, s.k1, s.ready = random(), random(), true
	}
}

// next returns the initial sequence number for a flow that begins at now, in nanoseconds.
func (s *isnSource) next(f *flow, now int64, random func() uint64) seq {
	s.init(random)
	return seq(uint64(now)/4000) + seq(s.hash(f, s.k0, s.k1))
}

// timestampOffset returns where the flow's timestamps start; next has been called before.
func (s *isnSource) timestampOffset(f *flow) uint32 { return uint32(s.hash(f, ^s.k0, s.k1) >> 32) }

// portHash returns what choose walks from.
func (s *isnSource) portHash(f *flow, random func() uint64) uint64 {
	s.init(random)
	return s.hash(f, s.k0, ^s.k1)
}

func (s *isnSource) hash(f *flow, k0, k1 uint64) uint64 {
	a, b := f.local.As16(), f.remote.As16()
	return sipHash(k0, k1, [...]uint64{
		load(a[:8]), load(a[8:]), load(b[:8]), load(b[8:]), uint64(f.localPort)<<32 | uint64(f.remotePort),
	})
}

func load(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// sipHash is SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", §2) of 40 bytes.
func sipHash(k0, k1 uint64, m [5]uint64) uint64 {
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
	for _, x := range m {
		v3 ^= x
		round()
		round()
		v0 ^= x
	}
	const last = uint64(8*len(m)) << 56
	v3 ^= last
	round()
	round()
	v0 ^= last
	v2 ^= 0xff
	for range 4 {
		round()
	}
	return v0 ^ v1 ^ v2 ^ v3
}
