package neighbour

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

const (
	second   = 1e9
	lifetime = 30 * second
)

var (
	macA = wire.MAC{2, 0, 0, 0, 0, 0xa}
	macB = wire.MAC{2, 0, 0, 0, 0, 0xb}
	peer = station(1)
)

// station is one of many neighbours.
func station(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)})
}

// lab is a cache with its surroundings.
type lab struct {
	t     *testing.T
	cache Cache
	wheel timer.Wheel
	pool  packet.Pool
	now   int64
	sent  int      // packets given to Resolve
	held  int      // of those, the ones that are neither out, lost nor dropped
	out   []string // what happened
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, now: 3600 * second}
	l.cache = Cache{
		Now: func() int64 { return l.now }, Wheel: &l.wheel,
		Output:      func(p *packet.Packet) { l.done(p, "out to %x", p.MAC[5]) },
		Unreachable: func(p *packet.Packet) { l.done(p, "lost") },
		Lost:        func(a netip.Addr) { l.note("router %v lost", a) },
		Ask: func(e *Entry) {
			if e.State == Probe {
				l.note("probe %x", e.MAC[5])
			} else {
				l.note("ask")
			}
		},
	}
	return l
}

func (l *lab) note(format string, args ...any) { l.out = append(l.out, fmt.Sprintf(format, args...)) }

func (l *lab) done(p *packet.Packet, format string, args ...any) {
	l.held--
	l.note(format+", packet %d", append(args, p.Bytes()[0])...)
	p.Release()
}

// send gives the cache a packet, numbered from 0 on.
func (l *lab) send(to netip.Addr, quiet bool) {
	p := l.pool.Linear(1)
	p.Bytes()[0] = byte(l.sent)
	p.NextHop = to
	l.sent++
	l.held++
	dropped := l.cache.Dropped
	l.cache.Resolve(p, quiet)
	l.held -= int(l.cache.Dropped - dropped)
}

func (l *lab) pass(d int64) { nettest.Pass(&l.now, &l.wheel, d) }

// want compares what has happened, and the state of the peer's entry: "" if there is none.
func (l *lab) want(state string, out ...string) {
	l.t.Helper()
	if !slices.Equal(l.out, out) {
		l.t.Errorf("%q, want %q", l.out, out)
	}
	l.out = nil
	got := ""
	if e := l.cache.Find(peer); e != nil {
		got = [...]string{"incomplete", "reachable", "stale", "probe", "static"}[e.State]
	}
	if got != state {
		l.t.Errorf("state %q, want %q", got, state)
	}
	if l.cache.Waiting() != l.held {
		l.t.Errorf("%d packets wait, counted %d", l.held, l.cache.Waiting())
	}
}

// TestStates takes an entry along each arrow of the package comment's picture.
func TestStates(t *testing.T) {
	l := newLab(t)
	l.send(peer, false)
	l.want("incomplete", "ask")
	l.send(peer, false) // does not ask again
	l.want("incomplete")
	l.pass(Interval)
	l.want("incomplete", "ask")
	l.cache.Find(peer).Confirmed(macA, l.now+lifetime)
	l.want("reachable", "out to a, packet 0", "out to a, packet 1")
	l.send(peer, false)
	l.pass(lifetime - 1)
	l.send(peer, false)
	l.want("reachable", "out to a, packet 2", "out to a, packet 3")

	l.pass(1) // its time is over: the next packet leaves, and asks
	l.send(peer, true)
	l.want("reachable", "out to a, packet 4") // but for one that is no reason to
	l.send(peer, false)
	l.want("probe", "probe a", "out to a, packet 5")
	l.send(peer, false)
	l.want("probe", "out to a, packet 6")
	l.cache.Find(peer).Confirmed(macB, l.now+lifetime)
	l.pass(Requests * Interval)
	l.send(peer, false)
	l.want("reachable", "out to b, packet 7")

	l.cache.Find(peer).Heard(macA) // may be forged
	l.want("stale")
	l.send(peer, true)
	l.want("stale", "out to a, packet 8")
	l.send(peer, false)
	l.want("probe", "probe a", "out to a, packet 9")
	l.pass(2 * Interval)
	l.want("probe", "probe a", "probe a")
	l.send(peer, false)
	l.pass(Interval)
	l.want("", "out to a, packet 10") // nothing waited, so nothing is unreachable
	if l.cache.Silent != 1 || l.cache.Dropped != 0 {
		t.Errorf("%d silent, %d dropped", l.cache.Silent, l.cache.Dropped)
	}
}

