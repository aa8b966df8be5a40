package net

import (
	"math/rand/v2"
	"testing"

	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/filter"
	"ukvm.dev/guest/net/nic"
)

// followed are rules that ask for the state of every packet either way, count what belongs to no connection, and let
// pass what a host with servers lets pass.
func followed() *filter.Config {
	c := stateful()
	in := &c.Chains[0]
	in.Rules = append(in.Rules, filter.Rule{State: conntrack.New, Verdict: filter.Accept})
	c.Chains = append(c.Chains, rules("output", filter.Drop,
		filter.Rule{State: conntrack.New | conntrack.Established | conntrack.Related, Verdict: filter.Accept},
		filter.Rule{State: conntrack.Invalid, Count: "invalid-out"}).Chains[0])
	return c
}

// follow makes a host follow its connections; what is returned fails the test if packets were lost for it. Resets that
// answer what came for connections that had ended may be among them.
func (h *host) follow(t *testing.T) func(resets uint64) {
	h.filter(t, followed())
	h.Do(func(b *Boxes, _ []*Interface) { b.Conntrack.PickUp = 0 })
	return func(resets uint64) {
		t.Helper()
		in, out := h.stat(t, "filter.invalid.packets"), h.stat(t, "filter.invalid-out.packets")
		if n := h.stat(t, "conntrack.new"); n == 0 || in+out > resets {
			t.Errorf("%d connections, %d packets in and %d out were taken for invalid", n, in, out)
		}
	}
}

// TestGvisorFollowed moves data between us and gVisor's stack with connections followed.
func TestGvisorFollowed(t *testing.T) {
	for _, loss := range []float64{0, 0.005} {
		p := newPeers(t)
		check := p.us.follow(t)
		pairs := p.pairs()
		r := rand.New(rand.NewPCG(1, 1))
		p.us.mu.Lock() // Transmit, which calls drop, is called with it held
		p.drop = func([]byte) bool { return r.Float64() < loss }
		p.us.mu.Unlock()
		for _, pair := range pairs {
			exchange(t, pair[0], pair[1], 1<<20)
		}
		check(0)
	}
}

// TestLinuxFollowed does the same with Linux, with thousands of short connections, resets and datagrams.
func TestLinuxFollowed(t *testing.T) {
	for name, features := range map[string]nic.Features{"plain": {}, "offload": offload} {
		onLinux(t, name, features, func(t *testing.T, k *linux) {
			check := k.us.follow(t)
			for _, p := range k.pairs(t) {
				exchange(t, p[0], p[1], 8<<20)
			}
			k.shortConnections(t)
			k.datagrams(t)
			check(0)
			k.reset(t)
			check(10)
		})
	}
}
