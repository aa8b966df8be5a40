package tap

// UseRing has the link make its ring and change to it with the next Receive, as it does when frames are many.
func (l *Link) UseRing() {
	l.makeRing()
	l.ring.making.Wait()
}

// Live reports whether frames come by the ring.
func (l *Link) Live() bool { return l.ring.live.Load() && l.ring.drained }
