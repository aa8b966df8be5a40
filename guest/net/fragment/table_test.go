package fragment

import (
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
)

// FuzzAdd feeds fragments of one datagram, three bytes each: offset, length, and whether it is the last. What comes out
// is compared with a naive reference: a datagram is whole only if its bytes were covered once each.
func FuzzAdd(f *testing.F) {
	f.Add([]byte{0, 2, 0, 2, 1, 1})
	f.Add([]byte{2, 1, 1, 0, 2, 0})
	f.Add([]byte{0, 2, 0, 1, 2, 1})
	f.Add([]byte{0, 1, 0, 0, 1, 0, 1, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var (
			pool  packet.Pool
			wheel timer.Wheel
			now   int64 = 1e9
		)
		table := Table{Lifetime: 1e9, Now: func() int64 { return now }, Wheel: &wheel, Pool: &pool}
		key := Key{Src: netip.IPv6Unspecified(), ID: 7}
		for ; len(b) >= 3; b = b[3:] {
			off, n, last := int(b[0])*8, int(b[1])*8, b[2]&1 != 0
			p := pool.Receive(max(n, 1))
			p.Truncate(n)
			for i := range p.Bytes() {
				p.Bytes()[i] = byte((off + i) * 31)
			}
			whole := table.Add(key, Fragment{Packet: p, Header: []byte("head"), Offset: off, Last: last})
			if whole == nil {
				continue
			}
			data := whole.Bytes()
			if string(data[:4]) != "head" || whole.Pieces() != 1 || whole.Len() < 8 {
				t.Fatalf("%d bytes, %q", whole.Len(), data[:4])
			}
			for i, x := range data[4:] {
				if x != byte(i*31) {
					t.Fatalf("byte %d is %d", i, x)
				}
			}
			whole.Release()
		}
		wheel.Advance(now)
		now += 3e9
		wheel.Advance(now)
		if table.Len() != 0 || table.Memory() != 0 || wheel.Len() != 0 || table.oldest != nil || table.newest != nil {
			t.Errorf("left behind: %d datagrams, %d bytes", table.Len(), table.Memory())
		}
	})
}
