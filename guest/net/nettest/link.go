package nettest

import (
	"math/rand/v2"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// Faults says what a link does to frames. Probabilities are between 0 and 1; times are nanoseconds. The zero value is a
// perfect link without delay.
type Faults struct {
	Loss      float64
	Duplicate float64
	Mark      float64 // congestion is marked, of those that may be (RFC 3168)
	Corrupt   float64 // one bit is changed, but not of ARP, which relies on Ethernet's check sequence
	Reorder   float64 // the frame takes Late longer
	Late      int64
	Delay     int64
	Jitter    int64 // a random part of this is added; frames stay in order
	Rate      int64 // bytes a second; 0: no limit
	Queue     int64 // with Rate: how long a frame may wait before it is dropped; 0: for ever
}

// Link is a full-duplex link between two Ends.
type Link struct {
	A, B  *End
	clock *Clock
	rand  *rand.Rand
}

// End is one end of a Link: a network card as the stack sees it.
type End struct {
	Faults Faults // of what this end sends
	// Receive is given what arrives.
	Receive func([]*packet.Packet)
	// Tap, if set, sees all frames this end sends and may keep a frame from going on by returning false.
	Tap func(frame []byte) bool
	// Sent, Lost count frames.
	Sent, Lost int

	link  *Link
	peer  *End
	pool  *packet.Pool // of the receiving stack
	busy  int64        // until when the link is used by frames sent before
	last  int64        // when the last frame in order arrives
	batch []*packet.Packet
}

// NewLink returns a link with the same faults both ways. Frames are received into packets of the pools given.
func NewLink(c *Clock, seed uint64, f Faults, a, b *packet.Pool) *Link {
	l := &Link{clock: c, rand: rand.New(rand.NewPCG(seed, 1))}
	l.A = &End{Faults: f, link: l, pool: a}
	l.B = &End{Faults: f, link: l, pool: b}
	l.A.peer, l.B.peer = l.B, l.A
	return l
}

// Transmit is nic.NIC's: it segments, completes checksums and sends, as a card with all offloads would.
func (e *End) Transmit(p *packet.Packet) bool {
	for _, frame := range Frames(p) {
		e.Send(frame)
	}
	p.Release()
	return true
}

// Flush is nic.NIC's.
func (e *End) Flush() {}

// Send puts a frame on the link.
func (e *End) Send(frame []byte) {
	if e.Tap != nil && !e.Tap(frame) {
		return
	}
	e.Sent++
	f := &e.Faults
	r := e.link.rand
	now := e.link.clock.Now()
	if r.Float64() < f.Loss {
		e.Lost++
		return
	}
	at := now
	if f.Rate > 0 {
		start := max(now, e.busy)
		if f.Queue > 0 && start-now > f.Queue {
			e.Lost++
			return
		}
		e.busy = start + int64(len(frame))*1_000_000_000/f.Rate
		at = e.busy
	}
	if f.Mark > 0 && r.Float64() < f.Mark {
		frame = mark(frame)
	}
	at += f.Delay
	if f.Jitter > 0 {
		at += r.Int64N(f.Jitter)
	}
	if r.Float64() < f.Reorder {
		at += f.Late
	} else {
		at = max(at, e.last)
		e.last = at
	}
	if r.Float64() < f.Corrupt && frame[13] != byte(wire.TypeARP&0xff) {
		frame = append([]byte(nil), frame...)
		frame[r.IntN(len(frame))] ^= 1 << r.IntN(8)
	}
	e.deliver(at, frame)
	if r.Float64() < f.Duplicate {
		e.deliver(at, frame)
	}
}

// mark sets CE in an IPv4 frame that has ECT.
func mark(frame []byte) []byte {
	const ip = wire.EthernetSize
	if len(frame) < ip+wire.IPv4Size || frame[12] != 8 || frame[13] != 0 || frame[ip+1]&3 == 0 {
		return frame
	}
	frame = append([]byte(nil), frame...)
	frame[ip+1] |= 3
	wire.IPv4(frame[ip : ip+int(frame[ip]&15)*4]).SetChecksum()
	return frame
}

func (e *End) deliver(at int64, frame []byte) {
	e.link.clock.At(at, func() {
		to := e.peer
		p := to.pool.Receive(max(len(frame), 1))
		p.Truncate(copy(p.Bytes(), frame))
		to.batch = append(to.batch[:0], p)
		to.Receive(to.batch)
	})
}
