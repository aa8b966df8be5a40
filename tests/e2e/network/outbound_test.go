package network

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
)

// host is a web server on the host's side.
type host struct {
	*httptest.Server
	conns atomic.Int64 // that it has had
}

// serve starts one, with the same routes as the guest's for transfers.
func (w *world) serve(t testing.TB, start func(*httptest.Server)) *host {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello from outside\n") })
	mux.HandleFunc("GET /download", func(w http.ResponseWriter, r *http.Request) {
		var n int64
		fmt.Sscan(r.FormValue("bytes"), &n)
		io.Copy(w, contract.Bytes(n, 11))
	})
	mux.HandleFunc("POST /upload", func(w http.ResponseWriter, r *http.Request) {
		sum := contract.NewSummer()
		if _, err := io.Copy(sum, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(sum.Sum())
	})
	h := &host{Server: httptest.NewUnstartedServer(mux)}
	h.Listener.Close()
	h.Listener = w.listen(t)
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			h.conns.Add(1)
		}
	}
	start(h.Server)
	t.Cleanup(h.Close)
	return h
}

func (w *world) fetch(t testing.TB, f contract.Fetch) (got contract.Fetched) {
	t.Helper()
	f.Times, f.Parallel = max(f.Times, 1), max(f.Parallel, 1)
	w.post(t, "/fetch", f, &got)
	if got.Fault != nil || got.Done != f.Times {
		t.Errorf("%s: %d of %d requests have succeeded: %+v", f.URL, got.Done, f.Times, got.Fault)
	}
	return got
}

// TestFetch has the guest make requests to a server outside, over connections that it keeps.
func TestFetch(t *testing.T) {
	const parallel = 8
	times := sample(500, 20_000)
	in(t, all, options{}, func(t *testing.T, w *world) {
		h := w.serve(t, (*httptest.Server).Start)
		url := "http://" + w.at(h.Listener.Addr())
		got := w.fetch(t, contract.Fetch{URL: url + "/hello", Times: times, Parallel: parallel})
		if got.Text != "hello from outside\n" || got.Proto != "HTTP/1.1" {
			t.Errorf("got %+v", got)
		}
		if n := h.conns.Load(); n > parallel {
			t.Errorf("the guest has made %d connections for %d at a time", n, parallel)
		}
		size := int64(10 * megabyte)
		if got := w.fetch(t, contract.Fetch{URL: fmt.Sprintf("%s/download?bytes=%d", url, size)}); got.Body != contract.SumOf(size, 11) {
			t.Errorf("download: %+v", got)
		}
		got = w.fetch(t, contract.Fetch{URL: url + "/upload", Upload: size, Seed: 12})
		var sum contract.Sum
		if err := json.Unmarshal([]byte(got.Text), &sum); err != nil || sum != contract.SumOf(size, 12) {
			t.Errorf("upload: %+v, %v", got, err)
		}
	})
}

// TestFetchTLS has the guest check a server's certificate, over HTTP/2.
func TestFetchTLS(t *testing.T) {
	in(t, all, options{}, func(t *testing.T, w *world) {
		h := w.serve(t, func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.StartTLS()
		})
		roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}))
		// The certificate is for example.com and 127.0.0.1; the guest dials another name.
		got := w.fetch(t, contract.Fetch{
			URL: "https://" + w.at(h.Listener.Addr()) + "/hello", Roots: roots, ServerName: "example.com", Times: 50, Parallel: 8,
		})
		if got.Text != "hello from outside\n" || got.Proto != "HTTP/2.0" {
			t.Errorf("got %+v", got)
		}
		var refused contract.Fetched
		w.post(t, "/fetch", contract.Fetch{URL: "https://" + w.at(h.Listener.Addr()) + "/hello", Times: 1, Parallel: 1}, &refused)
		if refused.Fault == nil {
			t.Error("the guest takes a certificate it does not know")
		}
	})
}

// dialGuest has the guest dial.
func (w *world) dialGuest(t testing.TB, d contract.Dial) (got contract.Dialed) {
	t.Helper()
	d.Timeout = patience
	w.post(t, "/dial", d, &got)
	return got
}

