package main

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// stream is one data stream, over TCP or UDP.
type stream struct {
	send bool
	tcp  *net.TCPConn
	udp  *peer
	turn int // of the connection

	bytes atomic.Int64

	mu      sync.Mutex
	omitted int64 // bytes that do not count
	packets counts
	before  counts // that do not count
}

// run moves data until the test is done.
func (s *stream) run(t *test) {
	switch {
	case s.tcp != nil && s.send:
		s.sendTCP(t)
	case s.tcp != nil:
		s.receiveTCP(t)
	case s.send:
		s.sendUDP(t)
	default:
		s.receiveUDP(t)
	}
}

func (s *stream) receiveTCP(t *test) {
	b := make([]byte, max(t.params.Len, 128<<10))
	for {
		n, err := s.tcp.Read(b)
		s.bytes.Add(int64(n))
		if err != nil {
			return
		}
	}
}

func (s *stream) sendTCP(t *test) {
	b := block(t.params.Len)
	pace := newPace(t.params.Bandwidth)
	for pace.wait(t.done) {
		n, err := s.tcp.Write(b)
		s.bytes.Add(int64(n))
		if err != nil {
			return
		}
		pace.sent(n)
	}
}

// block is n bytes to send.
func block(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(i%10)
	}
	return b
}

// pace holds a sender to a rate.
type pace struct {
	rate  float64 // bits a second; 0: no limit
	begin time.Time
	bits  float64
}

func newPace(rate float64) *pace { return &pace{rate: rate, begin: time.Now()} }

// sent notes n bytes.
func (p *pace) sent(n int) { p.bits += float64(n) * 8 }

// wait returns when it is time to send more, or with false when done.
func (p *pace) wait(done <-chan struct{}) bool {
	var d time.Duration
	if p.rate > 0 {
		d = time.Until(p.begin.Add(time.Duration(p.bits / p.rate * float64(time.Second))))
	}
	if d <= 0 {
		select {
		case <-done:
			return false
		default:
			return true
		}
	}
	select {
	case <-done:
		return false
	case <-time.After(d):
		return true
	}
}

// omit forgets what has been counted so far.
func (s *stream) omit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.omitted = s.bytes.Load()
	s.before = s.packets
}

// result is what the client is told.
func (s *stream) result(id int, seconds float64) streamResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	return streamResult{
		ID: id, Bytes: s.bytes.Load() - s.omitted, Retransmits: -1, EndTime: seconds,
		Jitter: s.packets.jitter, Errors: s.packets.lost - s.before.lost, OmittedErrors: s.before.lost,
		Packets: s.packets.last, OmittedPackets: s.before.last,
	}
}

// counts are of datagrams.
type counts struct {
	last    int64 // the highest number
	lost    int64
	jitter  float64 // seconds
	transit float64 // of the one before
}

// header is at the start of a datagram: when it was sent, in seconds and microseconds, and its number from 1 on, in 32 or
// 64 bits, all big-endian.
func header(b []byte, wide bool) (sent time.Time, number int64) {
	be := binary.BigEndian
	sent = time.Unix(int64(be.Uint32(b)), int64(be.Uint32(b[4:]))*1000)
	if wide {
		return sent, int64(be.Uint64(b[8:]))
	}
	return sent, int64(be.Uint32(b[8:]))
}

// note counts a datagram (jitter: RFC 3550 §6.4.1).
func (c *counts) note(sent, arrived time.Time, number int64) {
	if number > c.last {
		if number > c.last+1 {
			c.lost += number - 1 - c.last
		}
		c.last = number
	} else if c.lost > 0 {
		c.lost-- // late, and counted as lost before
	}
	transit := arrived.Sub(sent).Seconds()
	if c.transit != 0 {
		d := transit - c.transit
		c.jitter += (max(d, -d) - c.jitter) / 16
	}
	c.transit = transit
}

func (s *stream) receiveUDP(t *test) {
	for {
		select {
		case <-t.done:
			return
		case d := <-s.udp.in:
			s.bytes.Add(int64(d.size))
			sent, number := header(d.head[:], t.params.Counters64 != 0)
			s.mu.Lock()
			s.packets.note(sent, d.arrived, number)
			s.mu.Unlock()
		}
	}
}

func (s *stream) sendUDP(t *test) {
	b := block(t.params.Len)
	pace := newPace(t.params.Bandwidth)
	for number := int64(1); pace.wait(t.done); number++ {
		now := time.Now()
		be := binary.BigEndian
		be.PutUint32(b, uint32(now.Unix()))
		be.PutUint32(b[4:], uint32(now.Nanosecond()/1000))
		if t.params.Counters64 != 0 {
			be.PutUint64(b[8:], uint64(number))
		} else {
			be.PutUint32(b[8:], uint32(number))
		}
		s.bytes.Add(int64(len(b)))
		s.mu.Lock()
		s.packets.last = number
		s.mu.Unlock()
		if err := s.udp.send(b); err != nil {
			return
		}
		pace.sent(len(b))
	}
}
