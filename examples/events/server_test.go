package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ukvm.dev/guest"
)

// start runs a server natively and returns its address.
func start(t *testing.T) string {
	l, err := guest.TCP().ListenAt(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	l.OnConnect(s.accept)
	t.Cleanup(func() {
		guest.Post(func() { l.Close(); s.shutdown() })
		guest.Run()
	})
	return l.Addr().String()
}

// dial connects to the server, and bounds how long a test may wait for it.
func dial(t *testing.T, addr string) (*net.TCPConn, *bufio.Reader) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn), bufio.NewReader(c)
}

// expect reads an answer and checks it.
func expect(t *testing.T, r *bufio.Reader, method string, status int, closes bool) {
	t.Helper()
	a, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := hello
	if status != 200 {
		want = reasons[status] + "\n"
	}
	if a.ContentLength != int64(len(want)) {
		t.Errorf("Content-Length %d for %q", a.ContentLength, want)
	}
	if method == "HEAD" {
		want = ""
	}
	if date, err := http.ParseTime(a.Header.Get("Date")); err != nil || time.Since(date).Abs() > time.Minute {
		t.Errorf("date %v, %v", date, err)
	}
	if a.StatusCode != status || string(body) != want || a.Close != closes {
		t.Errorf("%s: %q, body %q, close %v; want %d, close %v", method, a.Status, body, a.Close, status, closes)
	}
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// TestClient has net/http as the client, with a connection that is kept.
func TestClient(t *testing.T) {
	addr := start(t)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 20 {
		a, err := client.Get("http://" + addr + "/any")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(a.Body); string(b) != hello || err != nil {
			t.Fatalf("%q, %v", b, err)
		}
		a.Body.Close()
	}
}

// TestPieces sends requests byte by byte, and with bodies.
func TestPieces(t *testing.T) {
	c, r := dial(t, start(t))
	for i := range get {
		if _, err := c.Write([]byte{get[i]}); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, r, "GET", 200, false)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", strings.Repeat("x", 100000), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
	expect(t, r, "POST", 405, false)
	expect(t, r, "HEAD", 200, false)
	fmt.Fprint(c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	expect(t, r, "GET", 200, false)
	fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n", get)
	expect(t, r, "GET", 200, true)
	if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
		t.Errorf("after the last answer: %q, %v", b, err)
	}
}

// TestPipelining sends more requests at once than answers fit anywhere, and reads only then.
func TestPipelining(t *testing.T) {
	c, r := dial(t, start(t))
	const n = 100_000
	failed := make(chan error, 1)
	go func() {
		w := bufio.NewWriter(c)
		for range n {
			w.WriteString(get)
		}
		err := w.Flush()
		c.CloseWrite()
		failed <- err
	}()
	time.Sleep(50 * time.Millisecond) // let buffers fill: the test is right without
	one := ""
	for i := range n {
		head, err := r.Peek(1)
		if err != nil || head[0] != 'H' {
			t.Fatalf("answer %d: %q, %v", i, head, err)
		}
		if i == 0 || i == n-1 {
			expect(t, r, "GET", 200, false)
			continue
		}
		if one == "" {
			one = "HTTP/1.1 200 OK\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 26\r\n\r\n" + hello
		}
		if k, err := r.Discard(len(one)); err != nil {
			t.Fatalf("answer %d: %d bytes, %v", i, k, err)
		}
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
		t.Errorf("after the last answer: %q, %v", b, err)
	}
}

// TestBad: what is no request, or too much, is answered and ends the connection.
func TestBad(t *testing.T) {
	addr := start(t)
	for _, x := range []struct {
		in     string
		status int
	}{
		{"nonsense\r\n", 400},
		{"\x16\x03\x01\x02", 400},
		{get + "nonsense\r\n", 200},
		{"GET / HTTP/3.0\r\n\r\n", 505},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2*maxHead), 431},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2*maxHead) + "\r\n\r\n", 431},
		{"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413},
		{"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
	} {
		c, r := dial(t, addr)
		fmt.Fprint(c, x.in, strings.Repeat("more", 10000)) // the client must not be hit by a reset before it reads
		if x.status == 200 {
			expect(t, r, "GET", 200, false)
			x.status = 400
		}
		expect(t, r, "GET", x.status, true)
		if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
			t.Errorf("%.20q: after the last answer: %q, %v", x.in, b, err)
		}
		c.Close()
	}
}
