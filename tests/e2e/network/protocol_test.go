package network

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
)

// protocols makes a set of one.
func protocols(set func(*http.Protocols)) *http.Protocols {
	p := new(http.Protocols)
	set(p)
	return p
}

// trusting is a client that knows the guest's certificate.
func (w *world) trusting(t testing.TB) *tls.Config {
	t.Helper()
	var certificate []byte
	w.get(t, "/certificate", &certificate)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		t.Fatalf("the guest's certificate is %q", certificate)
	}
	return &tls.Config{RootCAs: roots, ServerName: "guest"}
}

// TestTLS has a client check the guest's certificate and move data both ways.
func TestTLS(t *testing.T) {
	size := sample[int64](4, 100) * megabyte
	in(t, all, options{}, func(t *testing.T, w *world) {
		transport := w.transport()
		transport.TLSClientConfig = w.trusting(t)
		transport.Protocols = protocols(func(p *http.Protocols) { p.SetHTTP1(true) })
		t.Cleanup(transport.CloseIdleConnections)
		client := &http.Client{Transport: secure{transport}}
		var h contract.Header
		if err := w.request(client, http.MethodGet, "/header", nil, &h); err != nil || h.Proto != "HTTP/1.1" {
			t.Fatalf("%+v, %v", h, err)
		}
		if got, err := w.download(client, size, 5); err != nil || got != contract.SumOf(size, 5) {
			t.Errorf("download: %+v, %v", got, err)
		}
		if got, err := w.upload(client, "/upload", size, 6); err != nil || got != contract.SumOf(size, 6) {
			t.Errorf("upload: %+v, %v", got, err)
		}

		stranger := w.transport()
		stranger.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "guest"}
		t.Cleanup(stranger.CloseIdleConnections)
		if err := w.request(&http.Client{Transport: secure{stranger}}, http.MethodGet, "/hello", nil, nil); err == nil {
			t.Error("a client that does not know the certificate takes it")
		}
	})
}

// secure makes requests over TLS.
type secure struct{ http.RoundTripper }

func (s secure) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "https"
	return s.RoundTripper.RoundTrip(r)
}