// TestDial has the guest exchange messages with plain sockets outside.
func TestDial(t *testing.T) {
	in(t, all, options{}, func(t *testing.T, w *world) {
		l := w.listen(t)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { io.Copy(c, c); c.Close() }()
			}
		}()
		for range 20 {
			got := w.dialGuest(t, contract.Dial{Network: "tcp", Address: w.at(l.Addr()), Send: "over TCP"})
			if got.Fault != nil || got.Received != "over TCP" {
				t.Errorf("tcp: %+v, %+v", got, got.Fault)
			}
		}
		if w.listenPacketAt == nil {
			return
		}
		packets := w.listenPacket(t)
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := packets.ReadFrom(buf)
				if err != nil {
					return
				}
				packets.WriteTo(buf[:n], from)
			}
		}()
		eventually(t, func() error { // datagrams may be lost
			got := w.dialGuest(t, contract.Dial{Network: "udp", Address: w.at(packets.LocalAddr()), Send: "over UDP"})
			if got.Fault != nil || got.Received != "over UDP" {
				return fmt.Errorf("udp: %+v, %+v", got, got.Fault)
			}
			return nil
		})
	})
}

// soon is much longer than a refusal takes, and shorter than any retransmission that would be repeated.
const soon = 10 * time.Second

// TestRefused dials ports where nobody listens, in both directions. The answer is a refusal, and it comes at once.
func TestRefused(t *testing.T) {
	in(t, all, options{}, func(t *testing.T, w *world) {
		l := w.listen(t)
		address := w.at(l.Addr())
		l.Close()
		for range 5 {
			got := w.dialGuest(t, contract.Dial{Network: "tcp", Address: address})
			if got.Fault == nil || got.Fault.Errno != syscall.ECONNREFUSED || got.Elapsed > soon {
				t.Errorf("from the guest: %+v, %+v", got, got.Fault)
			}
			begin := time.Now()
			if err := w.dialClosed(); err == nil || time.Since(begin) > soon {
				t.Errorf("to the guest: %v after %v", err, time.Since(begin))
			}
		}
	})
}

// dialClosed returns what a client gets that connects to a closed port of the guest: an error in the end. Over the user
// network the host's port is open, so the client is connected for a moment.
func (w *world) dialClosed() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := w.dial(ctx, "tcp", contract.PortClosed)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	_, err = c.Read(make([]byte, 1))
	return err
}

// TestRefusedDatagrams sends datagrams to where nobody is; those who can be told are told.
func TestRefusedDatagrams(t *testing.T) {
	in(t, fast, options{}, func(t *testing.T, w *world) {
		c := w.listenPacket(t)
		address := w.at(c.LocalAddr())
		c.Close()
		got := w.dialGuest(t, contract.Dial{Network: "udp", Address: address, Send: "anyone?"})
		if got.Fault == nil || got.Fault.Errno != syscall.ECONNREFUSED || got.Elapsed > soon {
			t.Errorf("from the guest: %+v, %+v", got, got.Fault)
		}
		if w.name != overTAP.name {
			return // a published port cannot refuse datagrams: the host's socket is there
		}
		out, err := w.dial(t.Context(), "udp", contract.PortClosed)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		out.SetDeadline(time.Now().Add(soon))
		out.Write([]byte("anyone?"))
		if _, err := out.Read(make([]byte, 10)); !isErrno(err, syscall.ECONNREFUSED) {
			t.Errorf("to the guest: %v", err)
		}
	})
}

// TestManyDials has the guest hold many connections to the outside at once.
func TestManyDials(t *testing.T) {
	const parallel = 500
	in(t, fast, options{}, func(t *testing.T, w *world) {
		h := w.serve(t, (*httptest.Server).Start)
		url := "http://" + w.at(h.Listener.Addr())
		w.fetch(t, contract.Fetch{URL: url + "/hello", Times: 2 * parallel, Parallel: parallel})
		before := w.rest(t)
		w.fetch(t, contract.Fetch{URL: url + "/hello", Times: 4 * parallel, Parallel: parallel})
		h.CloseClientConnections()
		w.backTo(t, before)
	})
}
