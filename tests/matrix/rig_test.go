package matrix

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// rig is two ends on a cable.
type rig struct {
	cell  *cell
	cable *cable
	ends  [2]end
	plugs [2]plug

	mu   sync.Mutex
	port uint16 // the last one that was listened at
}

// maker makes an end.
type maker func(testing.TB, plug) (end, error)

func makeOurs(_ testing.TB, p plug) (end, error)   { return newOurs(p) }
func makeGvisor(_ testing.TB, p plug) (end, error) { return newGvisor(p) }

// newRig sets up two ends. It goes with the test. Each rig of a cell loses other frames: where the first loss of a connection comes
// decides much of what it gets, so that one lucky beginning for all would be one sample.
func newRig(t *testing.T, c *cell, makers ...maker) *rig {
	t.Helper()
	seed := fnv.New64a()
	fmt.Fprint(seed, c.name, c.rigs)
	c.rigs++
	r := &rig{cell: c, cable: newCable(c.faults, c.hole, seed.Sum64()), port: 5000}
	t.Cleanup(func() {
		for _, e := range r.ends {
			if e != nil {
				e.close()
			}
		}
		r.cable.close()
		if s := r.cable.stats(); s.overflowed > 0 {
			t.Errorf("the cable had no room for %d frames", s.overflowed)
		}
	})
	for i := range r.plugs {
		r.plugs[i] = plug{r.cable, i, c.mtu, c.v6}
		r.plugs[i].receive(func([][]byte) {}) // until there is somebody
	}
	for i, mk := range makers {
		var err error
		if r.ends[i], err = mk(t, r.plugs[i]); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// pair returns a connection that the end of an index has opened: [its own, the other's].
func (r *rig) pair(from int) (pair [2]conn, err error) {
	to := netip.AddrPortFrom(r.plugs[1-from].addr(), r.nextPort())
	l, err := r.ends[1-from].listen(to.Port())
	if err != nil {
		return pair, fmt.Errorf("listen: %w", err)
	}
	accepted := make(chan error, 1)
	go func() {
		var err error
		pair[1], err = l.accept()
		accepted <- err
	}()
	pair[0], err = r.ends[from].dial(0, to)
	if err != nil {
		l.Close()
		<-accepted
		return pair, fmt.Errorf("dial: %w", err)
	}
	select {
	case err = <-accepted:
		l.Close()
	case <-time.After(time.Minute):
		l.Close()
		if err = <-accepted; err == nil {
			err = fmt.Errorf("accepted after a minute only")
		}
	}
	if err != nil {
		err = fmt.Errorf("accept: %w", err)
	}
	return pair, err
}

// nextPort is one that nobody has listened at yet.
func (r *rig) nextPort() uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.port++
	return r.port
}

// stuck reports whether the end of an index cannot send much: what is long vanishes, and it does not find out.
func (r *rig) stuck(from int) bool { return r.cell.hole > 0 && !r.ends[from].probes() }

// amount is how much the end of an index is to send.
func (r *rig) amount(from int, s scale) amount {
	if c := r.cell; c.exact() && (c.faults.Reorder == 0 || r.ends[from].bears()) {
		return s.exact
	}
	return s.lossy
}

// transfers is as many transfers at once as the cell has flows, and returns what each had.
func (r *rig) transfers(from int, a amount) ([]float64, error) {
	goodputs := make([]float64, r.cell.flows())
	errs := make([]error, len(goodputs))
	var all sync.WaitGroup
	for i := range goodputs {
		all.Go(func() { goodputs[i], errs[i] = r.transfer(from, a) })
	}
	all.Wait()
	return goodputs, errors.Join(errs...)
}

// transfer moves an amount from the end of an index to the other, over a connection of its own.
func (r *rig) transfer(from int, a amount) (float64, error) {
	pair, err := r.pair(from)
	if err != nil {
		return 0, err
	}
	if r.cell.outage {
		done := make(chan struct{})
		defer func() { <-done }()
		go func() {
			defer close(done)
			time.Sleep(outageAfter)
			r.cable.cut(true)
			time.Sleep(outageTime)
			r.cable.cut(false)
		}()
	}
	goodput, err := transfer(pair[0], pair[1], a)
	pair[1].Close()
	pair[0].Close()
	if err != nil {
		err = fmt.Errorf("%s to %s: %w", r.ends[from].name(), r.ends[1-from].name(), err)
	}
	return goodput, err
}

// When an outage is, from a transfer's beginning, and how long.
const (
	outageAfter = 3 * time.Second
	outageTime  = 2 * time.Second
)

// settle waits until no end has anything left of its connections.
func (r *rig) settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := errors.Join(r.ends[0].settled(), r.ends[1].settled())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Error(err)
			return
		}
	}
}
