package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// start runs a server on loopback.
func start(t *testing.T) (s *server, addr string) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.Addr().(*net.TCPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	s = &server{udp: newDatagrams(u)}
	done := make(chan bool)
	go func() {
		s.serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		l.Close()
		u.Close()
		<-done
	})
	return s, l.Addr().String()
}

// await waits until the test's stream i has so many bytes: what is on its way at the end does not count.
func (s *server) await(t *testing.T, i int, bytes int64) {
	t.Helper()
	s.mu.Lock()
	k := s.test.streams[i]
	s.mu.Unlock()
	for end := time.Now().Add(20 * time.Second); k.bytes.Load() < bytes; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("stream %d has %d bytes of %d", i, k.bytes.Load(), bytes)
		}
	}
}

// client is iperf3's side of the protocol.
type client struct {
	t *testing.T
	net.Conn
	addr   string
	cookie cookie
}

func dial(t *testing.T, addr, name string) *client {
	k := &client{t: t, addr: addr}
	copy(k.cookie[:], name)
	k.Conn = k.connect("tcp")
	k.Write(k.cookie[:])
	return k
}

func (k *client) connect(network string) net.Conn {
	k.t.Helper()
	c, err := net.Dial(network, k.addr)
	if err != nil {
		k.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	k.t.Cleanup(func() { c.Close() })
	return c
}

// expect reads states.
func (k *client) expect(states ...byte) {
	k.t.Helper()
	got := make([]byte, len(states))
	if _, err := io.ReadFull(k, got); err != nil || string(got) != string(states) {
		k.t.Fatalf("states %d, %v; want %d", got, err, states)
	}
}

// begin gets to the point where streams are made.
func (k *client) begin(params string) {
	k.t.Helper()
	k.expect(paramExchange)
	fmt.Fprintf(k, "\x00\x00%c%c%s", len(params)>>8, len(params)&0xff, params)
	k.expect(createStreams)
}

// stream makes a TCP stream.
func (k *client) stream() net.Conn {
	c := k.connect("tcp")
	c.Write(k.cookie[:])
	return c
}

// end ends the test and returns the server's results.
func (k *client) end() (r results) {
	k.t.Helper()
	k.Write([]byte{testEnd})
	k.expect(exchangeResults)
	mine := `{"streams":[{"retransmits":18446744073709551615}]}` // as the real one has it
	fmt.Fprintf(k, "\x00\x00\x00%c%s", len(mine), mine)
	if err := readJSON(k, &r); err != nil {
		k.t.Fatal(err)
	}
	k.expect(displayResults)
	k.Write([]byte{iperfDone})
	return r
}

// TestStreams has data go to the server and from it at once.
func TestStreams(t *testing.T) {
	s, addr := start(t)
	k := dial(t, addr, "one")
	k.begin(`{"tcp":true,"parallel":2,"len":1000,"bidirectional":true,"bandwidth":8000000}`)
	to, from := []net.Conn{k.stream(), k.stream()}, []net.Conn{k.stream(), k.stream()}
	k.expect(testStart, testRunning)

	// Another client has to wait, and one that only looks like a stream is none.
	other := dial(t, addr, "two")
	other.expect(accessDenied)

	const size = 50_000
	for i, c := range to {
		c.Write(make([]byte, size*(i+1)))
	}
	for _, c := range from {
		if n, err := io.CopyN(io.Discard, c, size); err != nil {
			t.Errorf("%d bytes from the server: %v", n, err)
		}
	}
	s.await(t, 0, size)
	s.await(t, 1, 2*size)
	s.await(t, 2, size) // a write is counted when it has returned
	s.await(t, 3, size)
	r := k.end()
	ids := fmt.Sprint(r.Streams[0].ID, r.Streams[1].ID, r.Streams[2].ID, r.Streams[3].ID)
	if len(r.Streams) != 4 || ids != "1 3 4 5" || r.Streams[0].Bytes != size || r.Streams[1].Bytes != 2*size ||
		r.Streams[2].Bytes < size || r.Streams[3].Bytes < size {
		t.Errorf("%+v", r)
	}
	// At a megabyte a second the server cannot have sent much more than was read.
	if most := int64(1e6 * (r.Streams[2].EndTime + 0.1)); r.Streams[2].Bytes > most {
		t.Errorf("%d bytes in %v s at a rate of 8 Mbit/s", r.Streams[2].Bytes, r.Streams[2].EndTime)
	}
}

// TestDatagrams sends datagrams, not all and not in order, and gets some.
func TestDatagrams(t *testing.T) {
	s, addr := start(t)
	k := dial(t, addr, "one")
	k.begin(`{"udp":true,"parallel":1,"len":100,"bidirectional":true,"bandwidth":800000,"udp_counters_64bit":1}`)
	var streams []net.Conn
	b := make([]byte, 2000)
	for range 2 {
		c := k.connect("udp")
		c.Write(binary.LittleEndian.AppendUint32(nil, connectMessage))
		if n, err := c.Read(b); n != 4 || binary.LittleEndian.Uint32(b) != connectReply {
			t.Fatalf("%x, %v", b[:n], err)
		}
		streams = append(streams, c)
	}
	k.expect(testStart, testRunning)
	for _, number := range []uint64{1, 2, 5, 4, 6} {
		d := binary.BigEndian.AppendUint64(make([]byte, 8, 100), number)
		binary.BigEndian.PutUint32(d, uint32(time.Now().Unix()))
		streams[0].Write(d[:100])
	}
	for number := int64(1); number <= 3; number++ {
		n, err := streams[1].Read(b)
		if err != nil || n != 100 {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if sent, got := header(b, true); got != number || time.Since(sent).Abs() > time.Minute {
			t.Errorf("number %d, sent at %v", got, sent)
		}
	}
	s.await(t, 0, 500)
	r := k.end()
	if len(r.Streams) != 2 || r.Streams[0].Bytes != 500 || r.Streams[0].Errors != 1 || r.Streams[0].Packets != 6 || r.Streams[1].Packets < 3 {
		t.Errorf("%+v", r)
	}
}

// TestNonsense: clients that do not keep to the protocol are let go, and the next one is served.
func TestNonsense(t *testing.T) {
	_, addr := start(t)
	for _, params := range []string{
		``, `{`, `[]`, `{"parallel":129}`, `{"parallel":-1}`, `{"len":1048577}`, `{"len":-1}`, `{"udp":true,"len":65508}`,
		`{"udp":true,"len":15}`, `{"sctp":true}`, `{"bandwidth":-1}`, `{"omit":1e9}`, `{"len":"x"}`,
	} {
		k := dial(t, addr, "bad")
		k.expect(paramExchange)
		fmt.Fprintf(k, "\x00\x00\x00%c%s", len(params), params)
		if b, err := io.ReadAll(k); len(b) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %x, %v", params, b, err)
		}
	}
	k := dial(t, addr, "long")
	k.expect(paramExchange)
	k.Write([]byte{0x7f, 0xff, 0xff, 0xff})
	if b, err := io.ReadAll(k); len(b) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a long text: %x, %v", b, err)
	}
	// One that leaves in the middle.
	k = dial(t, addr, "leaves")
	k.begin(`{"tcp":true}`)
	k.stream()
	k.expect(testStart, testRunning)
	k.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		k = dial(t, addr, "next")
		var state [1]byte
		io.ReadFull(k, state[:])
		if state[0] == paramExchange {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the next client is refused")
		}
	}
}

// FuzzParameters: whatever a client says, what is taken is within bounds.
func FuzzParameters(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x0e{\"parallel\":4}"))
	f.Add([]byte("\x00\x00\x00\x11{\"bandwidth\":1e9}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p parameters
		if readJSON(strings.NewReader(string(b)), &p) != nil || p.check() != nil {
			return
		}
		to, from := p.streams()
		if to+from < 1 || to+from > 2*maxStreams || p.Len < 1 || p.Len > maxBlock || !(p.Bandwidth >= 0) {
			t.Errorf("%+v", p)
		}
	})
}
