package wire

import (
	"math/bits"
	"net/netip"
)

// Sum is a running one's complement sum of 16-bit words (RFC 1071) over bytes that may come in pieces of any length.
// The zero Sum is empty.
type Sum struct {
	acc uint64 // of words in the machine's (little-endian) order: RFC 1071 §2(B), swapped once at the end
	odd bool   // the next byte is the second half of a word
}

// Add adds the bytes of b.
func (s *Sum) Add(b []byte) {
	if len(b) == 0 {
		return
	}
	if s.odd {
		s.add64(uint64(b[0]) << 8)
		b, s.odd = b[1:], false
	}
	s.odd = len(b)&1 != 0
	acc, c := s.acc, uint64(0)
	for len(b) >= 64 {
		acc, c = bits.Add64(acc, le64(b[0:8]), 0)
		acc, c = bits.Add64(acc, le64(b[8:16]), c)
		acc, c = bits.Add64(acc, le64(b[16:24]), c)
		acc, c = bits.Add64(acc, le64(b[24:32]), c)
		acc, c = bits.Add64(acc, le64(b[32:40]), c)
		acc, c = bits.Add64(acc, le64(b[40:48]), c)
		acc, c = bits.Add64(acc, le64(b[48:56]), c)
		acc, c = bits.Add64(acc, le64(b[56:64]), c)
		acc += c // cannot wrap: a sum that carried is below its maximum
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, c = bits.Add64(acc, le64(b), 0)
		acc += c
		b = b[8:]
	}
	var tail uint64
	for i, x := range b {
		tail |= uint64(x) << (8 * i)
	}
	s.acc = acc
	s.add64(tail)
}

// Add16 adds one word in host order.
func (s *Sum) Add16(v uint16) {
	if s.odd {
		s.Add([]byte{byte(v >> 8), byte(v)})
		return
	}
	s.add64(uint64(bits.ReverseBytes16(v)))
}

func (s *Sum) add64(v uint64) {
	acc, c := bits.Add64(s.acc, v, 0)
	s.acc = acc + c
}

// Fold returns the sum folded to 16 bits, not complemented: what a checksum field holds while its completion is left
// to the network card.
func (s Sum) Fold() uint16 {
	v := s.acc>>32 + s.acc&0xffffffff
	v = v>>32 + v&0xffffffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	return bits.ReverseBytes16(uint16(v))
}

// Checksum returns the Internet checksum. Over bytes that contain their own right checksum it is 0.
func (s Sum) Checksum() uint16 { return ^s.Fold() }

// Checksum returns the Internet checksum of b.
func Checksum(b []byte) uint16 {
	var s Sum
	s.Add(b)
	return s.Checksum()
}

// Pseudo returns the sum of the pseudo-header (RFC 9293 §3.1, RFC 768) of a segment of n bytes, header included.
func Pseudo(src, dst netip.Addr, proto uint8, n int) Sum {
	var s Sum
	if src.Is4() {
		a, b := src.As4(), dst.As4()
		s.add64(le32(a[:]))
		s.add64(le32(b[:]))
	} else {
		a, b := src.As16(), dst.As16()
		s.Add(a[:])
		s.Add(b[:])
	}
	s.add64(uint64(bits.ReverseBytes16(uint16(proto))))
	s.add64(uint64(bits.ReverseBytes32(uint32(n))))
	return s
}

func le64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func le32(b []byte) uint64 {
	_ = b[3]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24
}