// TestSilence: a neighbour that never answers is asked so many times, and what waited for it is unreachable, in order.
func TestSilence(t *testing.T) {
	l := newLab(t)
	l.send(peer, false)
	l.send(peer, false)
	l.pass(Requests*Interval - 1)
	l.want("incomplete", "ask", "ask", "ask")
	l.pass(1)
	l.want("", "lost, packet 0", "lost, packet 1")
	if l.cache.Silent != 1 || l.cache.Dropped != 2 || l.cache.Len() != 0 {
		t.Errorf("%d silent, %d dropped, %d entries", l.cache.Silent, l.cache.Dropped, l.cache.Len())
	}
	l.pass(100 * second)
	l.want("")
	l.send(peer, false) // begins anew
	l.want("incomplete", "ask")
}

// TestUnreachableSendsMore: what is told that a packet is unreachable may send to the same neighbour at once.
func TestUnreachableSendsMore(t *testing.T) {
	l := newLab(t)
	was := l.cache.Unreachable
	l.cache.Unreachable = func(p *packet.Packet) {
		was(p)
		if l.sent < 3 {
			l.send(peer, false)
		}
	}
	l.send(peer, false)
	l.send(peer, false)
	l.pass(Requests * Interval)
	l.want("incomplete", "ask", "ask", "ask", "lost, packet 0", "ask", "lost, packet 1")
	l.cache.Find(peer).Confirmed(macA, l.now+lifetime)
	l.want("reachable", "out to a, packet 2")
}

// TestRouter: that a router does not answer is told, once it was known to be one.
func TestRouter(t *testing.T) {
	l := newLab(t)
	e := l.cache.Add(peer)
	e.Heard(macA)
	e.Router = true
	l.send(peer, false)
	l.pass(Requests * Interval)
	l.want("", "probe a", "out to a, packet 0", "probe a", "probe a", fmt.Sprintf("router %v lost", peer))
	l.cache.Lost = nil // nobody wants to know
	e = l.cache.Add(peer)
	e.Heard(macA)
	e.Router = true
	l.send(peer, false)
	l.pass(Requests * Interval)
	l.want("", "probe a", "out to a, packet 1", "probe a", "probe a")
}

// TestHeardWhileIncomplete: other news than an answer is used for what waits, and asked about with the next packet.
func TestHeardWhileIncomplete(t *testing.T) {
	l := newLab(t)
	l.send(peer, false)
	l.cache.Find(peer).Heard(macB)
	l.want("stale", "ask", "out to b, packet 0")
	l.pass(100 * second)
	l.want("stale")
	l.send(peer, false)
	l.want("probe", "probe b", "out to b, packet 1")
}

// TestStatic: what was set by hand is neither asked about, flushed, nor made room of.
func TestStatic(t *testing.T) {
	l := newLab(t)
	l.send(peer, false)
	if !l.cache.Set(peer, macA) {
		t.Fatal("there is room")
	}
	l.want("static", "ask", "out to a, packet 0")
	l.pass(1000 * second)
	l.send(peer, false)
	l.want("static", "out to a, packet 1")
	for n := range 3 * MaxEntries {
		l.cache.Add(station(1000 + n)).Heard(macB)
	}
	l.cache.Flush()
	l.want("static")
	if l.cache.Len() != 1 {
		t.Errorf("%d entries after Flush", l.cache.Len())
	}
	if mac, ok := l.cache.Lookup(peer); !ok || mac != macA {
		t.Errorf("%v, %v", mac, ok)
	}
}

// TestFlush: what waits is released, and no timer is left that asks.
func TestFlush(t *testing.T) {
	l := newLab(t)
	l.send(peer, false)
	l.send(station(2), false)
	l.cache.Flush()
	l.held -= 2 // released, neither out nor lost
	l.pass(10 * second)
	l.want("", "ask", "ask")
	if _, ok := l.wheel.Next(); ok {
		t.Error("a timer is set for what is forgotten")
	}
	// The entry last looked up is gone, too.
	l.send(peer, false)
	l.want("incomplete", "ask")
}

