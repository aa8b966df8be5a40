package event

import "ukvm.dev/guest/net/packet"

// readBudget is how many packets of one connection are read before others have their turn.
const readBudget = 64

// run calls back for all that is new.
func (c *Conn) run() {
	c.queued = false
	if c.done {
		return
	}
	if c.onOpen != nil && !c.opening() {
		return
	}
	more := c.read()
	if !c.over && !c.ended && c.stream.Ended() {
		c.ended = true
		c.endOfStream()
	}
	if c.onWrite != nil && !c.over {
		if now := c.written - uint64(c.stream.Unacked()); now != c.acked {
			n := int(now - c.acked)
			c.acked = now
			f := c.onWrite
			c.loop.host.Mutex.Unlock()
			f(n)
			c.loop.host.Mutex.Lock()
		}
	}
	if c.full && !c.over && !c.shut && c.stream.Writable() && c.onDrain != nil {
		c.full = false
		c.loop.call(c.onDrain)
	}
	if more {
		c.event(0)
		return
	}
	c.settle()
}

// opening calls back when the handshake is over, and reports whether the connection is open.
func (c *Conn) opening() bool {
	over, err := c.stream.Over()
	if !c.over && !over && c.stream.Opening() {
		return false
	}
	f := c.onOpen
	c.onOpen = nil
	if !c.over && !over {
		c.loop.host.Mutex.Unlock()
		f(c, nil)
		c.loop.host.Mutex.Lock()
		return true
	}
	if c.over {
		err = c.err
	} else if err == nil {
		err = ErrClosed
	}
	c.release()
	c.loop.host.Mutex.Unlock()
	f(nil, err)
	c.loop.host.Mutex.Lock()
	return false
}

// read calls back with what has arrived, and reports whether there is more than the budget allows.
func (c *Conn) read() (more bool) {
	for range readBudget {
		if c.over || c.paused || c.onRead == nil {
			return false
		}
		p := c.stream.Take()
		if p == nil {
			return false
		}
		c.deliver(p)
	}
	return true
}

// deliver calls back with the bytes of p, piece by piece, until they are used up or the program wants no more.
func (c *Conn) deliver(p *packet.Packet) {
	used := 0
	for p.Len() > 0 && !c.over && !c.paused && c.onRead != nil {
		b := p.Bytes()
		if len(b) == 0 {
			p.Trim(0) // on to the next piece
			continue
		}
		if c.readMax > 0 && len(b) > c.readMax {
			b = b[:c.readMax]
		}
		f := c.onRead
		c.loop.host.Mutex.Unlock()
		f(b)
		c.loop.host.Mutex.Lock()
		used += len(b)
		p.Trim(len(b))
	}
	if p.Len() > 0 && !c.over {
		c.stream.Return(p)
	} else {
		p.Release()
	}
	if !c.over {
		c.stream.Consumed(used)
	}
}

// endOfStream tells of the peer's end, or answers it in kind.
func (c *Conn) endOfStream() {
	if c.onEnd != nil {
		c.loop.call(c.onEnd)
		return
	}
	if !c.shut {
		c.shut = true
		_ = c.stream.CloseWrite() // an error means that it is over, which settle sees
	}
}

// settle ends the connection if it is over and nothing is left that the program could read.
func (c *Conn) settle() {
	if !c.over {
		over, err := c.stream.Over()
		if !over {
			return
		}
		if c.err == nil {
			c.err = err
		}
		if c.err == nil && c.stream.Unread() > 0 {
			return // until OnRead or Resume
		}
		c.over = true
		c.stream.Close()
	}
	f, err := c.onClose, c.err
	c.release()
	if f != nil {
		c.loop.host.Mutex.Unlock()
		f(err)
		c.loop.host.Mutex.Lock()
	}
}

// release lets go of everything.
func (c *Conn) release() {
	if !c.over {
		c.over = true
		c.stream.Close()
	}
	c.done = true
	c.onOpen, c.onRead, c.onEnd, c.onWrite, c.onDrain, c.onClose = nil, nil, nil, nil, nil, nil
	c.loop.host.Release()
	c.loop.closed()
}
