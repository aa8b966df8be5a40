package tcp

import "ukvm.dev/guest/net/siphash"

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

// flowLabel returns the label of a flow's packets (RFC 6437 §3): of IPv6, not 0, not to be guessed, and the same for all.
func (s *isnSource) flowLabel(f *flow, random func() uint64) uint32 {
	if f.local.Is4() {
		return 0
	}
	s.init(random)
	return max(uint32(s.hash(f, ^s.k0, ^s.k1))&0xfffff, 1)
}

func (s *isnSource) hash(f *flow, k0, k1 uint64) uint64 {
	return f.hash(k0, k1, uint64(f.localPort)<<32|uint64(f.remotePort))
}

// hash is SipHash of the addresses and a word that has the ports.
func (f *flow) hash(k0, k1, ports uint64) uint64 {
	a, b := f.local.As16(), f.remote.As16()
	return siphash.Words(k0, k1, siphash.Word(a[:8]), siphash.Word(a[8:]), siphash.Word(b[:8]), siphash.Word(b[8:]), ports)
}
