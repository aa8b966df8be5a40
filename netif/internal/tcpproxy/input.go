package tcpproxy

import (
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/netif"
)

// Segment is one of the guest's: copies of its headers, and where its payload lies in a frame.
type Segment struct {
	IP    []byte     // IPv4 or IPv6 header, valid, not a fragment, without extension headers, from the guest
	TCP   header.TCP // whole header with options; what is behind it is not looked at
	Frame *netif.Frame
	Off   int // of the payload in Frame, in bytes
	Len   int // of the payload
}

func (s *Segment) key() connKey {
	k := connKey{port: s.TCP.DestinationPort(), guest: s.TCP.SourcePort(), version: uint16(s.IP[0] >> 4)}
	if k.six() {
		copy(k.guestAddr[:], s.IP[8:24])
		copy(k.addr[:], s.IP[24:40])
	} else {
		copy(k.guestAddr[:], s.IP[12:16])
		copy(k.addr[:], s.IP[16:20])
	}
	return k
}

// Peer is to whom the guest sends the segment.
func (s *Segment) Peer() netip.AddrPort {
	k := s.key()
	return k.peer()
}

// Opens reports whether the segment begins a connection.
func (s *Segment) Opens() bool {
	return s.TCP.Flags()&(header.TCPFlagSyn|header.TCPFlagAck|header.TCPFlagRst) == header.TCPFlagSyn
}

// Input takes a segment of a connection of this proxy and reports false if it is not of one. Its payload may be used
// until Flush, which must follow before the frame's memory changes hands.
func (p *Proxy) Input(s *Segment) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conns[s.key()]
	if c == nil || p.closed {
		return false
	}
	switch c.state {
	case dialing:
		if s.TCP.Flags()&header.TCPFlagRst != 0 {
			p.removeLocked(c)
		}
	case connecting:
		p.connectedLocked(c, s)
	case accepting, established:
		p.segmentLocked(c, s)
	}
	return true
}

// Open begins the connection that s asks for, which Input did not know; target is what to dial for it. If too many are
// in the making nothing happens, and the guest will ask again.
func (p *Proxy) Open(s *Segment, target netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.crowdedLocked() {
		return
	}
	c := &conn{key: s.key(), state: dialing, byGuest: true, fd: -1, slot: noSlot}
	c.rcv = s.TCP.SequenceNumber() + 1
	p.optionsLocked(c, s)
	switch p.config.Table.Begin() {
	case Busy:
		return
	case Full:
		c.state = resetting
		p.readyLocked(c)
	default:
		c.syn = append(append([]byte(nil), s.IP...), s.TCP...)
		p.config.Go(func() { p.dial(c, target) })
	}
	p.startLocked(c)
}

// crowdedLocked reports whether more connections than have places wait to tell the guest of their end.
func (p *Proxy) crowdedLocked() bool {
	return int64(len(p.conns)) >= p.config.Table.Max+p.config.Table.MaxPending
}

// dial makes the host's side of c.
func (p *Proxy) dial(c *conn, target netip.AddrPort) {
	host, err := p.config.Dial(p.ctx, target)
	p.mu.Lock()
	if c.state != dialing { // the guest or the proxy has given up
		p.mu.Unlock()
		if err == nil {
			resetConn(host)
		}
		return
	}
	src := c.key.local()
	seq := c.rcv - 1
	if err != nil {
		p.mu.Unlock()
		refused := p.config.Unreachable(src, c.key.peer(), seq, err)
		p.mu.Lock()
		defer p.config.Wake()
		defer p.mu.Unlock()
		if c.state != dialing {
			return
		}
		if !refused {
			p.removeLocked(c)
			return
		}
		p.settleLocked(c)
		c.state = resetting
		p.readyLocked(c)
		return
	}
	socket, ok := host.(*net.TCPConn)
	if !ok {
		syn := c.syn
		p.config.Table.Withdraw()
		c.state = gone
		delete(p.conns, c.key)
		p.mu.Unlock()
		p.config.Other(host, syn)
		return
	}
	c.syn = nil
	fd, err := takeSocket(socket)
	if err != nil || !p.attachLocked(c, fd) {
		p.settleLocked(c)
		c.state = resetting
	} else {
		c.state = accepting
		p.sequenceLocked(c)
	}
	p.readyLocked(c)
	p.mu.Unlock()
	p.config.Wake()
}