// TestTLSHandshakes makes new connections, each with a full handshake, several at a time.
func TestTLSHandshakes(t *testing.T) {
	const clients = 8
	each := sample(10, 500)
	in(t, fast, options{}, func(t *testing.T, w *world) {
		config := w.trusting(t)
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for range each {
					if err := w.shake(config); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// shake makes one request over a TLS connection of its own.
func (w *world) shake(config *tls.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	raw, err := w.dial(ctx, "tcp", contract.PortTLS)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(patience))
	c := tls.Client(raw, config)
	if _, err := io.WriteString(c, "GET /hello HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(answer), "hello\n") {
		return fmt.Errorf("answer %q, %v", answer, err)
	}
	return nil
}

// TestHTTP2 has many requests share a connection, with TLS and without.
func TestHTTP2(t *testing.T) {
	const streams = 100
	size := sample[int64](200_000, 2*megabyte)
	in(t, all, options{}, func(t *testing.T, w *world) {
		for name, prepare := range map[string]func(*http.Transport) http.RoundTripper{
			"TLS": func(tr *http.Transport) http.RoundTripper {
				tr.TLSClientConfig = w.trusting(t)
				tr.Protocols = protocols(func(p *http.Protocols) { p.SetHTTP2(true) })
				return secure{tr}
			},
			"clear": func(tr *http.Transport) http.RoundTripper {
				tr.Protocols = protocols(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
				return tr
			},
		} {
			w.client.CloseIdleConnections()
			transport := w.transport()
			t.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: prepare(transport)}
			var h contract.Header
			if err := w.request(client, http.MethodGet, "/header", nil, &h); err != nil || h.Proto != "HTTP/2.0" {
				t.Fatalf("%s: %+v, %v", name, h, err)
			}
			shared := func() {
				t.Helper()
				eventually(t, func() error { // connections of the last round may be ending
					if s := w.stats(t); s.Conns != 2 { // this one, and the one for questions
						return fmt.Errorf("%s: %d connections, want 2", name, s.Conns)
					}
					return nil
				})
			}
			shared()
			var wg sync.WaitGroup
			for n := range uint64(streams) {
				wg.Go(func() {
					if got, err := w.upload(client, "/upload", size, n); err != nil || got != contract.SumOf(size, n) {
						t.Errorf("%s: upload %d: %+v, %v", name, n, got, err)
					}
					if got, err := w.download(client, size, n); err != nil || got != contract.SumOf(size, n) {
						t.Errorf("%s: download %d: %+v, %v", name, n, got, err)
					}
				})
			}
			wg.Wait()
			shared()
			transport.CloseIdleConnections()
		}
	})
}

// TestEvents has clients that get server-sent events: each when it happens, not later with others.
func TestEvents(t *testing.T) {
	const clients, count = 20, 20
	const interval = 50 * time.Millisecond
	in(t, all, options{}, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				if err := w.listenToEvents(count, interval); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func (w *world) listenToEvents(count int, interval time.Duration) error {
	response, err := w.client.Get(fmt.Sprintf("http://guest/events?count=%d&interval=%v", count, interval))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
		return fmt.Errorf("content type %q", kind)
	}
	lines := bufio.NewReader(response.Body)
	var first time.Time
	for n := range count {
		for _, want := range []string{fmt.Sprintf("id: %d\n", n), fmt.Sprintf("data: event %d\n", n), "\n"} {
			if line, err := lines.ReadString('\n'); err != nil || line != want {
				return fmt.Errorf("event %d: %q, %v, want %q", n, line, err, want)
			}
		}
		if n == 0 {
			first = time.Now()
		}
	}
	// Had they come together, in the end, no time would have passed. A machine with other work can only add to it.
	if took := time.Since(first); took < time.Duration(count-1)*interval/2 {
		return fmt.Errorf("%d events with %v between them came within %v", count, interval, took)
	}
	_, err = lines.ReadByte()
	if err != io.EOF {
		return fmt.Errorf("after the last event: %v", err)
	}
	return nil
}

// TestHeaders sends nearly as much header as net/http takes by default, a megabyte, and more.
func TestHeaders(t *testing.T) {
	const fields = 1000
	in(t, all, options{}, func(t *testing.T, w *world) {
		request := func(length int) (*http.Response, error) {
			r, err := http.NewRequest(http.MethodGet, "http://guest/header", nil)
			if err != nil {
				return nil, err
			}
			for n := range fields {
				r.Header.Set(fmt.Sprintf("X-Field-%d", n), strings.Repeat("v", length))
			}
			return w.client.Do(r)
		}
		response, err := request(1000)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var h contract.Header
		if err := json.NewDecoder(response.Body).Decode(&h); err != nil || h.Fields != fields || h.Bytes != fields*1000 {
			t.Errorf("%+v, %v", h, err)
		}
		// The server answers and closes before it has read everything, so the client may see either.
		refused, err := request(1100)
		if err == nil {
			defer refused.Body.Close()
			if refused.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("too much header: %s", refused.Status)
			}
		}
		w.get(t, "/hello", nil)
	})
}

// TestHalfClose ends the client's direction and reads the answer from the guest's, which goes on.
func TestHalfClose(t *testing.T) {
	sizes := []int64{0, 1, 1_000_000}
	in(t, all, options{}, func(t *testing.T, w *world) {
		for _, size := range sizes {
			c := w.connect(t, contract.PortSum)
			if _, err := io.Copy(c, contract.Bytes(size, 7)); err != nil {
				t.Fatal(err)
			}
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(c)
			var sum contract.Sum
			if err != nil || json.Unmarshal(answer, &sum) != nil || sum != contract.SumOf(size, 7) {
				t.Errorf("%d bytes: %q, %v", size, answer, err)
			}
		}
	})
}

// TestDeadlines has read deadlines that pass in the guest, again and again, on a connection that stays of use.
func TestDeadlines(t *testing.T) {
	in(t, all, options{}, func(t *testing.T, w *world) {
		begin := time.Now() // before the guest's first deadline begins
		c := w.connect(t, contract.PortDeadline)
		lines := bufio.NewReader(c)
		expect := func(want string) {
			t.Helper()
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if line == want {
					return
				}
				if line != "late\n" {
					t.Fatalf("got %q, want %q", line, want)
				}
			}
		}
		for n := range 5 {
			expect("late\n")
			message := fmt.Sprintf("message %d\n", n)
			if _, err := io.WriteString(c, message); err != nil {
				t.Fatal(err)
			}
			expect(message)
		}
		if took := time.Since(begin); took < 5*contract.DeadlineAfter {
			t.Errorf("five deadlines of %v have passed in %v", contract.DeadlineAfter, took)
		}
	})
}

// TestDatagrams sends datagrams of all sizes to the guest and back, fragments among them.
func TestDatagrams(t *testing.T) {
	sizes := []int{1, 100, 1400, 1472, 1473, 9000, 32_000, 32_800, 65_507}
	in(t, fast, options{}, func(t *testing.T, w *world) {
		c, err := w.dial(t.Context(), "udp", contract.PortEcho)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		buf := make([]byte, 1<<16)
		for _, size := range sizes {
			message := []byte(strings.Repeat(fmt.Sprintf("%d ", size), size))[:size]
			if err := exchangeDatagram(c, message, buf); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	})
}

// exchangeDatagram sends message until it comes back: datagrams may be lost.
func exchangeDatagram(c net.Conn, message, buf []byte) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.Write(message); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := c.Read(buf)
		if err == nil && string(buf[:n]) == string(message) {
			return nil
		}
		var timeout net.Error
		if err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
			return err
		}
	}
	return fmt.Errorf("no answer within %v", patience)
}

// TestManyDatagrams has many clients at once, a socket each.
func TestManyDatagrams(t *testing.T) {
	const clients = 200
	in(t, fast, options{}, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for n := range clients {
			wg.Go(func() {
				c, err := w.dial(t.Context(), "udp", contract.PortEcho)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				buf := make([]byte, 1<<10)
				for m := range 10 {
					if err := exchangeDatagram(c, fmt.Appendf(nil, "client %d message %d", n, m), buf); err != nil {
						t.Errorf("client %d: %v", n, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
