package tcp

import (
	"strconv"
	"testing"

	"ukvm.dev/guest/net/ready"
)

// TestRoomThatLasts has an ACK make room in the send buffer and, in the same batch, a loss that shrinks the buffer below
// what is in it. The writer must be told of room when there is some, not before, and not never.
func TestRoomThatLasts(t *testing.T) {
	p := newPeer(t)
	p.box.Limits.SendDefault = 4 << 10 // so that the congestion window decides
	for _, step := range []string{"connect", "> S 0:0(0)", "< S. 0:0(0) ack 1 win 60000 <mss 1000>", "> . 1:1(0) ack 1"} {
		p.step(step)
	}
	outs := 0
	p.conn.Upcall = func(raised ready.Events) {
		if raised&ready.Out == 0 {
			return
		}
		outs++
		if p.conn.Ready()&ready.Out == 0 {
			t.Error("told of room that is not there")
		}
	}
	const tooMuch = 100_000
	n, err := p.conn.Write(pattern(0, tooMuch), false)
	if err != nil || n == tooMuch {
		t.Fatalf("wrote %d, %v", n, err)
	}
	p.flush()
	p.sent = nil
	for _, step := range []string{
		"<& . 1:1(0) ack 7001 win 60000",
		"<& . 1:1(0) ack 7001 win 60000", "<& . 1:1(0) ack 7001 win 60000", "< . 1:1(0) ack 7001 win 60000",
	} {
		p.step(step)
	}
	if outs != 0 {
		t.Fatal("there is room already: the test shows nothing")
	}
	for p.conn.snd.buf.len() > 0 {
		p.sent = nil
		p.arrives([]string{"<", ".", "1:1(0)", "ack", strconv.Itoa(p.conn.snd.max.minus(p.iss)), "win", "60000"})
		p.flush()
	}
	if outs != 1 {
		t.Errorf("the writer was told of room %d times, want 1", outs)
	}
	p.sent = nil
	p.leaks()
}
