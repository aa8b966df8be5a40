package tcp

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// TestCookie makes cookies of many flows and times and takes them back: early enough, late, changed, and guessed.
func TestCookie(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var k cookieSource
	k.init(r.Uint64)
	taken := 0
	for range 20000 {
		f := flow{
			netip.AddrFrom4([4]byte{10, 0, 0, 1}), netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), 7}),
			80, r.Uint32() & 0xffff,
		}
		irs, now := seq(r.Uint32()), r.Int64N(1000*86400*second)
		want := r.IntN(len(cookieMSS))
		c := k.make(&f, irs, want, now)
		if got, ok := k.check(&f, irs, c, now+r.Int64N(cookiePeriod)); !ok || got != want {
			t.Fatalf("index %d, %v, want %d", got, ok, want)
		}
		if _, ok := k.check(&f, irs, c, now+cookiePeriods*cookiePeriod); ok {
			t.Fatal("an old cookie was taken")
		}
		other := f
		other.remotePort ^= 1
		for _, guess := range []struct {
			f      *flow
			irs, c seq
		}{{&other, irs, c}, {&f, irs + 100, c}, {&f, irs, seq(r.Uint32())}} {
			if _, ok := k.check(guess.f, guess.irs, guess.c, now); ok {
				taken++
			}
		}
	}
	// A guess is right with 8 indices in 2²⁴ and 2 periods in 2⁸.
	if taken > 0 {
		t.Errorf("%d of 60000 guesses were taken", taken)
	}
}

// TestCookieTimestamp: what is stored in a timestamp can be read from it, and the timestamp is neither of the future nor
// more than 64 ms old.
func TestCookieTimestamp(t *testing.T) {
	for _, now := range []uint32{0, 1, 63, 64, 1 << 31, 1<<32 - 1, 1<<32 - 64, 12345678} {
		for _, o := range []wire.TCPOptions{
			{}, {SACKPermitted: true}, {HasScale: true}, {HasScale: true, WindowScale: 14, SACKPermitted: true},
		} {
			at := cookieTimestamp(now, &o)
			if age := now - at; age >= 64 {
				t.Errorf("%d at %d", at, now)
			}
			shift := uint8(at & cookieNoScale)
			if at&cookieSACK != 0 != o.SACKPermitted || shift != cookieNoScale != o.HasScale || o.HasScale && shift != o.WindowScale {
				t.Errorf("%+v at %d became %#x", o, now, at&cookieBits)
			}
		}
	}
}

// BenchmarkCookie is a SYN of a flood, and its answer.
func BenchmarkCookie(b *testing.B) {
	p := newPeer(b)
	p.call([]string{"listen", "1"})
	p.box.Down = func(k *packet.Packet) { k.Release() }
	b.ReportAllocs()
	for i := range b.N {
		f := flow{hostAddr, peerAddr, 80, uint32(i) & 0xffff}
		s := segment{srcPort: uint16(i), dstPort: 80, seq: seq(i), flags: wire.SYN, wnd: 65535}
		s.opt.MSS = 1460
		p.listener.arrive(f, &s)
	}
}