// renewLocked begins anew beyond ack: the guest answers for an older connection of the same name, mostly one in TIME-WAIT,
// which makes room for a SYN with a number that is new to it (RFC 9293 section 3.6.1). One in any other state ends with
// our reset (section 3.10.7.3).
func (p *Proxy) renewLocked(c *conn, ack uint32) {
	c.stale, c.staleAck = true, ack
	c.iss = ack + 1<<16
	c.una, c.nxt, c.max, c.recover = c.iss, c.iss, c.iss, c.iss
	p.readyLocked(c)
}

// connectedLocked takes the answer to our SYN.
func (p *Proxy) connectedLocked(c *conn, s *Segment) {
	flags := s.TCP.Flags()
	if flags&header.TCPFlagAck == 0 || c.max != c.iss+1 {
		return
	}
	if ack := s.TCP.AckNumber(); ack != c.iss+1 {
		if flags&(header.TCPFlagRst|header.TCPFlagSyn) == 0 {
			p.renewLocked(c, ack)
		}
		return
	}
	if flags&header.TCPFlagRst != 0 {
		p.resetHostLocked(c)
		p.removeLocked(c)
		return
	}
	if flags&header.TCPFlagSyn == 0 {
		return
	}
	c.rcv = s.TCP.SequenceNumber() + 1
	p.optionsLocked(c, s)
	c.una = c.iss + 1
	c.nxt = c.una
	p.establishLocked(c)
	c.window = int(s.TCP.WindowSize()) // never scaled in a SYN
	c.widest = c.window
	c.ackNow = true
	p.readyLocked(c)
}

// optionsLocked takes what the guest's SYN says.
func (p *Proxy) optionsLocked(c *conn, s *Segment) {
	options := header.ParseSynOptions(s.TCP.Options(), false)
	c.segment = min(int(options.MSS), p.longestSegment(&c.key))
	if options.MSS == 0 {
		c.segment = defaultSegment
	}
	c.segment = max(c.segment, 1)
	c.scale, c.advScale = 0, 0
	if options.WS >= 0 {
		c.scale, c.advScale = uint8(min(options.WS, maxScale)), windowScale
	}
	c.adv = c.rcv
}

func (p *Proxy) establishLocked(c *conn) {
	c.state = established
	c.dieAt, c.retryAt, c.retries = 0, 0, 0
	p.config.Table.Established(c.byGuest)
}

// segmentLocked is RFC 9293 section 3.10.7.4, in its order: sequence number, RST, SYN, ACK, payload, FIN.
func (p *Proxy) segmentLocked(c *conn, s *Segment) {
	flags, seq := s.TCP.Flags(), s.TCP.SequenceNumber()
	if flags&header.TCPFlagRst != 0 {
		switch {
		case seq == c.rcv: // exactly, or anybody could guess (RFC 5961 section 3)
			p.resetHostLocked(c)
			p.removeLocked(c)
		case seq-c.rcv < c.adv-c.rcv:
			p.ackLocked(c)
		}
		return
	}
	if flags&header.TCPFlagSyn != 0 {
		if c.state == accepting && seq+1 == c.rcv {
			p.repeatLocked(c)
		} else {
			p.ackLocked(c)
		}
		return
	}
	if flags&header.TCPFlagAck == 0 || !p.acknowledgedLocked(c, s) {
		return
	}
	p.payloadLocked(c, s)
	p.finishLocked(c)
}

// ackLocked makes c send an acknowledgement.
func (p *Proxy) ackLocked(c *conn) {
	c.ackNow = true
	p.readyLocked(c)
}

