package net

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/filter"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

// rules is a configuration of one chain.
func rules(chain string, policy filter.Verdict, list ...filter.Rule) *filter.Config {
	return &filter.Config{Chains: []filter.Chain{{Name: chain, Policy: policy, Rules: list}}}
}

func portRule(proto uint8, port uint16, v filter.Verdict) filter.Rule {
	return filter.Rule{Proto: proto, DstPort: filter.Ports{Ranges: []filter.PortRange{{First: port, Last: port}}}, Verdict: v}
}

func answer(r filter.Rule, a filter.Answer) filter.Rule { r.Answer = a; return r }

// stat returns a counter of a stack.
func (h *host) stat(t testing.TB, name string) uint64 {
	t.Helper()
	value, found := uint64(0), false
	h.Stats(func(n string, v uint64) {
		if n == name {
			value, found = v, true
		}
	})
	if !found {
		t.Errorf("no counter %s", name)
	}
	return value
}

func (h *host) filter(t testing.TB, c *filter.Config) {
	t.Helper()
	if err := h.SetFilter(c); err != nil {
		t.Fatal(err)
	}
}

// result is how a connect ends: 0 if it succeeds, EINPROGRESS if nobody answers within a second.
func (w *world) result(h *host, to string) syscall.Errno {
	w.t.Helper()
	addr := netip.MustParseAddrPort(to)
	c := h.socket(w.t, sockStream, 0)
	if addr.Addr().Is6() {
		c = h.socket6(w.t, sockStream)
	}
	c.must(c.Connect(addr), syscall.EINPROGRESS)
	w.clock.RunUntil(seconds, func() bool { return c.level&(posix.EventOut|posix.EventErr) != 0 })
	e := syscall.EINPROGRESS
	if c.level&(posix.EventOut|posix.EventErr) != 0 {
		var v [4]byte
		c.Option(solSocket, soError, v[:])
		e = syscall.Errno(v[0])
	}
	c.must(c.Close())
	return e
}

// TestFilterInput: what is accepted answers, what is dropped does not, and what is rejected says so.
func TestFilterInput(t *testing.T) {
	w := quiet(t)
	for port := uint16(80); port <= 84; port++ {
		w.b.listen(t, port)
	}
	w.b.filter(t, rules("input", filter.Drop,
		portRule(wire.ProtoTCP, 80, filter.Accept),
		portRule(wire.ProtoTCP, 82, filter.Reject),
		answer(portRule(wire.ProtoTCP, 83, filter.Reject), filter.AnswerPort),
		answer(portRule(wire.ProtoTCP, 84, filter.Reject), filter.AnswerProhibited),
		portRule(wire.ProtoUDP, 53, filter.Reject),
	))
	for port, want := range map[string]syscall.Errno{
		"80": 0, "81": syscall.EINPROGRESS, "82": syscall.ECONNREFUSED, "83": syscall.ECONNREFUSED, "84": syscall.EHOSTUNREACH,
	} {
		if e := w.result(w.a, "10.0.0.2:"+port); e != want {
			t.Errorf("port %s: %v, want %v", port, e, want)
		}
	}
	u := w.a.socket(t, sockDgram, 0)
	u.must(u.Connect(ap("10.0.0.2:53")))
	u.must(u.send("question"))
	w.clock.Run(seconds / 10)
	if _, e := u.recv(10); e != syscall.ECONNREFUSED {
		t.Errorf("UDP: %v", e)
	}
	if n := w.b.boxes.Filter.Stats[filter.Input]; n.Rejected != 4 || n.Dropped == 0 || n.Accepted == 0 {
		t.Errorf("%+v", n)
	}
	if n := w.b.stat(t, "ip4.input_dropped"); n != w.b.boxes.Filter.Stats[filter.Input].Dropped+4 {
		t.Errorf("ip4.input_dropped: %d", n)
	}
	var lines []string
	w.b.FilterRules(func(chain string, r *filter.Rule, packets, bytes uint64) {
		if r == nil || r.Verdict != filter.Accept && packets > 0 {
			lines = append(lines, fmt.Sprint(chain, r == nil, packets > 0, bytes/max(packets, 1) >= 28))
		}
	})
	if got, want := strings.Join(lines, "; "), strings.Repeat("inputfalse true true; ", 4)+"inputtrue true true"; got != want {
		t.Errorf("rules: %s", got)
	}
	w.b.filter(t, nil)
	if e := w.result(w.a, "10.0.0.2:81"); e != 0 {
		t.Errorf("without rules: %v", e)
	}
}

