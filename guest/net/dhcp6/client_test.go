package dhcp6

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

var (
	serverA, serverB = netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("fe80::53")
	ourID            = []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 9}
	serverID         = []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}
)

// lab is a client and its surroundings.
type lab struct {
	t      testing.TB
	c      Client
	wheel  timer.Wheel
	now    int64
	sent   [][]byte
	at     []int64
	got    []Settings
	silent int
}

func newLab(t testing.TB, seed uint64) *lab {
	l := &lab{t: t, now: 3600 * second}
	l.wheel.Advance(l.now)
	rng := rand.New(rand.NewPCG(seed, 1))
	l.c = Client{
		Send:       func(m []byte) { l.sent, l.at = append(l.sent, bytes.Clone(m)), append(l.at, l.now) },
		Configured: func(s Settings) { l.got = append(l.got, s) },
		Silent:     func() { l.silent++ },
		Now:        func() int64 { return l.now }, Random: rng.Uint64, Wheel: &l.wheel, MAC: wire.MAC{2, 0, 0, 0, 0, 9},
	}
	return l
}

func (l *lab) pass(d int64) { nettest.Pass(&l.now, &l.wheel, d) }

// reply answers the last request, with options after the two identifiers.
func (l *lab) reply(o wire.DHCP6Options) []byte {
	m := make(wire.DHCP6, wire.DHCP6Size)
	m.Encode(wire.DHCP6Reply, wire.DHCP6(l.sent[len(l.sent)-1]).XID())
	all := wire.DHCP6Options(nil).Append(wire.Opt6ClientID, ourID...).Append(wire.Opt6ServerID, serverID...)
	return append(append(m, all...), o...)
}

func settings(o wire.DHCP6Options) wire.DHCP6Options {
	o = o.Append(wire.Opt6DNS, append(serverA.AsSlice(), serverB.AsSlice()...)...)
	return o.Append(wire.Opt6Domains, []byte("\x03lan\x00\x07example\x03org\x00")...)
}

func seconds(n uint32) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

// TestConfigure asks, learns, and asks again when the time is over.
func TestConfigure(t *testing.T) {
	l := newLab(t, 1)
	l.c.Start()
	l.c.Start()
	if len(l.sent) != 1 || !l.c.Waiting() {
		t.Fatalf("%d requests", len(l.sent))
	}
	h, ok := wire.ParseDHCP6(l.sent[0])
	if !ok || h.Type() != wire.DHCP6InformationRequest {
		t.Fatalf("%x", l.sent[0])
	}
	if id, _ := h.Options().Get(wire.Opt6ClientID); !bytes.Equal(id, ourID) {
		t.Errorf("identifier %x", id)
	}
	if e, _ := h.Options().Get(wire.Opt6Elapsed); !bytes.Equal(e, []byte{0, 0}) {
		t.Errorf("elapsed %x", e)
	}
	// RFC 8415 §18.2.6: these must be asked for.
	if want, _ := h.Options().Get(wire.Opt6Request); !bytes.Equal(want, []byte{0, 23, 0, 24, 0, 32, 0, 83}) {
		t.Errorf("asks for %x", want)
	}
	l.c.Receive(l.reply(settings(nil).Append(wire.Opt6RefreshTime, seconds(1800)...)))
	want := Settings{[]netip.Addr{serverA, serverB}, []string{"lan", "example.org"}}
	if len(l.got) != 1 || !slices.Equal(l.got[0].Servers, want.Servers) || !slices.Equal(l.got[0].Domains, want.Domains) || l.c.Waiting() {
		t.Fatalf("%+v", l.got)
	}
	l.c.Receive(l.reply(settings(nil))) // late
	l.pass(1799 * second)
	if len(l.got) != 1 || len(l.sent) != 1 {
		t.Errorf("%d replies taken, %d requests", len(l.got), len(l.sent))
	}
	l.pass(3 * second / 2)
	if len(l.sent) != 2 || l.c.Waiting() || l.silent != 0 {
		t.Fatalf("%d requests when the refresh time is over", len(l.sent))
	}
	if a, b := wire.DHCP6(l.sent[0]).XID(), wire.DHCP6(l.sent[1]).XID(); a == b {
		t.Error("the same transaction again")
	}
	l.c.Receive(l.reply(nil))
	if len(l.got) != 2 || l.got[1].Servers != nil || l.got[1].Domains != nil {
		t.Errorf("an empty reply: %+v", l.got)
	}
	l.c.Stop()
	if l.pass(90000 * second); len(l.sent) != 2 || l.wheel.Len() != 0 {
		t.Error("goes on after Stop")
	}
}

