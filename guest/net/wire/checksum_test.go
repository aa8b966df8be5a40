package wire

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// checksumRef is RFC 1071 §4.1 as it stands there.
func checksumRef(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 != 0 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func TestChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 2000 {
		b := make([]byte, n%700)
		for i := range b {
			b[i] = byte(r.Uint32())
			if n%5 == 0 {
				b[i] = 0xff // carries
			}
		}
		want := checksumRef(b)
		if got := Checksum(b); got != want {
			t.Fatalf("Checksum of %d bytes: %#x, want %#x", len(b), got, want)
		}
		// In pieces, of odd lengths too.
		var s Sum
		for rest := b; len(rest) > 0; {
			k := 1 + r.IntN(len(rest))
			s.Add(rest[:k])
			rest = rest[k:]
		}
		if got := s.Checksum(); got != want {
			t.Fatalf("Sum of %d bytes in pieces: %#x, want %#x", len(b), got, want)
		}
	}
}

func TestChecksumWords(t *testing.T) {
	var s, ref Sum
	s.Add16(0x1234)
	s.Add([]byte{1})
	s.Add16(0x5678)
	ref.Add([]byte{0x12, 0x34, 1, 0x56, 0x78})
	if s.Fold() != ref.Fold() {
		t.Errorf("Add16 %#x, Add %#x", s.Fold(), ref.Fold())
	}
	if Checksum(nil) != 0xffff {
		t.Errorf("empty: %#x", Checksum(nil))
	}
}

func TestPseudo(t *testing.T) {
	src, dst := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	ref := []byte{192, 0, 2, 1, 198, 51, 100, 7, 0, 17, 0x12, 0x34}
	if got, want := Pseudo(src, dst, 17, 0x1234).Checksum(), checksumRef(ref); got != want {
		t.Errorf("IPv4: %#x, want %#x", got, want)
	}
	src, dst = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	a, b := src.As16(), dst.As16()
	ref = append(append(a[:], b[:]...), 0, 1, 0x23, 0x45, 0, 0, 0, 6)
	if got, want := Pseudo(src, dst, 6, 0x12345).Checksum(), checksumRef(ref); got != want {
		t.Errorf("IPv6: %#x, want %#x", got, want)
	}
}

func BenchmarkChecksum(b *testing.B) {
	data := make([]byte, 1460)
	b.SetBytes(int64(len(data)))
	for range b.N {
		Checksum(data)
	}
}
