package network

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
)

// nameServer is a DNS server (RFC 1035) with a zone of its own, over UDP and TCP at the same address.
type nameServer struct {
	mu   sync.Mutex
	seen map[string]int // questions by network
}

// Record types, and response codes.
const (
	typeA, typeCNAME, typePTR, typeTXT, typeAAAA = 1, 5, 12, 16, 28
	rcodeOK, rcodeServer, rcodeName              = 0, 2, 3
)

// record is a resource record: its owner, if that is not the name asked for, its type and data.
type record struct {
	owner string
	kind  uint16
	data  []byte
}

// zone is what the server knows.
var zone = map[string][]record{
	"www.test.":                {{"", typeA, []byte{192, 0, 2, 10}}, {"", typeA, []byte{192, 0, 2, 11}}},
	"alias.test.":              {{"", typeCNAME, name("www.test.")}, {"www.test.", typeA, []byte{192, 0, 2, 10}}},
	"10.2.0.192.in-addr.arpa.": {{"", typePTR, name("www.test.")}},
	"big.test.":                bigText(),
	"six.test.":                {{"", typeAAAA, netip.MustParseAddr("2001:db8::1").AsSlice()}},
}

// bigText is more than a datagram's worth.
func bigText() (all []record) {
	for i := range 40 {
		text := fmt.Sprintf("%02d%s", i, strings.Repeat("x", 198))
		all = append(all, record{"", typeTXT, append([]byte{byte(len(text))}, text...)})
	}
	return all
}

// name is a domain name in a message.
func name(s string) (b []byte) {
	for _, label := range strings.Split(strings.TrimSuffix(s, "."), ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// answer makes the answer to a query; longest is how long it may be, 0 for any.
func (s *nameServer) answer(network string, query []byte, longest int) []byte {
	if len(query) < 12 || binary.BigEndian.Uint16(query[4:]) != 1 {
		return nil
	}
	var labels []string
	at := 12
	for at < len(query) && query[at] != 0 {
		end := at + 1 + int(query[at])
		if end > len(query) {
			return nil
		}
		labels = append(labels, string(query[at+1:end]))
		at = end
	}
	if at+5 > len(query) {
		return nil
	}
	question := strings.ToLower(strings.Join(labels, ".") + ".")
	kind := binary.BigEndian.Uint16(query[at+1:])
	s.mu.Lock()
	s.seen[network]++
	s.mu.Unlock()

	records, known := zone[question]
	rcode := byte(rcodeOK)
	switch {
	case question == "broken.test.":
		rcode = rcodeServer
	case !known:
		rcode = rcodeName
	}
	b := append([]byte{}, query[:2]...)
	b = append(b, 0x85, 0x80|rcode, 0, 1, 0, 0, 0, 0, 0, 0) // an authoritative answer, recursion as desired
	b = append(b, query[12:at+5]...)
	count := uint16(0)
	for _, r := range records {
		if r.kind != kind && r.kind != typeCNAME {
			continue
		}
		if r.owner != "" {
			b = append(b, name(r.owner)...)
		} else {
			b = append(b, 0xc0, 12) // the question's
		}
		b = binary.BigEndian.AppendUint16(b, r.kind)
		b = append(b, 0, 1, 0, 0, 0, 60)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.data)))
		b = append(b, r.data...)
		count++
	}
	if longest > 0 && len(b) > longest {
		b = append(b[:12:12], query[12:at+5]...)
		b[2] |= 2 // truncated: ask by TCP
		count = 0
	}
	binary.BigEndian.PutUint16(b[6:], count)
	return b
}

// serveNames serves until the test ends.
func serveNames(t testing.TB, packets net.PacketConn, streams net.Listener) *nameServer {
	s := &nameServer{seen: map[string]int{}}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			if b := s.answer("udp", buf[:n], 512); b != nil {
				packets.WriteTo(b, from)
			}
		}
	}()
	go func() {
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			go s.serveStream(c)
		}
	}()
	return s
}

func (s *nameServer) serveStream(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		b := s.answer("tcp", query, 0)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
			return
		}
	}
}

// listenNames opens both sockets of a name server at a port of the loopback.
func listenNames(t testing.TB) (net.PacketConn, net.Listener, string) {
	t.Helper()
	for {
		streams, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", streams.Addr().String())
		if err != nil {
			streams.Close() // another has the port
			continue
		}
		return open(t, packets, nil), open(t, streams, nil), streams.Addr().String()
	}
}

// TestDNS asks through the user network's forwarder, whose resolver is the test's, and over TAP the test's directly.
func TestDNS(t *testing.T) {
	t.Run(overUser.name, func(t *testing.T) {
		packets, streams, address := listenNames(t)
		s := serveNames(t, packets, streams)
		checkDNS(t, newWorld(t, overUser, options{flags: []string{"--dns", address}}), s)
	})
	t.Run(overTAP.name, func(t *testing.T) {
		w := newWorld(t, overTAP, options{})
		s := serveNames(t, w.listenPacketAt(t, 53), w.listenAt(t, 53))
		checkDNS(t, w, s)
	})
}

func checkDNS(t *testing.T, w *world, s *nameServer) {
	look := func(kind, name string) (got contract.Looked) {
		t.Helper()
		w.get(t, "/lookup?"+url.Values{"kind": {kind}, "name": {name}}.Encode(), &got)
		slices.Sort(got.Values)
		return got
	}
	for _, c := range []struct {
		kind, name string
		want       []string
	}{
		{"host", "www.test", []string{"192.0.2.10", "192.0.2.11"}},
		{"host", "WWW.Test.", []string{"192.0.2.10", "192.0.2.11"}},
		{"host", "alias.test", []string{"192.0.2.10"}},
		{"host", "six.test", []string{"2001:db8::1"}},
		{"host", "localhost", []string{"127.0.0.1"}},
		{"alias", "alias.test", []string{"www.test."}},
		{"address", "192.0.2.10", []string{"www.test."}},
	} {
		if got := look(c.kind, c.name); !slices.Equal(got.Values, c.want) || got.Fault != nil {
			t.Errorf("%s of %s: %q, %+v, want %q", c.kind, c.name, got.Values, got.Fault, c.want)
		}
	}
	if got := look("text", "big.test"); len(got.Values) != 40 || len(got.Values[0]) != 200 {
		t.Errorf("text that needs TCP: %d strings, %+v", len(got.Values), got.Fault)
	}
	s.mu.Lock()
	if s.seen["udp"] == 0 || s.seen["tcp"] == 0 {
		t.Errorf("questions by network: %v", s.seen)
	}
	s.mu.Unlock()
	if got := look("host", "nothing.test"); got.Fault == nil || !got.Fault.NotFound {
		t.Errorf("a name that does not exist: %q, %+v", got.Values, got.Fault)
	}
	if got := look("host", "broken.test"); got.Fault == nil || got.Fault.NotFound {
		t.Errorf("a server that fails: %q, %+v", got.Values, got.Fault)
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			var got contract.Looked
			err := w.request(w.client, "GET", "/lookup?kind=host&name=www.test", nil, &got)
			if err != nil || len(got.Values) != 2 {
				t.Errorf("one of many questions: %+v, %+v, %v", got, got.Fault, err)
			}
		})
	}
	wg.Wait()
}
