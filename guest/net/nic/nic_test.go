package nic

import (
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// card is a NIC whose ring has a limited number of slots.
type card struct {
	NIC
	now            int64
	wheel          timer.Wheel
	pool           packet.Pool
	room           int
	sent           []int // first byte of each
	flushed, drain int
}

func newCard() *card {
	c := &card{now: 1e9, room: 1 << 20}
	c.NIC.Now, c.NIC.Wheel = func() int64 { return c.now }, &c.wheel
	c.NIC.Transmit = func(p *packet.Packet) bool {
		if c.room == 0 {
			return false
		}
		c.room--
		c.sent = append(c.sent, int(p.Bytes()[0]))
		p.Release()
		return true
	}
	c.NIC.Flush = func() { c.flushed++ }
	c.NIC.Drained = func() { c.drain++ }
	return c
}

func (c *card) output(n int) {
	p := c.pool.Linear(1)
	p.Bytes()[0] = byte(n)
	c.NIC.Output(p)
}

func TestQueue(t *testing.T) {
	c := newCard()
	c.room = 2
	for i := range 5 {
		c.output(i)
	}
	if len(c.sent) != 2 || c.Stats.SendqNow != 3 || !c.Busy() {
		t.Fatalf("sent %v, %+v", c.sent, c.Stats)
	}
	c.Sync()
	c.Sync()
	if c.flushed != 1 {
		t.Errorf("flushed %d times", c.flushed)
	}
	c.room = 1
	c.Room()
	if len(c.sent) != 3 || c.drain != 0 || !c.Busy() {
		t.Errorf("sent %v, drained %d", c.sent, c.drain)
	}
	c.room = 10
	c.Retry()
	if c.drain != 1 || c.Busy() || c.Stats.SendqNow != 0 || c.Stats.SendqMax != 3 || c.Stats.PacketsTx != 5 {
		t.Errorf("sent %v, drained %d, %+v", c.sent, c.drain, c.Stats)
	}
	for i, n := range c.sent {
		if i != n {
			t.Errorf("order %v", c.sent)
		}
	}
}

func TestRetryTimer(t *testing.T) {
	c := newCard()
	c.room = 0
	c.output(1)
	for range 3 {
		c.now += 2 * RetryTime
		c.wheel.Advance(c.now)
	}
	if len(c.sent) != 0 {
		t.Error("sent without room")
	}
	c.room = 1
	c.now += 2 * RetryTime
	c.wheel.Advance(c.now)
	if len(c.sent) != 1 || c.wheel.Len() != 0 {
		t.Errorf("sent %v, %d timers", c.sent, c.wheel.Len())
	}
}

func TestLimit(t *testing.T) {
	c := newCard()
	c.room = 0
	for range QueueMax + 10 {
		c.output(0)
	}
	if c.Stats.SendqNow != QueueMax || c.Stats.SendqDropped != 10 {
		t.Errorf("%+v", c.Stats)
	}
}

func TestChecksum(t *testing.T) {
	for _, offload := range []bool{false, true} {
		c := newCard()
		c.Features.TxChecksum = offload
		p := c.pool.Linear(wire.UDPSize)
		wire.UDP(p.Bytes()).Encode(1, 2, wire.UDPSize, 0x1234)
		p.SetPartialChecksum(wire.UDPChecksumOffset)
		want := wire.Checksum(p.Bytes())
		var got uint16
		var partial bool
		c.NIC.Transmit = func(p *packet.Packet) bool {
			got, partial = wire.UDP(p.Bytes()).Checksum(), p.ChecksumOK()
			p.Release()
			return true
		}
		c.NIC.Output(p)
		if partial != offload || !offload && got != want || offload && got != 0x1234 {
			t.Errorf("offload %v: partial %v, checksum %#x", offload, partial, got)
		}
	}
}
