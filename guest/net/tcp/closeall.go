package tcp

// CloseAll closes all listeners and connections, as the end of their holders does, and returns the connections that still
// owe their peers something: data, or the acknowledgement of their FIN. They go on by themselves.
func (b *Box) CloseAll() (owing []*Conn) {
	for _, l := range b.listeners {
		for l != nil {
			next := l.next
			l.Close()
			l = next
		}
	}
	for _, c := range b.conns {
		if !c.orphan {
			c.Close()
		}
		if c.Owes() {
			owing = append(owing, c)
		}
	}
	return owing
}

// Owes reports whether the peer has not acknowledged all that was written, and the FIN behind it.
func (c *Conn) Owes() bool {
	switch c.state {
	case FinWait1, Closing, LastAck:
		return true
	}
	return false
}

// Unsent is how many bytes that were written the peer has not acknowledged.
func (c *Conn) Unsent() int { return c.snd.buf.len() }
