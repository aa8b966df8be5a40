package network

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
)

// TestReset has clients go away with a reset, in the middle of all kinds of things.
func TestReset(t *testing.T) {
	const each = 20
	in(t, fast, options{}, func(t *testing.T, w *world) {
		w.leaveBehind(t, each, func(c net.Conn) { resetConn(t, c) }) // tables grow
		before := w.rest(t)
		w.leaveBehind(t, each, func(c net.Conn) { resetConn(t, c) })
		w.backTo(t, before)
	})
}

// TestClose has clients close in the middle of all kinds of things, with data unread.
func TestClose(t *testing.T) {
	const each = 20
	in(t, fast, options{}, func(t *testing.T, w *world) {
		w.leaveBehind(t, each, func(c net.Conn) { c.Close() })
		before := w.rest(t)
		w.leaveBehind(t, each, func(c net.Conn) { c.Close() })
		w.backTo(t, before)
	})
}

func resetConn(t testing.TB, c net.Conn) {
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Error(err)
	}
	c.Close()
}

// under are requests that clients have under way when they vanish. The guest is left waiting for a reader, for more of a
// request, or for the handler's end.
var under = []string{
	"GET /hold HTTP/1.1\r\nHost: guest\r\n\r\n",
	"GET /download?bytes=100000000&patience=3s HTTP/1.1\r\nHost: guest\r\n\r\n",
	"POST /upload HTTP/1.1\r\nHost: guest\r\nContent-Length: 1000000\r\n\r\nfirst bytes",
	"GET /hello HTTP/1.1\r\nHost: guest\r\n\r\n", // the connection is kept
	"GET /hel", // not complete
}

// stream is one more, with answers that have no end and no deadline.
const stream = "GET /events?count=1000000&interval=10ms HTTP/1.1\r\nHost: guest\r\n\r\n"

// leaveBehind has clients with each of under begin, and then go.
func (w *world) leaveBehind(t testing.TB, each int, leave func(net.Conn)) {
	t.Helper()
	for _, c := range append(w.begin(t, each), w.beginStreams(t, each)...) {
		leave(c)
	}
}

// begin has clients with each of under and others, and waits until the guest has them all.
func (w *world) begin(t testing.TB, each int) (conns []net.Conn) {
	t.Helper()
	for range each {
		for _, request := range under {
			conns = append(conns, w.ask(t, request))
		}
		conns = append(conns, w.connect(t, contract.PortFlood), w.connect(t, contract.PortEcho))
	}
	eventually(t, func() error {
		s := w.stats(t)
		if s.Holds < int64(each) || s.Conns < int64(each*len(under)) || s.Sockets < int64(each) {
			return fmt.Errorf("not all have begun: %+v", s)
		}
		return nil
	})
	return conns
}

// beginStreams has clients with a stream, and waits until they get it.
func (w *world) beginStreams(t testing.TB, count int) (conns []net.Conn) {
	t.Helper()
	for range count {
		c := w.ask(t, stream)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	return conns
}

// ask sends a request over a connection of its own.
func (w *world) ask(t testing.TB, request string) net.Conn {
	t.Helper()
	c := w.connect(t, contract.PortWeb)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSilence has clients that are not there any more from one moment to the next, and nobody says so: the link carries
// nothing. Keep-alives and deadlines of the guest free what they can see to, although the clients' sockets are still
// there; what has neither ends with the first word from the other side. The same link serves afterwards.
func TestSilence(t *testing.T) {
	const each = 5
	in(t, []kind{overTAP}, options{}, func(t *testing.T, w *world) {
		w.get(t, "/hello", nil)
		before := w.rest(t)
		conns := w.begin(t, each)
		streams := w.beginStreams(t, each)
		w.client.CloseIdleConnections()
		time.Sleep(time.Second) // all is acknowledged: keep-alives leave to retransmission what is not
		w.cut(true)
		for _, c := range streams {
			c.Close() // with something unread: the reset is lost
		}
		// Three questions, a second each, after a second; deadlines of three. Twice that is enough on a busy machine.
		time.Sleep(2 * (1 + contract.KeepAliveCount) * contract.KeepAlive)
		w.cut(false)
		w.rest(t)
		for _, c := range conns {
			c.Close()
		}
		w.backTo(t, before)
	})
}

// TestInterruption cuts the link for a while in the middle of transfers, which go on as if nothing had been.
func TestInterruption(t *testing.T) {
	const size = 20 * megabyte
	in(t, []kind{overTAP, overLossy}, options{}, func(t *testing.T, w *world) {
		response, err := w.client.Get(fmt.Sprintf("http://guest/download?bytes=%d&seed=8", size))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		sent := make(chan error, 1)
		go func() {
			got, err := w.upload(w.client, "/upload", size, 9)
			if want := contract.SumOf(size, 9); err == nil && got != want {
				err = fmt.Errorf("the guest got %+v, want %+v", got, want)
			}
			sent <- err
		}()
		sum := contract.NewSummer()
		body := bufio.NewReader(response.Body)
		_, err = io.CopyN(sum, body, size/10)
		w.cut(true)
		time.Sleep(time.Second)
		w.cut(false)
		if err == nil {
			_, err = io.Copy(sum, body)
		}
		if got := sum.Sum(); err != nil || got != contract.SumOf(size, 8) {
			t.Errorf("download: %+v, %v", got, err)
		}
		if err := <-sent; err != nil {
			t.Errorf("upload: %v", err)
		}
	})
}

// TestCancel has clients that cancel requests, over HTTP/1.1 and HTTP/2; the guest's handlers hear of it.
func TestCancel(t *testing.T) {
	const each = 20
	in(t, all, options{}, func(t *testing.T, w *world) {
		second := w.transport()
		second.Protocols = protocols(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
		t.Cleanup(second.CloseIdleConnections)
		for name, client := range map[string]*http.Client{"HTTP/1.1": w.client, "HTTP/2": {Transport: second}} {
			ctx, cancel := context.WithCancel(t.Context())
			errs := make(chan error, each)
			for range each {
				go func() {
					request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://guest/hold", nil)
					if err == nil {
						var response *http.Response
						if response, err = client.Do(request); err == nil {
							_, err = io.Copy(io.Discard, response.Body)
							response.Body.Close()
						}
					}
					errs <- err
				}()
			}
			holds := func(want int64) {
				t.Helper()
				eventually(t, func() error {
					if s := w.stats(t); s.Holds != want {
						return fmt.Errorf("%s: %d requests are held, want %d", name, s.Holds, want)
					}
					return nil
				})
			}
			holds(each)
			cancel()
			for range each {
				if err := <-errs; err == nil {
					t.Errorf("%s: a request that was cancelled has succeeded", name)
				}
			}
			holds(0)
		}
	})
}
