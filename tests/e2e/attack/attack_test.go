package attack

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/guest/net/wire"
	"ukvm.dev/tests/internal/ukvmtest"
)

const megabyte = 1 << 20

// campaign is one attack on one guest.
type campaign struct {
	*attacker
	v      *victim
	before memory         // at rest
	kept   netip.AddrPort // the client's end of a connection that must hold
}

// attacks are all but that with idle connections, which is TestIdleConnections.
var attacks = []struct {
	name string
	run  func(*campaign)

	// What shows that the attack has taken place: a counter, and how much of what was sent it must have counted.
	counter string
	least   int

	// How much more memory the guest may have meanwhile, in bytes. Garbage is part of it: Go collects when there is as much
	// of it as of the rest, and before the guest's memory is at its end.
	grown int64
}{
	{"SYN flood", synFlood, "tcp.conn_attempts", floodSize() / 2, 16 * megabyte},
	{"ACK flood", ackFlood, "tcp.packets_rx", floodSize() / 2, 16 * megabyte},
	{"spoofed RSTs", spoofedResets, "tcp.challenge_acks", 1, 16 * megabyte},
	{"tiny segments", tinySegments, "tcp.out_of_order", floodSize() / 20, 24 * megabyte},
	{"overlapping fragments", overlappingFragments, "ip4.fragments_rx", floodSize() / 5, 16 * megabyte},
	{"slow readers", slowReaders, "tcp.conn_incoming", slowCount(), slowMost(victimMemory, slowCount())},
	{"frames for nobody", nobodysFrames, "eth0.packets_rx", floodSize() / 2, 16 * megabyte},
}

// floodSize and floodRate are the frames of an attack, and how many of them there are in a second. A guest can take a
// hundred thousand, where it has a processor of its own.
func floodSize() int { return sample(20_000, 1_000_000) }
func floodRate() int { return sample(20_000, 50_000) }

func slowCount() int { return sample(100, 500) }

// victimMemory is a guest's, in bytes.
const victimMemory = 64 * megabyte

// TestAttacks attacks a guest of 64 MiB in every way. Its client is served all the time, and afterwards everything is as
// it was before.
func TestAttacks(t *testing.T) {
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			v := newVictim(t, victimMemory)
			c := &campaign{attacker: newAttacker(t, v.ns, tapName), v: v}
			quiet := v.during(func(netip.AddrPort) { time.Sleep(200 * time.Millisecond) }) // tables grow, pools fill
			before := v.rest(0)
			c.before = before
			r := v.during(func(kept netip.AddrPort) {
				c.kept = kept
				attack.run(c)
			})
			after := v.rest(0)
			if ukvmtest.Soak() {
				time.Sleep(70 * time.Second) // until handshakes, fragments and TIME-WAIT are given up
				after = v.rest(0)
			}
			figure(t, attack.name, "guest grown by", float64(r.resident-before.Resident)/megabyte, "MiB")
			v.check(t, attack.name, r, quiet, before, after)
			if r.resident > v.limit || r.resident > before.Resident+attack.grown {
				t.Errorf("the guest had %d KiB, and %d before", r.resident>>10, before.Resident>>10)
			}
			// Half-open connections, at most 1024, and datagrams that are not whole, are kept for a minute; tables stay.
			if heap := before.Heap + sample[int64](6, 2)*megabyte; after.Heap > heap || after.held() > before.held()+8*megabyte {
				t.Errorf("something is left: %+v, before %+v", after, before)
			}
			if n := v.end()[attack.counter]; n < uint64(attack.least) {
				t.Errorf("%s is %d, want %d at least: there was no attack", attack.counter, n, attack.least)
			}
		})
	}
}

// synFlood: SYNs from as many addresses, none of which ever answers.
func synFlood(c *campaign) {
	var m frames
	c.flood(floodSize(), floodRate(), func(n int) []byte {
		return m.tcp(netip.AddrPortFrom(stranger(n), 4000), wire.TCPFields{Seq: uint32(n) * 7919, Flags: wire.SYN, Window: 1024}, nil)
	})
}

// ackFlood: ACKs with random numbers, for no connection and for the client's.
func ackFlood(c *campaign) {
	var m frames
	c.flood(floodSize(), floodRate(), func(n int) []byte {
		from := netip.AddrPortFrom(stranger(n), 4000)
		if n%2 == 0 {
			from = c.kept
		}
		return m.tcp(from, wire.TCPFields{Seq: rand.Uint32(), Ack: rand.Uint32(), Flags: wire.ACK, Window: uint16(rand.Uint32())}, nil)
	})
}