// TestRefresh: the refresh time is between ten minutes and a day, a day if it is not said (RFC 8415 §21.23).
func TestRefresh(t *testing.T) {
	for _, c := range []struct {
		option []byte
		want   int64 // seconds; 0: never
	}{
		{nil, 86400}, {seconds(0), 600}, {seconds(599), 600}, {seconds(7200), 7200}, {seconds(1 << 31), 86400}, {seconds(1<<32 - 1), 0}, {[]byte{1}, 86400},
	} {
		l := newLab(t, 2)
		l.c.Start()
		var o wire.DHCP6Options
		if c.option != nil {
			o = o.Append(wire.Opt6RefreshTime, c.option...)
		}
		l.c.Receive(l.reply(o))
		begin := l.now
		l.pass(200000 * second)
		if c.want == 0 {
			if len(l.sent) != 1 {
				t.Error("for ever, but asked again")
			}
			continue
		}
		if len(l.sent) < 2 || (l.at[1]-begin+second/2)/second != c.want {
			t.Errorf("%x: asked again after %d s", c.option, (l.at[1]-begin)/second)
		}
	}
}

// TestRetransmit: without an answer requests follow after 1, 2, 4 … s, up to an hour, each with a tenth at random (RFC 8415
// §15), with the time that has passed.
func TestRetransmit(t *testing.T) {
	for seed := range uint64(20) {
		l := newLab(t, seed)
		l.c.Start()
		l.pass(1200 * second / 1000)
		if l.silent != 1 || l.c.Waiting() {
			t.Fatalf("after one timeout: silent %d", l.silent)
		}
		l.pass(30000 * second)
		if l.silent != 1 || len(l.sent) < 15 {
			t.Fatalf("%d requests, silent %d", len(l.sent), l.silent)
		}
		last := int64(0)
		for i, at := range l.at {
			h := wire.DHCP6(l.sent[i])
			if e, _ := h.Options().Get(wire.Opt6Elapsed); int64(e[0])<<8|int64(e[1]) != min((at-l.at[0])/(second/100), 65535) {
				t.Errorf("request %d: elapsed %x after %d ms", i, e, (at-l.at[0])/1e6)
			}
			if h.XID() != wire.DHCP6(l.sent[0]).XID() {
				t.Errorf("request %d is another transaction", i)
			}
			if i == 0 {
				continue
			}
			wait := at - l.at[i-1]
			low, high := 2*last-last/10, 2*last+last/10
			if i == 1 {
				low, high = second*9/10, second*11/10
			}
			if low > longestTimeout || high > longestTimeout {
				low, high = min(low, longestTimeout*9/10), longestTimeout*11/10
			}
			const grain = 2e6 // of the timer wheel
			if wait < low-grain || wait > high+2*grain {
				t.Errorf("request %d after %d ms, want %d to %d", i, wait/1e6, low/1e6, high/1e6)
			}
			last = wait
		}
		// A server may make the longest wait shorter, for what follows.
		l.c.Receive(l.reply(wire.DHCP6Options(nil).Append(wire.Opt6InfMaxRT, seconds(60)...)))
		n := len(l.sent)
		l.pass(86400*second + 1000*second)
		if d := l.at[len(l.at)-1] - l.at[len(l.at)-2]; d > 67*second || len(l.sent) < n+10 {
			t.Errorf("INF_MAX_RT 60: %d requests, the last after %d s", len(l.sent)-n, d/second)
		}
	}
}

