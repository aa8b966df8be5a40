package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"time"
)

// patience is how long a client may take for each step that is not the test itself.
const patience = 30 * time.Second

// server runs tests, one at a time.
type server struct {
	udp *datagrams

	mu   sync.Mutex
	test *test // nil: none
}

// serve takes connections, until the listener fails.
func (s *server) serve(l *net.TCPListener) error {
	for turn := 0; ; turn++ {
		c, err := l.AcceptTCP()
		if err != nil {
			return err
		}
		go s.accept(c, turn)
	}
}

// accept finds out whether a connection is a stream of the test that runs, or the beginning of a new one. turn is its
// place among all, by which streams are told apart: cookies may arrive in another order.
func (s *server) accept(c *net.TCPConn, turn int) {
	var k cookie
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, k[:]); err != nil {
		c.Close()
		return
	}
	s.mu.Lock()
	if t := s.test; t != nil {
		defer s.mu.Unlock()
		if k != t.cookie || !t.offer(arrival{c, turn}) {
			c.Write([]byte{accessDenied})
			c.Close()
		}
		return
	}
	t := &test{server: s, cookie: k, control: c, conns: make(chan arrival, maxStreams*2), done: make(chan struct{})}
	s.test = t
	s.mu.Unlock()

	log.Printf("%v: a test", c.RemoteAddr())
	err := t.run()
	s.mu.Lock()
	s.test = nil
	s.mu.Unlock()
	t.cleanUp()
	if err != nil {
		log.Printf("%v: %v", c.RemoteAddr(), err)
	}
}

// test is a test under way.
type test struct {
	server  *server
	cookie  cookie
	control *net.TCPConn
	params  parameters
	conns   chan arrival // that have arrived with the cookie
	streams []*stream
	done    chan struct{} // closed at the end: streams stop
	running sync.WaitGroup
}

// arrival is a data connection.
type arrival struct {
	conn *net.TCPConn
	turn int
}

// offer takes a data connection, if there is room for one.
func (t *test) offer(a arrival) bool {
	select {
	case t.conns <- a:
		return true
	default:
		return false
	}
}

// say sends the client states.
func (t *test) say(states ...byte) error {
	_, err := t.control.Write(states)
	return err
}

// run goes through the protocol.
func (t *test) run() error {
	if err := t.say(paramExchange); err != nil {
		return err
	}
	if err := readJSON(t.control, &t.params); err != nil {
		return fmt.Errorf("read parameters: %w", err)
	}
	if err := t.params.check(); err != nil {
		return fmt.Errorf("the client asks for %w", err)
	}
	if t.params.UDP {
		to, from := t.params.streams()
		t.server.udp.expect(t.control.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(), to+from)
		defer t.server.udp.forget()
	}
	if err := t.say(createStreams); err != nil {
		return err
	}
	if err := t.create(); err != nil {
		return fmt.Errorf("create streams: %w", err)
	}
	if err := t.say(testStart, testRunning); err != nil {
		return err
	}
	t.control.SetDeadline(time.Time{}) // the client decides how long it is
	begin := time.Now()
	for _, s := range t.streams {
		t.running.Go(func() { s.run(t) })
	}
	if omit := t.params.Omit; omit > 0 {
		timer := time.AfterFunc(time.Duration(omit*float64(time.Second)), func() {
			for _, s := range t.streams {
				s.omit()
			}
		})
		defer timer.Stop()
	}
	var state [1]byte
	if _, err := io.ReadFull(t.control, state[:]); err != nil {
		return fmt.Errorf("the client went away: %w", err)
	}
	if state[0] != testEnd {
		return fmt.Errorf("the client ended the test by %d", state[0])
	}
	r := results{}
	seconds := time.Since(begin).Seconds() - t.params.Omit
	for i, s := range t.streams {
		r.Streams = append(r.Streams, s.result(streamID(i), seconds))
	}
	return t.finish(&r, seconds)
}

// finish exchanges results.
func (t *test) finish(r *results, seconds float64) error {
	t.control.SetDeadline(time.Now().Add(patience))
	if err := t.say(exchangeResults); err != nil {
		return err
	}
	var theirs json.RawMessage // of no use here
	if err := readJSON(t.control, &theirs); err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	if err := writeJSON(t.control, r); err != nil {
		return err
	}
	if err := t.say(displayResults); err != nil {
		return err
	}
	for i, s := range r.Streams {
		direction := "in"
		if t.streams[i].send {
			direction = "out"
		}
		log.Printf("%v: stream %d: %d bytes %s, %.3g Gbit/s", t.control.RemoteAddr(), s.ID, s.Bytes, direction, float64(s.Bytes)*8e-9/seconds)
	}
	var state [1]byte
	if _, err := io.ReadFull(t.control, state[:]); err != nil || state[0] != iperfDone {
		return errors.New("the client did not say that it is done")
	}
	return nil
}

// create waits for the streams that the client makes: first those it sends on.
func (t *test) create() error {
	to, from := t.params.streams()
	for i := range to + from {
		s := &stream{send: i >= to}
		t.streams = append(t.streams, s)
		if t.params.UDP {
			d, err := t.server.udp.accept(patience)
			if err != nil {
				return err
			}
			s.udp = d
			continue
		}
		select {
		case a := <-t.conns:
			a.conn.SetDeadline(time.Time{})
			a.conn.SetNoDelay(t.params.NoDelay)
			s.tcp, s.turn = a.conn, a.turn
		case <-time.After(patience):
			return errors.New("the client does not connect")
		}
	}
	if !t.params.UDP {
		slices.SortFunc(t.streams, func(a, b *stream) int { return a.turn - b.turn })
		for i, s := range t.streams {
			s.send = i >= to
		}
	}
	return nil
}

// cleanUp closes everything, and waits until nothing of the test runs any more.
func (t *test) cleanUp() {
	close(t.done)
	t.control.Close()
	for _, s := range t.streams {
		if s.tcp != nil {
			s.tcp.Close()
		}
	}
	t.running.Wait()
	for {
		select {
		case a := <-t.conns:
			a.conn.Close()
		default:
			return
		}
	}
}
