package tcp

import "testing"

// A peer in slow start doubles what it sends each round trip. The window announced when a flight has been read is used by the
// second flight after it, and a loss keeps the program from reading for one round trip more.
func TestWindowAheadOfSlowStart(t *testing.T) {
	const mss = 1000
	g := growth{}
	limit := 0
	for flight := 10 * mss; flight <= 10_000*mss; flight *= 2 {
		g.copied = flight
		limit = max(limit, g.want(mss))
		g.space = flight
		if g := flight * 4; flight > 10*mss && limit < g {
			t.Errorf("after a flight of %d the window is %d, and the second one from then on has %d", flight, limit, g)
		}
		if most := flight*6 + 48*mss; limit > most {
			t.Errorf("after a flight of %d the window is %d, more than %d", flight, limit, most)
		}
	}
	// What comes after a pause is not growth without bounds.
	g.space, g.copied = mss, 1000*mss
	if got, most := g.want(mss), 3*(2000+16)*mss; got > most {
		t.Errorf("after a flight a thousand times as long the window is %d, more than %d", got, most)
	}
	// A steady peer gets twice what it sends.
	g.space, g.copied = 1000*mss, 1000*mss+1
	if got, most := g.want(mss), 2100*mss; got > most {
		t.Errorf("with a steady peer the window is %d, more than %d", got, most)
	}
}
