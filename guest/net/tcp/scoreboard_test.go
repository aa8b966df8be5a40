package tcp

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// boardModel is a scoreboard byte by byte.
type boardModel struct {
	una, max seq
	byte     map[seq]flight // end is not used
}

// TestScoreboardModel does the same things to a scoreboard and to a table of bytes.
func TestScoreboardModel(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 0))
		const mss = 10
		var b scoreboard
		m := boardModel{una: 0xffffff00, byte: map[seq]flight{}} // wraps round
		m.max = m.una
		b.reset(m.una)
		var cuts []seq // where segments end
		now := int64(1)
		for step := range 200 {
			now += int64(r.IntN(2))
			at := fmt.Sprintf("seed %d, step %d", seed, step)
			switch k := r.IntN(10); {
			case k < 3: // send
				n := mss * (1 + r.IntN(4))
				if r.IntN(4) == 0 {
					n -= r.IntN(mss)
				}
				end := m.max.plus(n)
				for s := m.max; s != end; s++ {
					m.byte[s] = flight{at: now}
				}
				for s := m.max; s != end; s = minSeq(s.plus(mss), end) {
					cuts = append(cuts, minSeq(s.plus(mss), end))
				}
				m.max = end
				b.sent(end, now, mss)
			case k < 4 && len(cuts) > 0: // cumulative ACK
				i := r.IntN(min(len(cuts), 3))
				una := cuts[i]
				want := 0
				for s := m.una; s != una; s++ {
					if m.byte[s].state != sacked {
						want++
					}
					delete(m.byte, s)
				}
				cuts = cuts[i+1:]
				m.una = una
				var d delivery
				if b.ack(una, &d); d.bytes != want {
					t.Fatalf("%s: ack delivered %d, want %d", at, d.bytes, want)
				}
			case k < 7 && len(cuts) > 1: // SACK of whole segments, or of a bit more or less
				i := r.IntN(len(cuts) - 1)
				j := i + 1 + r.IntN(min(len(cuts)-i-1, 5))
				start, end := cuts[i], cuts[j]
				want := 0
				for s := start; s != end; s++ {
					if f := m.byte[s]; f.state != sacked {
						want++
						m.byte[s] = flight{state: sacked}
					}
				}
				if i > 0 && start.minus(cuts[i-1]) > 1 && r.IntN(4) == 0 {
					start-- // part of a segment: not believed
				}
				var d delivery
				if b.sack(start, end, mss, &d); d.bytes != want {
					t.Fatalf("%s: sack delivered %d, want %d", at, d.bytes, want)
				}
			case k < 8 && b.len() > 0: // a range is lost
				i := b.head + r.IntN(b.len())
				if b.list[i].state == inFlight {
					for s := b.from(i); s != b.list[i].end; s++ {
						f := m.byte[s]
						f.state = lost
						m.byte[s] = f
					}
					b.lose(i)
				}
			case b.lost > 0: // and sent again
				i := b.firstLost()
				from, n := b.from(i), b.list[i].end.minus(b.from(i))
				if n > mss && r.IntN(2) == 0 {
					n = mss
				}
				for s := from; s != from.plus(n); s++ {
					m.byte[s] = flight{at: now, resent: true}
				}
				b.again(i, n, now, mss)
			}
			m.compare(t, at, &b)
		}
		b.found()
		if b.lost != 0 {
			t.Errorf("seed %d: %d bytes are lost still", seed, b.lost)
		}
	}
}

// compare checks every byte, the sums and the invariants.
func (m *boardModel) compare(t *testing.T, at string, b *scoreboard) {
	t.Helper()
	s, sum := m.una, map[fate]int{}
	if b.start != m.una {
		t.Fatalf("%s: starts at %d, want %d", at, b.start, m.una)
	}
	for i := b.head; i < len(b.list); i++ {
		f := b.list[i]
		if !f.end.after(s) {
			t.Fatalf("%s: range %d is empty", at, i)
		}
		if i > b.head && f.state == sacked && b.list[i-1].state == sacked {
			t.Fatalf("%s: two sacked ranges touch", at)
		}
		for ; s != f.end; s++ {
			want := m.byte[s]
			sum[want.state]++
			if f.state != want.state || want.state == inFlight && (f.at != want.at || f.resent != want.resent) {
				t.Fatalf("%s: byte %d is %+v, want %+v", at, s.minus(m.una), f, want)
			}
			if want.state == lost && s.before(b.low) {
				t.Fatalf("%s: byte %d is lost, but before low", at, s.minus(m.una))
			}
		}
	}
	if s != m.max || b.sacked != sum[sacked] || b.lost != sum[lost] {
		t.Fatalf("%s: ends at %d, want %d; sums %d, %d, want %v", at, s, m.max, b.sacked, b.lost, sum)
	}
}