// TestFilterOutput: a program hears at once that its own host does not let its packets out.
func TestFilterOutput(t *testing.T) {
	w := quiet(t)
	w.b.listen(t, 80)
	w.a.filter(t, rules("output", filter.Accept,
		portRule(wire.ProtoTCP, 81, filter.Reject),
		answer(portRule(wire.ProtoTCP, 82, filter.Reject), filter.AnswerHost),
		portRule(wire.ProtoTCP, 83, filter.Drop),
		portRule(wire.ProtoUDP, 53, filter.Reject),
	))
	for port, want := range map[string]syscall.Errno{
		"80": 0, "81": syscall.ECONNREFUSED, "82": syscall.EHOSTUNREACH, "83": syscall.EINPROGRESS,
	} {
		if e := w.result(w.a, "10.0.0.2:"+port); e != want {
			t.Errorf("port %s: %v, want %v", port, e, want)
		}
	}
	u := w.a.socket(t, sockDgram, 0)
	u.must(u.Connect(ap("10.0.0.2:53")))
	u.must(u.send("question"))
	if _, e := u.recv(10); e != syscall.ECONNREFUSED {
		t.Errorf("UDP: %v", e)
	}
	if n := w.b.boxes.IP4.Stats.PacketsRx; n > 10 { // the connection to port 80
		t.Errorf("%d packets got out", n)
	}
}

// TestFilterRouting has rules before and after routing, fragments among what they see.
func TestFilterRouting(t *testing.T) {
	w := quiet(t)
	l := w.b.listen(t, 80)
	w.b.filter(t, rules("prerouting", filter.Accept, filter.Rule{In: []string{"eth0"}, Proto: wire.ProtoUDP, Verdict: filter.Drop}, portRule(wire.ProtoTCP, 81, filter.Reject)))
	w.a.filter(t, rules("postrouting", filter.Accept, answer(portRule(wire.ProtoTCP, 82, filter.Reject), filter.AnswerPort)))
	for port, want := range map[string]syscall.Errno{"80": 0, "81": syscall.ECONNREFUSED, "82": syscall.ECONNREFUSED} {
		if e := w.result(w.a, "10.0.0.2:"+port); e != want {
			t.Errorf("port %s: %v, want %v", port, e, want)
		}
	}
	in, out := w.b.socket(t, sockDgram, 0), w.a.socket(t, sockDgram, 0)
	in.must(in.Bind(ap("0.0.0.0:53")))
	_, e := out.Send(make([]byte, 4000), ap("10.0.0.2:53"), 0)
	out.must(e)
	w.clock.Run(seconds / 10)
	if n := w.b.stat(t, "ip4.prerouting_dropped"); n != 4 || in.level&posix.EventIn != 0 { // three fragments, and the SYN
		t.Errorf("%d packets dropped", n)
	}
	l.must(l.Close())
}

// TestFilterReplaced: other rules take over in the midst of a transfer, which goes on.
func TestFilterReplaced(t *testing.T) {
	w := newWorld(t, 1, fast, nic.Features{})
	a, b := w.pair(80)
	dropped := uint64(0)
	for i := range 40 {
		w.clock.At(w.clock.Now()+int64(i)*10_000_000, func() {
			c := rules("input", filter.Accept)
			if i%4 == 1 { // deaf for 10 ms
				c = rules("input", filter.Drop)
			}
			dropped += w.b.boxes.Filter.Stats[filter.Input].Dropped
			w.b.boxes.Filter.Stats[filter.Input].Dropped = 0
			if i%4 == 3 {
				c = nil
			}
			w.b.filter(t, c)
		})
	}
	w.transfer(a, b, 4<<20)
	if dropped == 0 {
		t.Error("nothing was dropped")
	}
	w.finish(a, b)
}

// TestFilterLog: lines come when the stack's lock is free.
func TestFilterLog(t *testing.T) {
	w := &world{t: t, clock: nettest.NewClock()}
	w.a, w.b = w.newHost(1, 1), w.newHost(1, 2)
	w.link = nettest.NewLink(w.clock, 1, nettest.Faults{}, w.a.Pool(), w.b.Pool())
	var lines []string
	w.b.config.Log = func(s string) {
		w.b.Interfaces() // takes the lock
		lines = append(lines, s)
	}
	w.a.attach(t, w.link.A, nic.Features{})
	w.b.attach(t, w.link.B, nic.Features{})
	w.b.filter(t, rules("input", filter.Accept, filter.Rule{Proto: wire.ProtoTCP, Set: wire.SYN, Log: true, Prefix: "knock", Verdict: filter.Drop}))
	w.result(w.a, "10.0.0.2:7")
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "input: knock 10.0.0.1:") || !strings.HasSuffix(lines[0], " > 10.0.0.2:7 tcp S, 60 bytes: drop") {
		t.Errorf("%q", lines)
	}
}

