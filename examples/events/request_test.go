package main

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in     string
		n, bad int
		want   request // without method and target
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 0, request{}},
		{"GET / HTTP/1.1\r\nhOST:a\r\n\r\nGET", 26, 0, request{}},
		{"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 29, 0, request{}},
		{"GET / HTTP/1.0\r\n\r\n", 18, 0, request{http10: true, close: true}},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 42, 0, request{http10: true}},
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", 49, 0, request{close: true}},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n", 48, 0, request{body: 12}},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 66, 0, request{body: 1}},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 31, 0, request{}},
		{"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", 36, 0, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\t!\r\n\r\n", 36, 0, request{}},
		{"GET / HTTP/1.1\r\nHost:\r\n\r\n", 25, 0, request{}},
		// Not all here.
		{"", 0, 0, request{}},
		{"G", 0, 0, request{}},
		{"GET ", 0, 0, request{}},
		{"\r\n", 0, 0, request{}},
		{"\r", 0, 0, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\n", 0, 0, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\n\r", 0, 0, request{}},
		// Not HTTP.
		{"\r\n\r\n\r\n\r\n", 0, statusBad, request{}},
		{"nonsense\r\n", 0, statusBad, request{}},
		{"\x16\x03\x01\x02\x00\x01", 0, statusBad, request{}}, // TLS
		{"GET / HTTP/1.1\nHost: a\n\n", 0, statusBad, request{}},
		{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"GET HTTP/1.1\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 0, statusVersion, request{}},
		{"GET / http/1.1\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 0, statusBad, request{}},
		{"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0, statusNotMade, request{}},
	} {
		var r request
		n, bad := r.parse([]byte(c.in))
		if n != c.n || bad != c.bad || bad == 0 && n > 0 && (r.body != c.want.body || r.close != c.want.close || r.http10 != c.want.http10) {
			t.Errorf("%q: %d, status %d, %+v; want %d, %d, %+v", c.in, n, bad, r, c.n, c.bad, c.want)
		}
	}
}

// FuzzParse compares with net/http: what is taken here is taken there, with the same meaning, and however it is cut, it is
// judged the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n", "\r\nHEAD * HTTP/1.1\r\n\r\n",
		"GET http://[::1]/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r request
		n, bad := r.parse(b)
		if n < 0 || n > len(b) || bad != 0 && n != 0 {
			t.Fatalf("%d of %d bytes, status %d", n, len(b), bad)
		}
		for i := range len(b) {
			var part request
			k, early := part.parse(b[:i])
			if k != 0 && k != n || early != 0 && n != 0 {
				t.Fatalf("of the first %d bytes: %d, status %d; of all %d, status %d", i, k, early, n, bad)
			}
		}
		if n == 0 {
			return
		}
		h, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimLeft(b[:n], "\r\n"))))
		if err != nil {
			// It looks into targets and hosts, which do not matter here.
			if !strings.Contains(err.Error(), "parse") && !strings.Contains(err.Error(), "Host") && !strings.Contains(err.Error(), "method") {
				t.Fatalf("net/http refuses %q: %v", b[:n], err)
			}
			return
		}
		if h.Method != string(r.method) || h.ContentLength != int64(r.body) || (h.ProtoMinor == 0) != r.http10 {
			t.Fatalf("%q is %+v, for net/http %+v", b[:n], r, h)
		}
	})
}
