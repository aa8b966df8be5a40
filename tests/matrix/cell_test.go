package matrix

import (
	"fmt"
	"time"

	"ukvm.dev/guest/net/nettest"
)

// cell is what a network does.
type cell struct {
	name   string
	faults nettest.Faults // both ways; half the round trip is its Delay
	mtu    int            // of both ends
	v6     bool           // over IPv6, else over IPv4
	hole   int            // longest IP packet that passes, the longer ones vanish; 0: all pass
	outage bool           // once in a transfer everything is lost for a while
	sample bool           // in the sample, too
	cost   int            // of load, where load is what one machine bears at once
	rigs   int            // how many have been set up
}

// load is how much of cells' cost runs at a time. A cell with a cost of 1 mostly waits.
const load = 8

// exact reports whether the network loses nothing of itself. A gigabyte passes then, where there is ten seconds' worth otherwise.
func (c *cell) exact() bool {
	f := &c.faults
	return f.Loss == 0 && f.Corrupt == 0 && f.Rate == 0 && c.hole == 0 && !c.outage
}

// flows is how many connections a measurement consists of. Where frames are lost at random, and nothing is shared that could be
// short, several at a time are as many samples. They vary most where ten seconds are few round trips: with 200 ms, a connection
// that loses its first frame in the third of them gets a fifth of what one gets that loses it in the sixth.
func (c *cell) flows() int {
	switch f := &c.faults; {
	case !c.together() || f.Loss == 0 || f.Rate > 0:
		return 1
	case f.Delay >= 100*ms:
		return 16
	case f.Delay > 0:
		return 4
	}
	return 2
}

// together reports whether the network is the limit, so that all contenders can be measured at once: what else goes on in the
// machine then disturbs all of them alike. The others take turns.
func (c *cell) together() bool { return c.cost == 1 }

// plain reports whether the network is perfect, and usual.
func (c *cell) plain() bool {
	return c.faults == (nettest.Faults{}) && c.mtu == 1500 && !c.v6 && c.hole == 0 && !c.outage
}

// Times are nanoseconds.
const (
	ms      = int64(time.Millisecond)
	mbit    = 1_000_000 / 8 // a second
	percent = 0.01
)

// delay returns f with a round trip of ms milliseconds.
func delay(rtt int64, f nettest.Faults) nettest.Faults {
	f.Delay = rtt * ms / 2
	return f
}

// cells are all there are. Without a delay the processor is the limit: such a cell runs alone.
func cells() (all []cell) {
	add := func(c cell) {
		if c.mtu == 0 {
			c.mtu = 1500
		}
		all = append(all, c)
	}
	for _, mtu := range []int{1500, 576, 1280, 4000, 9000} {
		add(cell{name: fmt.Sprintf("clean, MTU %d", mtu), mtu: mtu, sample: mtu == 1500, cost: load})
	}
	add(cell{name: "clean, IPv6", v6: true, cost: load})
	for _, loss := range []float64{0.1, 1, 5} {
		cost := load
		if loss == 5 {
			cost = 1 // timers are the limit, not the processor
		}
		add(cell{name: fmt.Sprintf("loss %g %%", loss), faults: nettest.Faults{Loss: loss * percent}, cost: cost})
	}
	add(cell{name: "1 % late by 1 ms", faults: nettest.Faults{Reorder: percent, Late: ms}, cost: load})
	add(cell{name: "1 % twice", faults: nettest.Faults{Duplicate: percent}, cost: load})
	add(cell{name: "0.1 % corrupt", faults: nettest.Faults{Corrupt: 0.1 * percent}, sample: true, cost: load})
	add(cell{name: "20 ms", faults: delay(20, nettest.Faults{}), cost: load})
	add(cell{name: "20 ms, 1 % late by 5 ms", faults: delay(20, nettest.Faults{Reorder: percent, Late: 5 * ms}), cost: load})
	add(cell{name: "20 ms, MTU 9000", faults: delay(20, nettest.Faults{}), mtu: 9000, cost: load})
	add(cell{name: "100 ms, 10 % twice", faults: delay(100, nettest.Faults{Duplicate: 10 * percent}), cost: load / 2})
	add(cell{name: "100 ms, 25 % late by 20 ms", faults: delay(100, nettest.Faults{Reorder: 25 * percent, Late: 20 * ms}), cost: load / 2})
	add(cell{name: "200 ms", faults: delay(200, nettest.Faults{}), cost: load / 3})
	for _, rtt := range []int64{20, 200} {
		for _, loss := range []float64{0.1, 1, 5} {
			add(cell{
				name: fmt.Sprintf("%d ms, loss %g %%", rtt, loss), faults: delay(rtt, nettest.Faults{Loss: loss * percent}),
				sample: rtt == 20 && loss == 1, cost: 1,
			})
		}
	}
	add(cell{name: "20 ms, 1 % corrupt", faults: delay(20, nettest.Faults{Corrupt: percent}), cost: 1})
	add(cell{name: "20 ms, 5 ms of jitter, loss 0.1 %", faults: delay(20, nettest.Faults{Jitter: 5 * ms, Loss: 0.1 * percent}), cost: 1})
	add(cell{name: "20 ms, loss 1 %, MTU 576", faults: delay(20, nettest.Faults{Loss: percent}), mtu: 576, cost: 1})
	add(cell{name: "20 ms, loss 1 %, MTU 9000", faults: delay(20, nettest.Faults{Loss: percent}), mtu: 9000, cost: 1})
	add(cell{name: "20 ms, loss 1 %, IPv6", faults: delay(20, nettest.Faults{Loss: percent}), v6: true, sample: true, cost: 1})
	add(cell{name: "40 ms, 100 Mbit/s, 20 ms of queue", faults: delay(40, nettest.Faults{Rate: 100 * mbit, Queue: 20 * ms}), cost: 1})
	add(cell{name: "40 ms, 10 Mbit/s, 100 ms of queue", faults: delay(40, nettest.Faults{Rate: 10 * mbit, Queue: 100 * ms}), cost: 1})
	add(cell{name: "20 ms, hole above 1280", faults: delay(20, nettest.Faults{Rate: 100 * mbit}), hole: 1280, sample: true, cost: 1})
	add(cell{name: "20 ms, loss 1 %, hole above 1400", faults: delay(20, nettest.Faults{Loss: percent}), hole: 1400, cost: 1})
	add(cell{name: "20 ms, 100 Mbit/s, outage of 2 s", faults: delay(20, nettest.Faults{Rate: 100 * mbit, Queue: 50 * ms}), outage: true, cost: 1})
	add(cell{
		name: "50 ms, all of it", cost: 1, sample: true,
		faults: delay(50, nettest.Faults{
			Loss: percent, Duplicate: percent, Corrupt: 0.5 * percent, Reorder: percent, Late: 10 * ms, Jitter: 2 * ms, Rate: 100 * mbit,
		}),
	})
	return all
}