// TestFilterWrong: rules that are not right change nothing.
func TestFilterWrong(t *testing.T) {
	w := quiet(t)
	w.b.filter(t, rules("input", filter.Drop))
	if err := w.b.SetFilter(rules("input", filter.Reject)); err == nil {
		t.Error("no error")
	}
	if e := w.result(w.a, "10.0.0.2:7"); e != syscall.EINPROGRESS {
		t.Errorf("%v", e)
	}
}

// stateful is what a careful host has: what belongs to connections it has let begin, and new ones to some ports.
func stateful(ports ...uint16) *filter.Config {
	c := rules("input", filter.Drop,
		filter.Rule{State: conntrack.Established | conntrack.Related, Verdict: filter.Accept},
		filter.Rule{State: conntrack.Invalid, Count: "invalid", Verdict: filter.Drop},
	)
	for _, p := range ports {
		c.Chains[0].Rules = append(c.Chains[0].Rules, portRule(wire.ProtoTCP, p, filter.Accept))
	}
	return c
}

// TestStateful: a host that accepts nothing can reach others, hears what became of its packets, and can be reached where
// it wants to be only.
func TestStateful(t *testing.T) {
	w := quiet(t)
	w.a.filter(t, stateful(80))
	w.b.filter(t, stateful(7, 9))
	w.a.listen(t, 80)
	w.a.listen(t, 81)
	w.b.listen(t, 7)
	for to, want := range map[string]syscall.Errno{"10.0.0.2:7": 0, "10.0.0.2:8": syscall.EINPROGRESS, "10.0.0.2:9": syscall.ECONNREFUSED} {
		if e := w.result(w.a, to); e != want {
			t.Errorf("%s: %v, want %v", to, e, want)
		}
	}
	for to, want := range map[string]syscall.Errno{"10.0.0.1:80": 0, "10.0.0.1:81": syscall.EINPROGRESS} {
		if e := w.result(w.b, to); e != want {
			t.Errorf("%s: %v, want %v", to, e, want)
		}
	}
	w.b.filter(t, nil)
	u := w.a.socket(t, sockDgram, 0)
	u.must(u.Connect(ap("10.0.0.2:53")))
	u.must(u.send("question"))
	w.clock.Run(seconds / 10)
	if _, e := u.recv(10); e != syscall.ECONNREFUSED { // an ICMP error, related
		t.Errorf("UDP: %v", e)
	}
	if n := w.a.boxes.Conntrack.Stats; n.Related != 1 || n.New == 0 {
		t.Errorf("%+v", n)
	}
	w.a.filter(t, nil)
	if n := w.a.boxes.Conntrack.Len(); n != 0 {
		t.Errorf("%d connections known without rules", n)
	}
}

// TestStatefulTransfer moves data both ways over bad links between two hosts that follow their connections: no segment
// of an honest sender is taken for another's.
func TestStatefulTransfer(t *testing.T) {
	for i, f := range []nettest.Faults{
		{},
		{Loss: 0.02},
		{Reorder: 0.2, Late: 1_000_000}, // longer than a window lasts, and it would be taken for an old duplicate, rightly
		{Duplicate: 0.5},
		{Loss: 0.01, Reorder: 0.02, Late: 1_000_000, Duplicate: 0.02, Corrupt: 0.005, Jitter: 1_000_000},
	} {
		f.Delay = 2_000_000
		for j, features := range []nic.Features{{}, offload} {
			w := newWorld(t, uint64(10*i+j), f, features)
			w.a.filter(t, stateful())
			w.b.filter(t, stateful(80))
			w.a.boxes.Conntrack.PickUp, w.b.boxes.Conntrack.PickUp = 0, 0
			a, b := w.pair(80)
			w.transfer(a, b, 1<<20)
			for _, h := range []*host{w.a, w.b} {
				n := h.stat(t, "conntrack.invalid")
				if n != 0 && f.Corrupt == 0 {
					t.Errorf("%+v, %+v: %d invalid segments", f, features, n)
				}
			}
			w.finish(a, b)
		}
	}
}

// TestStatefulLater turns the filter on in the midst of a connection, which goes on.
func TestStatefulLater(t *testing.T) {
	for _, idle := range []bool{false, true} {
		w := quiet(t)
		a, b := w.pair(80)
		w.say(a, b, "before")
		w.b.filter(t, stateful(80))
		if idle {
			w.clock.Run(200 * seconds)
		}
		w.say(a, b, "after")
		w.say(b, a, "and back")
		w.finish(a, b)
	}
}

// say sends a text.
func (w *world) say(from, to *sock, text string) {
	w.t.Helper()
	from.must(from.send(text))
	w.clock.Run(seconds)
	if got, e := to.recv(100); got != text || e != 0 {
		w.t.Errorf("%q, %v instead of %q", got, e, text)
	}
}