// spoofedResets: RSTs and SYNs as if from the client, by an attacker who sees what is going on and yet never hits the one
// number that is right. All are within the window or close to it (RFC 5961).
func spoofedResets(c *campaign) {
	var next atomic.Uint32 // what the guest expects of the client
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if s, ok := c.receive(); ok && s.to == c.kept {
				next.Store(s.tcp.Ack())
			}
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	var m frames
	c.flood(floodSize(), floodRate(), func(n int) []byte {
		// The client sends a hundred bytes a request: it is not where the frame says by the time that it arrives.
		f := wire.TCPFields{Seq: next.Load() + 30_000 + rand.Uint32N(30_000), Flags: wire.RST}
		switch n % 4 {
		case 1:
			f.Flags = wire.SYN
		case 2:
			f.Flags, f.Ack = wire.RST|wire.ACK, rand.Uint32()
		case 3:
			f.Seq = next.Load() - 30_000 - rand.Uint32N(30_000)
		}
		return m.tcp(c.kept, f, nil)
	})
	close(done)
	<-ended
}

// tinySegments: uploads in segments of one byte. Of a third of them the server reads what comes; of a third nothing; and of
// a third there is only every other byte, so that nothing is ever in order.
func tinySegments(c *campaign) {
	const conns = 30
	var peers []peer
	for i, path := range []string{"sink", "deaf", "sink"} {
		var from []netip.AddrPort
		for n := range conns / 3 {
			from = append(from, netip.AddrPortFrom(stranger(i*conns+n), 4000))
		}
		request := fmt.Sprintf("POST /%s HTTP/1.1\r\nHost: guest\r\nContent-Length: 100000000\r\n\r\n", path)
		if err := c.open(from, []byte(request), func(p peer) { peers = append(peers, p) }); err != nil {
			c.t.Error(err)
			return
		}
	}
	var m frames
	c.flood(floodSize(), floodRate(), func(n int) []byte {
		p := &peers[n%len(peers)]
		if n%len(peers) >= conns*2/3 {
			p.next++
		}
		f := m.tcp(p.at, wire.TCPFields{Seq: p.next, Ack: p.ack, Flags: wire.ACK, Window: 65535}, []byte{byte(n)})
		p.next++
		return f
	})
	if _, err := c.v.get(c.v.client, "/release"); err != nil {
		c.t.Error(err)
	}
	if err := c.reset(peers); err != nil {
		c.t.Error(err)
	}
}

// overlappingFragments: fragments that overlap or never become whole, four of each datagram.
func overlappingFragments(c *campaign) {
	var m frames
	c.flood(floodSize(), floodRate(), func(n int) []byte {
		return m.ip(wire.IPv4Fields{
			Proto: wire.ProtoTCP, Src: stranger(n / 4), ID: uint16(n / 4), Flags: wire.IPv4MF, Offset: 8 * rand.IntN(400),
		}, 8*(1+rand.IntN(180)))
	})
}

// nobodysFrames: packets for no protocol and of no version, frames of no type.
func nobodysFrames(c *campaign) {
	var m frames
	c.flood(floodSize(), floodRate(), func(n int) []byte {
		f := m.ip(wire.IPv4Fields{Proto: 200, Src: stranger(n)}, rand.IntN(1480))
		switch n % 4 {
		case 1:
			f[wire.EthernetSize] = byte(n)
		case 2:
			f[12] = byte(n)
		case 3:
			rand.Shuffle(len(f)-wire.EthernetSize, func(i, j int) {
				i, j = i+wire.EthernetSize, j+wire.EthernetSize
				f[i], f[j] = f[j], f[i]
			})
		}
		return f
	})
}

// slowReaders: clients that ask for much and read nothing.
func slowReaders(c *campaign) {
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range slowCount() {
		var conn net.Conn
		err := c.v.ns.Run(func() (err error) {
			conn, err = dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(guestAddr, 80).String())
			return err
		})
		if err == nil {
			conns = append(conns, conn)
			_, err = io.WriteString(conn, "GET /endless HTTP/1.1\r\nHost: guest\r\n\r\n")
		}
		if err != nil {
			c.t.Error(err)
			return
		}
	}
	time.Sleep(sample(time.Second, 10*time.Second))
	// What is in use, without garbage. The client goes on meanwhile, with a request or two at a time.
	there, err := c.v.memory(true)
	if err != nil {
		c.t.Error(err)
		return
	}
	grown, most := there.Resident-c.before.Resident, slowLive(c.v.limit, slowCount())
	figure(c.t, "slow readers", "memory in use for them", float64(grown)/megabyte, "MiB")
	figure(c.t, "slow readers", "memory that may be", float64(most)/megabyte, "MiB")
	if grown > most {
		c.t.Errorf("%d slow readers have %d KiB in use, and may have %d", slowCount(), grown>>10, most>>10)
	}
}
