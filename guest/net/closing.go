package net

import (
	"slices"

	"ukvm.dev/guest/net/tcp"
	"ukvm.dev/guest/net/timer"
)

// How long a program's end waits for its peers, in nanoseconds. Linux's kernel goes on alone for minutes; a guest ends with
// its program.
const (
	closingStall = 5e9   // data that makes no way for so long is given up
	closingMost  = 60e9  // and all of it after this
	closingFIN   = 200e6 // where only FINs are not acknowledged: they have been sent, and most peers see them
	closingLook  = 20e6  // how often that is looked at
)

// closing is what is left to do when the program has ended.
type closing struct {
	done   chan struct{} // nil while the program runs
	ended  bool          // done is closed
	owing  []*tcp.Conn
	begin  int64
	unsent int   // bytes when last looked at
	moved  int64 // when that last became less
	timer  timer.Timer
}

// Close closes all sockets, as the end of a process does, and returns a channel that is closed as soon as peers have
// acknowledged what was written, which may be at once, or else when they have been waited for long enough. Nothing is to
// be done with the stack afterwards but to bring it frames.
func (s *Stack) Close() <-chan struct{} {
	s.enter()
	defer s.leave()
	c := &s.closing
	if c.done == nil {
		c.done = make(chan struct{})
		c.begin, c.moved = s.now, s.now
		c.owing = s.boxes.TCP.CloseAll()
		c.unsent = c.bytes()
		c.timer.Init(&s.wheel, s.look)
		c.timer.Set(s.now + closingLook)
	}
	return c.done
}

// settle is leave's part in closing: it notes connections that owe nothing any more.
func (s *Stack) settle() {
	c := &s.closing
	if c.done == nil || c.ended {
		return
	}
	c.owing = slices.DeleteFunc(c.owing, func(c *tcp.Conn) bool { return !c.Owes() })
	if len(c.owing) == 0 && s.queued() == 0 {
		s.giveUp()
	}
}

// look is the timer: it gives up what has been waited for long enough.
func (s *Stack) look() {
	c := &s.closing
	if c.ended {
		return
	}
	if n := c.bytes(); n < c.unsent {
		c.unsent, c.moved = n, s.now
	}
	wait := int64(closingStall)
	if c.unsent == 0 {
		wait = closingFIN
	}
	if s.now-c.moved >= wait || s.now-c.begin >= closingMost {
		s.giveUp()
		return
	}
	c.timer.Set(s.now + closingLook)
}

func (s *Stack) giveUp() {
	s.closing.ended = true
	close(s.closing.done)
}

// bytes is how much of what was written is not acknowledged.
func (c *closing) bytes() (n int) {
	for _, conn := range c.owing {
		n += conn.Unsent()
	}
	return n
}

// queued is how many packets wait for a card, or for a neighbour's address.
func (s *Stack) queued() (n int) {
	for _, i := range s.interfaces {
		n += int(i.NIC.Stats.SendqNow) + i.ARP.Waiting() + i.NDP.Waiting()
	}
	return n
}