// TestFilter6 has the same rules hold for IPv6, and neighbour discovery go on whatever they are.
func TestFilter6(t *testing.T) {
	w := quiet(t).with6()
	for port := uint16(80); port <= 84; port++ {
		l := w.b.socket6(t, sockStream)
		l.must(l.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), port)))
		l.must(l.Listen(10))
	}
	c := stateful(80)
	c.Chains[0].Rules = append(c.Chains[0].Rules,
		portRule(wire.ProtoTCP, 82, filter.Reject),
		answer(portRule(wire.ProtoTCP, 83, filter.Reject), filter.AnswerPort),
		answer(portRule(wire.ProtoTCP, 84, filter.Reject), filter.AnswerProhibited))
	w.b.filter(t, c)
	out := stateful()
	out.Chains = append(out.Chains,
		rules("output", filter.Accept, portRule(wire.ProtoTCP, 90, filter.Reject), answer(portRule(wire.ProtoTCP, 91, filter.Reject), filter.AnswerHost)).Chains[0],
		rules("postrouting", filter.Accept, answer(portRule(wire.ProtoTCP, 92, filter.Reject), filter.AnswerPort)).Chains[0],
		rules("prerouting", filter.Accept, portRule(wire.ProtoTCP, 93, filter.Reject)).Chains[0])
	w.a.filter(t, out)
	local := w.b.iface.link6.LinkLocal()
	for port, want := range map[string]syscall.Errno{
		"80": 0, "81": syscall.EINPROGRESS, "82": syscall.ECONNREFUSED, "83": syscall.ECONNREFUSED, "84": syscall.EHOSTUNREACH,
		"90": syscall.ECONNREFUSED, "91": syscall.EHOSTUNREACH, "92": syscall.ECONNREFUSED,
	} {
		for _, to := range []string{"[2001:db8::2]:", "[" + local.String() + "%2]:"} {
			if e := w.result(w.a, to+port); e != want {
				t.Errorf("%s%s: %v, want %v", to, port, e, want)
			}
		}
	}
	if e := w.result(w.b, "[2001:db8::1]:93"); e != syscall.ECONNREFUSED {
		t.Errorf("before routing: %v", e)
	}
	if n := w.b.stat(t, "ip6.input_dropped"); n == 0 {
		t.Error("nothing was dropped")
	}
}

// TestFilterFirst loads rules before there are network cards, as a guest does, and they name one.
func TestFilterFirst(t *testing.T) {
	w := &world{t: t, clock: nettest.NewClock()}
	w.a, w.b = w.newHost(1, 1), w.newHost(1, 2)
	w.link = nettest.NewLink(w.clock, 1, nettest.Faults{}, w.a.Pool(), w.b.Pool())
	r := portRule(wire.ProtoTCP, 80, filter.Drop)
	r.In = []string{"eth0"}
	o := portRule(wire.ProtoTCP, 81, filter.Drop)
	o.In = []string{"eth1"}
	c := stateful()
	c.Chains[0].Policy, c.Chains[0].Rules = filter.Accept, append(c.Chains[0].Rules, r, o)
	w.b.filter(t, c)
	w.a.attach(t, w.link.A, nic.Features{})
	w.b.attach(t, w.link.B, nic.Features{})
	w.b.listen(t, 80)
	w.b.listen(t, 81)
	for to, want := range map[string]syscall.Errno{"10.0.0.2:80": syscall.EINPROGRESS, "10.0.0.2:81": 0} {
		if e := w.result(w.a, to); e != want {
			t.Errorf("%s: %v, want %v", to, e, want)
		}
	}
	if w.b.boxes.Conntrack.PickUp != 0 {
		t.Error("connections are picked up although nothing has been missed")
	}
}

// TestFilterNoAllocations: neither rules nor tracking allocate for a packet.
func TestFilterNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	w := newWirePair(t, nic.Features{TxChecksum: true}, 1500)
	w.b.filter(t, benchRules(20, true))
	c, s := w.connect(t)
	b := make([]byte, 1000)
	exchange := func() {
		c.Send(b, netip.AddrPort{}, 0)
		w.shuttle()
		s.Recv(b, 0)
		s.Send(b, netip.AddrPort{}, 0)
		w.shuttle()
		if n, _, _, e := c.Recv(b, 0); n != len(b) || e != 0 {
			t.Fatal(n, e)
		}
	}
	for range 100 {
		exchange()
	}
	if n := testing.AllocsPerRun(500, exchange); n > 0.5 {
		t.Errorf("%.2f allocations for a request and its answer", n)
	}
}