// TestScoreboardBounded has a peer cut as much as it can: the list stays within its bound.
func TestScoreboardBounded(t *testing.T) {
	const mss = 10
	var b scoreboard
	b.reset(0)
	for i := range 3 * maxRanges {
		b.sent(seq((i+1)*mss), int64(i/1000), mss)
	}
	for i := range 3 * maxRanges {
		var d delivery
		b.sack(seq((3*i%(3*maxRanges))*mss), seq((3*i%(3*maxRanges)+1)*mss), mss, &d)
		b.sack(seq(i*mss+1), seq(i*mss+2), mss, &d) // nothing anybody would have
	}
	if b.len() > maxRanges {
		t.Errorf("%d ranges", b.len())
	}
	// With all ranges in use, sending goes on, and all can be repeated and acknowledged.
	for i := range 1000 {
		b.sent(seq((3*maxRanges+i+1)*mss), int64(1000+i), mss)
	}
	if b.len() > maxRanges+1 {
		t.Errorf("%d ranges after sending", b.len())
	}
	for b.loseAll(); b.lost > 0; {
		b.again(b.firstLost(), mss, 5000, mss)
	}
	if b.len() > 2*maxRanges {
		t.Errorf("%d ranges after sending again", b.len())
	}
	var d delivery
	if b.ack(seq((3*maxRanges+1000)*mss), &d); b.len() != 0 || b.sacked != 0 || b.lost != 0 {
		t.Errorf("left: %d ranges, %d bytes sacked, %d lost", b.len(), b.sacked, b.lost)
	}
}

// checkBoard checks a connection's scoreboard against its sequence numbers.
func (c *Conn) checkBoard(t *testing.T) {
	t.Helper()
	b := &c.board
	at, sums := b.start, [3]int{}
	for i := b.head; i < len(b.list); i++ {
		f := b.list[i]
		if !f.end.after(at) {
			t.Fatalf("range %d is empty", i)
		}
		sums[f.state] += f.end.minus(at)
		at = f.end
	}
	if b.start != c.snd.una || at != c.snd.max || sums[sacked] != b.sacked || sums[lost] != b.lost || c.snd.nxt != c.snd.max {
		t.Fatalf("from %d to %d, una %d, max %d, nxt %d; sacked %d, lost %d, want %v",
			b.start, at, c.snd.una, c.snd.max, c.snd.nxt, b.sacked, b.lost, sums)
	}
	if c.cc.Size <= 0 || c.pipe() < 0 {
		t.Fatalf("window %d, pipe %d", c.cc.Size, c.pipe())
	}
}

// BenchmarkScoreboardHostile is what an ACK with a block costs when the list is as long as it can be, and all blocks are
// single segments in the midst of it.
func BenchmarkScoreboardHostile(b *testing.B) {
	const mss = 1000
	p := newPeer(&testing.T{})
	c := p.box.New()
	c.sack, c.snd.mss, c.rtt.min, c.rtt.srtt = true, mss, millisecond, millisecond
	c.state = Established
	full := func() {
		c.board.reset(0)
		for i := range 2 * maxRanges {
			c.board.sent(seq((i+1)*mss), int64(i+1), mss)
		}
		c.snd.una, c.snd.nxt, c.snd.max = 0, seq(2*maxRanges*mss), seq(2*maxRanges*mss)
		c.rack = rack{mult: 1, reorder: true}
	}
	full()
	b.ReportAllocs()
	for i := range b.N {
		if i%(maxRanges/2) == 0 {
			b.StopTimer()
			full()
			b.StartTimer()
		}
		at := (2*i*1237%maxRanges + 1) * mss
		d := delivery{now: int64(i)}
		c.board.sack(seq(at), seq(at+mss), mss, &d)
		c.rack.update(&d, 0, c.snd.max)
		c.detectLoss(int64(i))
	}
}