// TestRefused: what is not an answer to the request changes nothing.
func TestRefused(t *testing.T) {
	l := newLab(t, 3)
	l.c.Receive([]byte{7, 0, 0, 0}) // before Start
	l.c.Start()
	good := l.reply(settings(nil))
	edit := func(f func(b []byte)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	head := good[:wire.DHCP6Size]
	ids := func(client, server []byte) []byte {
		var o wire.DHCP6Options
		if client != nil {
			o = o.Append(wire.Opt6ClientID, client...)
		}
		if server != nil {
			o = o.Append(wire.Opt6ServerID, server...)
		}
		return append(bytes.Clone(head), settings(o)...)
	}
	for name, m := range map[string][]byte{
		"nothing":                   nil,
		"another transaction":       edit(func(b []byte) { b[3] ^= 1 }),
		"another type":              edit(func(b []byte) { b[0] = 2 }),
		"cut":                       good[:len(good)-1],
		"no client identifier":      ids(nil, serverID),
		"another client":            ids(serverID, serverID),
		"no server identifier":      ids(ourID, nil),
		"a short server identifier": ids(ourID, []byte{0, 1}),
		"a long server identifier":  ids(ourID, make([]byte, 131)),
		"a failure":                 append(bytes.Clone(good), wire.DHCP6Options(nil).Append(wire.Opt6Status, 0, 1, 'n', 'o')...),
		"half a status":             append(bytes.Clone(good), wire.DHCP6Options(nil).Append(wire.Opt6Status, 0)...),
	} {
		if l.c.Receive(m); len(l.got) != 0 {
			t.Fatalf("%s was taken", name)
		}
	}
	if l.c.Stats.Dropped != 12 || l.c.Stats.PacketsRx != 0 {
		t.Errorf("%+v", l.c.Stats)
	}
	// Success is a status, too; and of what a server says not everything is used.
	odd := wire.DHCP6Options(nil).Append(wire.Opt6Status, 0, 0)
	var list []byte
	for _, a := range []string{"::1", "::", "ff02::1", "2001:db8::1", "2001:db8::2", "2001:db8::3"} {
		list = append(list, netip.MustParseAddr(a).AsSlice()...)
	}
	odd = odd.Append(wire.Opt6DNS, list...).Append(wire.Opt6Domains, []byte("\x03l n\x00")...)
	l.c.Receive(l.reply(odd))
	if len(l.got) != 1 || len(l.got[0].Servers) != 0 || l.got[0].Domains != nil {
		t.Errorf("%+v", l.got) // the first three are all that is looked at
	}
}

// FuzzReceive gives the client arbitrary messages.
func FuzzReceive(f *testing.F) {
	l := newLab(f, 1)
	l.c.Start()
	f.Add(uint64(1), []byte(settings(nil).Append(wire.Opt6RefreshTime, seconds(1800)...)), true)
	f.Add(uint64(1), l.reply(settings(nil)), false)
	f.Fuzz(func(t *testing.T, seed uint64, b []byte, answer bool) {
		l := newLab(t, seed)
		l.c.Start()
		for range 3 {
			m := b
			if answer {
				m = l.reply(b)
			}
			l.c.Receive(m)
			l.pass(2000 * second)
		}
		if len(l.sent) > 60 || len(l.got) > 3 {
			t.Errorf("%d requests, %d replies taken", len(l.sent), len(l.got))
		}
		for _, s := range l.got {
			if len(s.Servers) > MaxServers || len(s.Domains) > MaxDomains {
				t.Errorf("%+v", s)
			}
		}
		if l.c.Stop(); l.wheel.Len() != 0 {
			t.Errorf("%d timers left", l.wheel.Len())
		}
	})
}
