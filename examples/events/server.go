package main

import (
	"time"

	"ukvm.dev/guest"
)

// Limits of a connection.
const (
	maxHead     = 8 << 10          // bytes of request line and headers
	maxBody     = 1 << 20          // bytes of a request's body, which is skipped
	maxOutput   = 64 << 10         // bytes of answers that wait; no further requests are looked at until they are sent
	idleTime    = 60 * time.Second // between requests, at least
	requestTime = 10 * time.Second // from a request's first byte until its answer is on its way
	lingerTime  = 2 * time.Second  // for a client to read the last answer, before the connection is reset
)

// server is all there is beside the connections. Only the loop uses it.
type server struct {
	conns   map[*conn]struct{}
	now     time.Time // of date
	date    []byte
	closing bool
}

// conn is a connection with a client. Only the loop uses it.
type conn struct {
	*guest.Conn
	server *server
	in     []byte // of a request that is not complete
	body   int    // bytes of a body still to be skipped
	out    []byte // answers that the send buffer has had no room for
	last   bool   // no further request is answered
	ended  bool   // the client has closed its side
	served bool   // a request was answered since the timer was set
	busy   bool   // a request is incomplete, or an answer waits
	began  time.Time
	timer  *guest.Timer
}

// accept is called for each new connection.
func (s *server) accept(g *guest.Conn) {
	c := &conn{Conn: g, server: s}
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	c.OnRead(0, c.read)
	c.OnDrain(c.drain)
	c.OnEnd(func() {
		c.ended = true
		c.finishIfDone()
	})
	c.OnClose(func(error) {
		c.timer.Stop()
		delete(s.conns, c)
	})
	c.timer = guest.After(idleTime, c.expire)
}

// shutdown ends connections when their clients have their answers.
func (s *server) shutdown() {
	s.closing = true
	for c := range s.conns {
		if len(c.in) == 0 && c.body == 0 {
			c.last = true
			c.finishIfDone()
		}
	}
}

// read is called with what has arrived, in the card's buffer.
func (c *conn) read(b []byte) {
	if c.last {
		return // what follows the last request is read so that the client gets the answer, not a reset
	}
	if len(c.in) > 0 {
		c.in = append(c.in, b...)
		b = c.in
	}
	if len(c.out) == 0 { // else b waits for OnDrain, as they do
		b = c.answerAll(b)
	}
	c.keep(b)
	c.pace()
	c.finishIfDone()
}

// answerAll answers the complete requests in b, until answers must wait, and returns what is left of b.
func (c *conn) answerAll(b []byte) (rest []byte) {
	for {
		rest, c.out = c.serve(b, c.out)
		c.out = c.send(c.out)
		if len(c.out) > 0 || len(rest) == 0 || len(rest) == len(b) {
			return rest
		}
		b = rest
	}
}

// serve answers complete requests in b, as far as answers have room, and returns what is left of it and the answers.
func (c *conn) serve(b, out []byte) (rest, answers []byte) {
	for len(b) > 0 && !c.last && len(out) < maxOutput {
		if c.body > 0 {
			n := min(c.body, len(b))
			c.body -= n
			b = b[n:]
			continue
		}
		var r request
		n, bad := r.parse(b)
		if bad == 0 && n == 0 {
			if len(b) < maxHead {
				return b, out // more is to come
			}
			bad = statusHeadTooLarge
		}
		if bad == 0 && n > maxHead {
			bad = statusHeadTooLarge
		}
		if bad == 0 && r.body > maxBody {
			bad = statusBodyTooLarge
		}
		if bad != 0 {
			c.last = true
			return nil, c.server.answer(out, bad, &request{}, true)
		}
		b, c.body = b[n:], r.body
		c.last = r.close || c.server.closing
		out = c.server.answer(out, r.status(), &r, c.last)
		c.served, c.busy = true, false
	}
	if c.last {
		b = nil
	}
	return b, out
}

// send writes what fits, and returns the rest.
func (c *conn) send(out []byte) []byte {
	if len(out) == 0 {
		return out
	}
	n, err := c.Write(out)
	if err == nil || err != guest.ErrFull {
		return buffer(out) // all of it, or the connection is gone
	}
	return out[:copy(out, out[n:])]
}

// buffer is an empty slice to use again, unless it has grown large.
func buffer(b []byte) []byte {
	if cap(b) > maxOutput {
		return nil
	}
	return b[:0]
}

// keep remembers the beginning of a request, which lies in memory that is not ours.
func (c *conn) keep(b []byte) {
	if len(b) == 0 {
		if cap(c.in) > 0 {
			c.in = buffer(c.in)
		}
		return
	}
	c.in = append(c.in[:0], b...) // b may be the end of c.in
}

// pace stops reading while answers wait, so that what is in memory is bounded, and sees that nothing takes for ever.
func (c *conn) pace() {
	if len(c.out) > 0 {
		c.Pause()
	}
	switch busy := len(c.out) > 0 || len(c.in) > 0 || c.body > 0; {
	case !busy:
		c.busy = false
	case !c.busy:
		c.busy, c.began = true, time.Now()
		c.timer.Reset(requestTime)
	}
}

// drain goes on when there is room for answers again.
func (c *conn) drain() {
	if c.out = c.send(c.out); len(c.out) > 0 {
		return
	}
	if len(c.in) > 0 && !c.last {
		if c.keep(c.answerAll(c.in)); len(c.out) > 0 {
			return
		}
	}
	c.Resume()
	c.pace()
	c.finishIfDone()
}

// finishIfDone closes our direction after the last answer, and soon all of it.
func (c *conn) finishIfDone() {
	if len(c.out) > 0 || !c.last && !c.ended {
		return
	}
	c.last = true
	if c.CloseWrite() == nil {
		c.timer.Reset(lingerTime)
	}
}

// expire is the timer. Requests that are answered at once do not set it, but leave word that they have been.
func (c *conn) expire() {
	left := requestTime - time.Since(c.began)
	switch {
	case c.last || c.busy && left <= 0:
		c.Abort()
	case c.busy:
		c.timer.Reset(left)
	case c.served:
		c.served = false
		c.timer.Reset(idleTime)
	default:
		c.Close()
	}
}