// acknowledgedLocked takes the acknowledgement and window of s; it reports false if s is not to be looked at further.
func (p *Proxy) acknowledgedLocked(c *conn, s *Segment) bool {
	ack := s.TCP.AckNumber()
	if after(ack, c.max) { // of what was never sent
		p.ackLocked(c)
		return false
	}
	if c.state == accepting {
		if ack != c.iss+1 {
			return false
		}
		c.una, c.nxt = ack, ack
		p.establishLocked(c)
		p.readyLocked(c)
	}
	if after(c.una, ack) {
		return true // old; its payload may be news
	}
	window := int(s.TCP.WindowSize()) << c.scale
	switch {
	case ack != c.una:
		p.progressLocked(c, ack)
	case s.Len == 0 && window == c.window && c.una != c.max && s.TCP.Flags()&header.TCPFlagFin == 0:
		if c.duplicates++; c.duplicates == duplicateLimit && !after(c.recover, c.una) {
			c.limit = max(c.inFlight()/2, lossSegments*c.segment)
			p.repeatLocked(c)
		}
	}
	if window == 0 {
		c.retries = min(c.retries, maxRetries/2) // it is alive
	}
	if c.window == 0 && window > 0 {
		c.retryAt, c.retries = 0, 0 // probes
		p.repeatLocked(c)           // what came to a shut window was not taken
	}
	c.window = window
	c.widest = max(c.widest, window)
	if c.unsent() > 0 || c.readable || c.hostEnded && !c.finSent {
		p.readyLocked(c)
	}
	return true
}

// progressLocked frees what the guest has acknowledged.
func (p *Proxy) progressLocked(c *conn, ack uint32) {
	n := int(ack - c.una)
	if n > c.send.size { // the FIN too
		n = c.send.size
		c.finAcked = true
	}
	c.send.discard(&p.memory, n)
	c.una = ack
	if after(c.una, c.nxt) {
		c.nxt = c.una
		c.finSent = c.finAcked
	}
	c.duplicates, c.retries, c.retryAt = 0, 0, 0
	if c.limit > 0 {
		if c.limit += n; c.limit > maxShare {
			c.limit = 0
		}
	}
	if c.una != c.max {
		p.retryLocked(c, p.now())
	}
}

// payloadLocked takes the payload and the FIN of s.
func (p *Proxy) payloadLocked(c *conn, s *Segment) {
	seq, off, n := s.TCP.SequenceNumber(), s.Off, s.Len
	fin := s.TCP.Flags()&header.TCPFlagFin != 0
	if n == 0 && !fin {
		if seq != c.rcv {
			p.ackLocked(c) // a probe
		}
		return
	}
	if old := int32(c.rcv - seq); old != 0 {
		if old < 0 { // too early: one acknowledgement for each (RFC 5681 section 4.2), as far as that tells anything
			if c.ackNow {
				c.ackRepeats = min(c.ackRepeats+1, duplicateLimit)
			}
			p.ackLocked(c)
			return
		}
		if int(old) > n || int(old) == n && !fin || c.guestEnded {
			p.ackLocked(c) // all of it has come before
			return
		}
		off, n = off+int(old), n-int(old)
	}
	if c.guestEnded {
		return // nothing comes after the end
	}
	if room := int(c.adv - c.rcv); n > room {
		n, fin = room, false
		p.ackLocked(c)
	}
	if n > 0 {
		c.rcv += uint32(n)
		c.unacked += n
		c.unackedSegs++
		p.gatherLocked(c, s.Frame, off, n)
	}
	if fin {
		p.flushLocked()
	}
	if c.state != established {
		return // writing has ended it
	}
	if fin {
		c.rcv++
		c.guestEnded = true
		p.shutHostLocked(c)
		p.ackLocked(c)
	}
	if c.ackNow {
		return
	}
	// A full segment may be all that a careful sender has on its way (60 is for headers with some options).
	if c.unackedSegs >= ackSegments || c.unacked >= min(ackBytes, p.config.MTU-60) {
		p.ackLocked(c)
	} else if c.ackAt == 0 {
		now := p.now()
		c.ackAt = now + int64(ackDelay)
		p.scheduleLocked(c.ackAt, now)
	}
}
