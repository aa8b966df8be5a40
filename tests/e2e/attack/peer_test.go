package attack

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"ukvm.dev/guest/net/wire"
)

// peer is an attacker's end of a connection with the guest. It does no more for it than it must.
type peer struct {
	at        netip.AddrPort
	next, ack uint32 // the numbers of its next byte and of the guest's
}

// firstSeq is a peer's first sequence number.
const firstSeq = 1000

// open makes connections with the guest from as many addresses, some at a time, and has each send data. It calls opened for
// each. What is lost is sent again.
func (a *attacker) open(from []netip.AddrPort, data []byte, opened func(peer)) error {
	const window = 64 // connections under way
	type opening struct {
		n    int
		sent time.Time
	}
	var m frames
	under := make(map[netip.AddrPort]opening, window)
	syn := func(n int) {
		a.send(m.tcp(from[n], wire.TCPFields{Seq: firstSeq, Flags: wire.SYN, Window: 65535}, nil))
		under[from[n]] = opening{n, time.Now()}
	}
	deadline := time.Now().Add(patience)
	for next := 0; next < len(from) || len(under) > 0; {
		for ; next < len(from) && len(under) < window; next++ {
			syn(next)
		}
		s, ok := a.receive()
		if !ok {
			if time.Now().After(deadline) {
				return fmt.Errorf("no connection for %v; %d of %d are open", patience, next-len(under), len(from))
			}
			for _, o := range under {
				if time.Since(o.sent) > time.Second {
					syn(o.n)
				}
			}
			continue
		}
		if _, ok := under[s.to]; !ok || s.tcp.Flags() != wire.SYN|wire.ACK {
			continue
		}
		delete(under, s.to)
		deadline = time.Now().Add(patience)
		p := peer{s.to, firstSeq + 1 + uint32(len(data)), s.tcp.Seq() + 1}
		a.send(m.tcp(p.at, wire.TCPFields{Seq: firstSeq + 1, Ack: p.ack, Flags: wire.ACK | wire.PSH, Window: 65535}, data))
		opened(p)
	}
	return nil
}

// reset ends connections. Each RST is followed by a question whether it has arrived: where there is no connection any more
// the guest answers with a RST, and otherwise with the number that a RST must have (RFC 9293 section 3.10.7.4).
func (a *attacker) reset(peers []peer) error {
	var m frames
	left := make(map[netip.AddrPort]uint32, len(peers))
	for _, p := range peers {
		left[p.at] = p.next
	}
	for deadline := time.Now().Add(patience); len(left) > 0; {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d connections are still there", len(left), len(peers))
		}
		list := slices.Collect(maps.Keys(left))
		a.flood(2*len(list), 20_000, func(n int) []byte {
			at := list[n/2]
			if n%2 == 0 {
				return m.tcp(at, wire.TCPFields{Seq: left[at], Flags: wire.RST}, nil)
			}
			return m.tcp(at, wire.TCPFields{Seq: left[at] - 1, Flags: wire.ACK}, nil)
		})
		a.quiet(func(s segment) {
			if _, ok := left[s.to]; !ok {
				return
			}
			if s.tcp.Flags()&wire.RST != 0 {
				delete(left, s.to)
			} else {
				left[s.to] = s.tcp.Ack()
			}
		})
	}
	return nil
}

// answer acknowledges what the guest sends until that is nothing any more.
func (a *attacker) answer() {
	var m frames
	a.quiet(func(s segment) {
		f := wire.TCPFields{Seq: s.tcp.Ack(), Ack: s.tcp.Seq() + uint32(len(s.data)), Flags: wire.ACK, Window: 65535}
		a.send(m.tcp(s.to, f, nil))
	})
}

// quiet calls f with what the guest sends to strangers, until there is nothing for a while.
func (a *attacker) quiet(f func(segment)) {
	for last := time.Now(); time.Since(last) < 300*time.Millisecond; {
		if s, ok := a.receive(); ok && s.to.Addr() != hostAddr {
			f(s)
			last = time.Now()
		}
	}
}
