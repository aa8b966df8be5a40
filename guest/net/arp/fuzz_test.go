package arp

import (
	"net/netip"
	"strings"
	"testing"

	"ukvm.dev/guest/net/neighbour"
	"ukvm.dev/guest/net/wire"
)

// FuzzReceive mixes arbitrary ARP packets with packets to send and the passing of time. The cache stays bounded, our own
// address in it or not, each packet is answered at most once, and what was to be sent is sent or reported lost.
func FuzzReceive(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLab(t)
		sends := 0
		for len(b) > 0 {
			op := b[0]
			b = b[1:]
			switch op % 4 {
			case 0: // anything
				n := min(int(op), len(b))
				p := l.pool.Receive(max(n, 1))
				p.Truncate(copy(p.Bytes(), b[:n]))
				b = b[n:]
				before := len(l.out)
				if l.box.Receive(p); len(l.out) > before+1+sends {
					t.Fatalf("%d packets follow from one", len(l.out)-before)
				}
			case 1: // a right one
				var a [4]byte
				b = b[copy(a[:], b):]
				l.receive(uint16(op>>2&1)+1, wire.MAC{2, 0, 0, 0, 0, a[3]}, netip.AddrFrom4([4]byte{10, 0, a[0] & 1, a[1]}), netip.AddrFrom4([4]byte{10, 0, 0, a[2] & 3}))
			case 2:
				l.send(netip.AddrFrom4([4]byte{10, 0, 0, op}))
				sends++
			case 3:
				l.pass(int64(op) << 24)
			}
			if l.box.Len() > neighbour.MaxEntries {
				t.Fatalf("%d neighbours", l.box.Len())
			}
		}
		l.pass(60e9) // all that waits is given up by then
		sent := 0
		for _, o := range l.out {
			if strings.HasPrefix(o, "data") {
				sent++
			}
		}
		if sent+l.lost > sends {
			t.Errorf("%d sent and %d lost of %d", sent, l.lost, sends)
		}
		l.box.Flush()
	})
}
