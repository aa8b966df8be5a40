package tcp

import (
	"testing"

	"ukvm.dev/guest/net/timer"
)

// TestRest follows the timer of a connection through exchanges: each puts off an ACK by 40 ms and then sends it with its answer,
// while a retransmission is due in a second.
func TestRest(t *testing.T) {
	const ms = 1_000_000
	for _, c := range []struct {
		name      string
		apart     int64 // ns between exchanges
		exchanges int
		right     bool // that the timer is set for the retransmission in the end
	}{
		{"one", 0, 1, true},
		{"a second apart", 1000 * ms, 5, true},
		{"20 ms apart", 20 * ms, 50, true},
		{"1 ms apart: busy", ms, 50, false},
	} {
		now := int64(1000 * ms)
		conn := &Conn{box: &Box{Now: func() int64 { return now }}}
		conn.timer.Init(new(timer.Wheel), conn.expire)
		for range c.exchanges {
			now += c.apart
			conn.start(timerAck, now+40*ms)
			conn.rest() // with the request
			conn.stop(timerAck)
			conn.start(timerRetransmit, now+1000*ms)
			conn.rest() // with the answer
		}
		if got := conn.timer.When() == conn.deadline[timerRetransmit]; got != c.right {
			t.Errorf("%s: the timer is set for %d ms from now, want the retransmission's: %v", c.name, (conn.timer.When()-now)/ms, c.right)
		}
	}
}
