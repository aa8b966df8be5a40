package conntrack

import (
	"math/bits"
	"net/netip"
)

// end is one end of a connection. IPv4 addresses are mapped (RFC 4291 §2.5.5.2).
type end struct {
	hi, lo uint64
	port   uint16
}

func makeEnd(a netip.Addr, port uint16) end {
	b := a.As16()
	return end{be64(b[:8]), be64(b[8:]), port}
}

func be64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0])<<56 | uint64(b[1])<<48 | uint64(b[2])<<40 | uint64(b[3])<<32 |
		uint64(b[4])<<24 | uint64(b[5])<<16 | uint64(b[6])<<8 | uint64(b[7])
}

func (a *end) less(b *end) bool {
	switch {
	case a.hi != b.hi:
		return a.hi < b.hi
	case a.lo != b.lo:
		return a.lo < b.lo
	}
	return a.port < b.port
}

// key names a connection: its ends, the lesser one first, so that it is the same for both directions.
type key struct {
	ends  [2]end
	proto uint8
}

// makeKey returns the key for a packet and which of its ends the sender is.
func makeKey(src, dst end, proto uint8) (k key, from uint8) {
	if dst.less(&src) {
		return key{[2]end{dst, src}, proto}, 1
	}
	return key{[2]end{src, dst}, proto}, 0
}

// hash depends on a secret, so that nobody can fill one bucket.
func (b *Box) hash(k *key) uint32 {
	x, y := &k.ends[0], &k.ends[1]
	h := mix(x.hi^b.secret[0], x.lo^b.secret[1])
	h = mix(h^y.hi, y.lo^b.secret[2])
	h = mix(h^(uint64(x.port)<<32|uint64(y.port)<<16|uint64(k.proto)), b.secret[3])
	return uint32(h ^ h>>32)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
