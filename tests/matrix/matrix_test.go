package matrix

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

func TestMain(m *testing.M) {
	// Cells mostly wait. What they cost together gate bounds.
	flag.Parse()
	flag.Set("test.parallel", "100")
	os.Exit(ukvmtest.Main(m))
}

// gate lets cells run as long as their cost together is no more than load.
type gate struct {
	mu   sync.Mutex
	cond *sync.Cond
	used int
}

func newGate() *gate {
	g := &gate{}
	g.cond = sync.NewCond(&g.mu)
	return g
}

func (g *gate) enter(cost int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.used+cost > load {
		g.cond.Wait()
	}
	g.used += cost
}

func (g *gate) leave(cost int) {
	g.mu.Lock()
	g.used -= cost
	g.mu.Unlock()
	g.cond.Broadcast()
}

// scale is how much is done in each cell.
type scale struct {
	exact, lossy amount
	short        int // connections each way and peer; in a clean cell
	shortBad     int // in others
	exactRounds  int // how often goodput is measured where nothing is lost at random,
	lossyRounds  int // and where it is
	judge        bool
}

func scaleOf() scale {
	if ukvmtest.Soak() {
		return scale{
			exact: amount{size: 1 << 30}, lossy: amount{time: 10 * time.Second},
			short: 10_000, shortBad: 200, exactRounds: 3, lossyRounds: 5, judge: true,
		}
	}
	return scale{
		exact: amount{size: 32 << 20}, lossy: amount{time: time.Second},
		short: 300, shortBad: 20, exactRounds: 1, lossyRounds: 1,
	}
}

// atLeast is what part of Linux's goodput ours must be.
const atLeast = 0.8

// TestMatrix runs the cells.
func TestMatrix(t *testing.T) {
	g, s := newGate(), scaleOf()
	for _, c := range cells() {
		if !c.sample && !ukvmtest.Soak() {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cost := c.cost
			if !s.judge {
				cost = 1
			}
			g.enter(cost)
			defer g.leave(cost)
			c.run(t, s)
		})
	}
}

// run is all that happens in a cell.
func (c *cell) run(t *testing.T, s scale) {
	ours := newRig(t, c, makeOurs, newKernel)
	linux := newRig(t, c, newKernel, newKernel)
	gvisor := newRig(t, c, makeOurs, makeGvisor)
	var both sync.WaitGroup
	for _, r := range []*rig{ours, gvisor} {
		both.Go(func() {
			for from := range r.ends {
				c.behave(t, s, r, from)
			}
			if err := r.simultaneous(); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	rigs := []*rig{ours, gvisor, ours, gvisor}
	if c.together() { // on cables of their own
		rigs[2] = newRig(t, c, makeOurs, newKernel)
		if !gvisor.stuck(1) {
			rigs[3] = newRig(t, c, makeOurs, makeGvisor)
		}
	}
	c.measure(t, s, []*contender{{rig: linux}, {rig: ours}, {rig: rigs[2], from: 1}, {rig: gvisor}, {rig: rigs[3], from: 1}})
	for _, r := range rigs {
		r.settle(t)
	}
	c.check(t, rigs...)
}

// behave has the end of an index open, close and reset connections.
func (c *cell) behave(t *testing.T, s scale, r *rig, from int) {
	n := s.shortBad
	if c.plain() {
		n = s.short
	}
	begin := time.Now()
	if err := r.short(from, n); err != nil {
		t.Error(err)
	} else if took := time.Since(begin); c.plain() && took > 0 {
		what := fmt.Sprintf("connections, %s to %s", r.ends[from].name(), r.ends[1-from].name())
		figure(t, c, what, float64(n)/took.Seconds(), "1/s")
	}
	if err := r.halfClose(from); err != nil {
		t.Error(err)
	}
	if err := r.reset(from); err != nil {
		t.Error(err)
	}
}

// contender is who is measured.
type contender struct {
	rig  *rig
	from int
	runs []float64 // bytes a second
}

func (k *contender) name() string {
	return k.rig.ends[k.from].name() + " to " + k.rig.ends[1-k.from].name()
}

func (k *contender) median() float64 {
	s := slices.Sorted(slices.Values(k.runs))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// run moves the cell's amount and takes down what goodput that had.
func (k *contender) run(t *testing.T, s scale) error {
	sender := k.rig.ends[k.from]
	before := sender.counters()
	goodputs, err := k.rig.transfers(k.from, k.rig.amount(k.from, s))
	counted := sender.counters().since(before)
	if err != nil {
		return fmt.Errorf("%w; %s", err, counted)
	}
	t.Logf("%s: %.4g B/s; %s", k.name(), goodputs, counted)
	k.runs = append(k.runs, goodputs...)
	return nil
}

// measure runs the contenders as often as the scale says, whatever comes out. The first contender is what the next two are
// compared with; with the others there is nobody to compare.
func (c *cell) measure(t *testing.T, s scale, all []*contender) {
	rounds := s.lossyRounds
	if c.exact() {
		rounds = s.exactRounds
	}
	peer, send, receive := all[0], all[1], all[2]
	for round := range rounds {
		var running sync.WaitGroup
		errs := make([]error, len(all))
		for i, k := range all {
			if i >= 3 && (round > 0 || k.rig.stuck(k.from)) {
				continue // once is enough, or there is nothing to measure
			}
			running.Go(func() { errs[i] = k.run(t, s) })
			if !c.together() {
				running.Wait()
			}
		}
		running.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range all {
		if len(k.runs) == 0 {
			continue
		}
		figure(t, c, k.name(), k.median()/1e6, "MB/s")
	}
	for _, k := range []*contender{send, receive} {
		ratio := k.median() / peer.median()
		figure(t, c, "ratio of "+k.name(), ratio, fmt.Sprintf("(%d runs)", len(k.runs)))
		if s.judge && ratio < atLeast {
			t.Errorf("%s has %.2f of Linux's goodput", k.name(), ratio)
		}
	}
}

// check sees to it that the cable did what the cell is about.
func (c *cell) check(t *testing.T, rigs ...*rig) {
	for _, r := range rigs {
		s, f := r.cable.stats(), &c.faults
		for _, x := range []struct {
			what   string
			wanted bool
			n      int
		}{
			{"lost", f.Loss > 0, s.lost},
			{"damaged", f.Corrupt > 0, s.corrupted},
			{"doubled", f.Duplicate > 0, s.duplicated},
			{"delayed", f.Reorder > 0, s.late},
			{"swallowed", c.hole > 0 || c.outage, s.swallowed},
		} {
			if x.wanted && x.n == 0 {
				t.Errorf("of %d frames to %s none was %s", s.sent, r.ends[1].name(), x.what)
			}
		}
	}
}

func figure(t *testing.T, c *cell, name string, value float64, unit string) {
	t.Helper()
	ukvmtest.Figure(t, c.name+": "+name, value, unit)
}
