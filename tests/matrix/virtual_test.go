package matrix

import (
	"math"
	"testing"
	"testing/synctest"

	"ukvm.dev/tests/internal/ukvmtest"
)

// TestVirtual runs the cells with two of our stacks in virtual time: seconds of waiting cost nothing, and no other program's
// load changes anything.
func TestVirtual(t *testing.T) {
	s := scaleOf()
	for _, c := range cells() {
		if !c.sample && !ukvmtest.Soak() {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.runVirtual(t, s) })
		})
	}
}

// runVirtual is all that happens in a cell.
func (c *cell) runVirtual(t *testing.T, s scale) {
	r := newRig(t, c, makeOurs, makeOurs)
	r.cable.decouple()
	for from := range r.ends {
		c.behave(t, s, r, from)
	}
	if err := r.simultaneous(); err != nil {
		t.Error(err)
	}
	goodput, err := r.transfer(0, r.amount(0, s))
	if err != nil {
		t.Fatal(err)
	}
	if !math.IsInf(goodput, 0) { // without a delay no time passes
		figure(t, c, "ours to ours, virtual time", goodput/1e6, "MB/s")
	}
	r.settle(t)
	c.check(t, r)
}