// TestPending: of what waits for one neighbour the oldest makes room; of what waits for all the newest is dropped.
func TestPending(t *testing.T) {
	l := newLab(t)
	for range MaxPending + 3 {
		l.send(peer, false)
	}
	if l.cache.Waiting() != MaxPending || l.cache.Dropped != 3 {
		t.Fatalf("%d wait, %d dropped", l.cache.Waiting(), l.cache.Dropped)
	}
	for n := range MaxWaiting {
		l.send(station(100+n/MaxPending), false)
	}
	if l.cache.Waiting() != MaxWaiting || l.cache.Dropped != 3+MaxPending {
		t.Fatalf("%d wait, %d dropped", l.cache.Waiting(), l.cache.Dropped)
	}
	l.out = nil
	l.cache.Find(peer).Confirmed(macA, l.now+lifetime)
	if len(l.out) != MaxPending || l.out[0] != "out to a, packet 3" {
		t.Errorf("%d packets, the first is %q", len(l.out), l.out[0])
	}
	// There is room again, for another.
	dropped := l.cache.Dropped
	l.send(station(200), false)
	if l.cache.Dropped != dropped || l.cache.Waiting() != l.held {
		t.Errorf("dropped with room; %d wait", l.cache.Waiting())
	}
	l.pass(Requests * Interval)
	if l.cache.Waiting() != 0 || l.held != 0 {
		t.Errorf("%d wait, and %d are unaccounted for", l.cache.Waiting(), l.held)
	}
}

// TestFull: when the cache is full an entry makes room that is neither static nor waited for, nor, while there are others,
// a router's or one that is reachable. When all are waited for there is no room.
func TestFull(t *testing.T) {
	l := newLab(t)
	for n := range MaxEntries {
		switch e := l.cache.Add(station(n)); {
		case n == 0:
			e.Heard(macA)
			e.Router = true
		case n == 1:
			e.Confirmed(macA, l.now+lifetime)
		default:
			e.Heard(macB)
		}
	}
	for n := range MaxEntries - 2 {
		if l.cache.Add(station(10_000+n)) == nil {
			t.Fatal("no room, with stale entries")
		}
	}
	if l.cache.Len() != MaxEntries || l.cache.Find(station(0)) == nil || l.cache.Find(station(1)) == nil {
		t.Fatalf("%d entries; router %v, reachable %v", l.cache.Len(), l.cache.Find(station(0)), l.cache.Find(station(1)))
	}
	// All others are incomplete now: what is left makes room, and then nothing does.
	for n := range 2 {
		if l.cache.Add(station(20_000+n)) == nil {
			t.Fatalf("no room in place of entry %d", n)
		}
	}
	if l.cache.Add(station(30_000)) != nil || l.cache.Set(station(30_000), macA) || l.cache.Len() != MaxEntries {
		t.Errorf("an entry that packets wait for made room; %d entries", l.cache.Len())
	}
	dropped := l.cache.Dropped
	l.send(station(30_000), false)
	if l.cache.Dropped != dropped+1 || l.held != 0 {
		t.Errorf("a packet without an entry: %d dropped, %d held", l.cache.Dropped-dropped, l.held)
	}
}

// TestRandom does anything in any order: the bounds hold, every packet ends once, and silence ends everything.
func TestRandom(t *testing.T) {
	for seed := range uint64(50) {
		l := newLab(t)
		r := rand.New(rand.NewPCG(seed, 0))
		for range 2000 {
			at := station(r.IntN(2 * MaxEntries))
			e := l.cache.Find(at)
			switch r.IntN(8) {
			case 0, 1, 2, 3:
				l.send(at, r.IntN(2) == 0)
			case 4:
				if e != nil {
					e.Confirmed(macA, l.now+r.Int64N(lifetime))
				}
			case 5:
				if e != nil {
					e.Heard(macB)
					e.Router = r.IntN(4) == 0
				}
			case 6:
				l.pass(r.Int64N(second))
			case 7:
				if r.IntN(100) == 0 {
					l.held -= l.cache.Waiting()
					l.cache.Flush()
				}
			}
			l.out = nil
			if l.cache.Waiting() != l.held || l.held < 0 || l.held > MaxWaiting || l.cache.Len() > MaxEntries {
				t.Fatalf("seed %d: %d packets wait, counted %d; %d entries", seed, l.held, l.cache.Waiting(), l.cache.Len())
			}
		}
		l.pass((Requests + 1) * Interval)
		if l.held != 0 || l.cache.Waiting() != 0 {
			t.Fatalf("seed %d: %d packets wait in the end, counted %d", seed, l.held, l.cache.Waiting())
		}
	}
}
