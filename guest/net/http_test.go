package net

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	stdnet "net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
)

// live is two hosts joined by goroutines, in real time or a synctest bubble, with package time's clock.
type live struct {
	a, b *host
	stop func()
}

func newLive(t testing.TB) *live {
	l := &live{}
	done := make(chan struct{})
	var running sync.WaitGroup
	attach := func(n byte, out, in chan []byte) *host {
		h := &host{Stack: New(Config{Memory: 256 << 20}), addr: netip.AddrFrom4([4]byte{10, 0, 0, n})}
		i, err := h.AddCard(Card{
			Name: "eth0", MAC: [6]byte{2, 0, 0, 0, 0, n}, MTU: 1500, Features: nic.Features{TxChecksum: true},
			Transmit: func(p *packet.Packet) bool {
				for _, f := range nettest.Frames(p) {
					select {
					case out <- f:
					default: // dropped
					}
				}
				p.Release()
				return true
			},
			Flush: func() {},
		})
		if err != nil {
			t.Fatal(err)
		}
		h.iface = i
		running.Add(1)
		go func() {
			defer running.Done()
			for {
				select {
				case f := <-in:
					p := h.Pool().Receive(packet.Small)
					p.Truncate(copy(p.Bytes(), f))
					i.Receive([]*packet.Packet{p})
				case <-done:
					return
				}
			}
		}()
		if err := i.Configure(hypercall.NetConfig{Addr: h.addr.As4(), Prefix: 24}); err != nil {
			t.Fatal(err)
		}
		return h
	}
	ab, ba := make(chan []byte, 1000), make(chan []byte, 1000)
	l.a, l.b = attach(1, ab, ba), attach(2, ba, ab)
	l.stop = func() { close(done); running.Wait() }
	return l
}

// certificate makes a certificate for a name, and the pool that trusts it.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		NotBefore: time.Now().Add(-time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestHTTP runs net/http's server and client on two stacks, plain and over TLS, with many connections at a time.
func TestHTTP(t *testing.T) {
	l := newLive(t)
	defer l.stop()
	cert, pool := certificate(t, "guest")
	for _, secure := range []bool{false, true} {
		port := uint16(80)
		scheme := "http"
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "%s %s %d ", r.Method, r.URL.Path, len(body))
			w.Write(body)
		})}
		var ln stdnet.Listener = l.b.listenOn(t, port)
		if secure {
			scheme = "https"
			ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}})
		}
		go server.Serve(ln)
		transport := &http.Transport{
			DialContext: func(_ context.Context, _, _ string) (stdnet.Conn, error) {
				return l.a.dial(netip.AddrPortFrom(l.b.addr, port))
			},
			TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "guest"}, MaxIdleConnsPerHost: 10,
		}
		client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for j := range 20 {
					body := bytes.Repeat([]byte{byte(i)}, (i*20+j)*500)
					resp, err := client.Post(fmt.Sprintf("%s://guest/%d/%d", scheme, i, j), "text/plain", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					want := append(fmt.Appendf(nil, "POST /%d/%d %d ", i, j, len(body)), body...)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d/%d: %d bytes, want %d: %v", i, j, len(got), len(want), err)
						return
					}
				}
			}()
		}
		wg.Wait()
		transport.CloseIdleConnections()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// TestSystemClock lets a stack run on package time's clock, in a bubble where that is virtual: retransmission, delayed
// ACKs and TIME-WAIT happen, and then nothing more does.
func TestSystemClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive(t)
		defer l.stop()
		ln := l.b.listenOn(t, 80)
		start := time.Now()
		if _, err := l.a.dial(netip.MustParseAddrPort("10.0.0.99:80")); err == nil || time.Since(start) < 2*time.Second {
			t.Errorf("a neighbour who is not there: %v after %v", err, time.Since(start))
		}
		c, err := l.a.dial(netip.AddrPortFrom(l.b.addr, 80))
		if err != nil {
			t.Fatal(err)
		}
		s, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(3 * time.Second))
		start = time.Now()
		if _, err := c.Read(make([]byte, 1)); err != os.ErrDeadlineExceeded || time.Since(start) != 3*time.Second {
			t.Errorf("deadline: %v after %v", err, time.Since(start))
		}
		c.SetReadDeadline(time.Time{})
		go func() {
			io.Copy(s, s)
			s.Close()
		}()
		want := bytes.Repeat([]byte("round and round "), 100_000)
		go func() {
			c.Write(want)
			c.CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
		}
		c.Close()
		ln.Close()
		time.Sleep(2 * time.Minute) // virtual
		for _, h := range []*host{l.a, l.b} {
			h.mu.Lock()
			if n := h.wheel.Len(); n != 0 || h.boxes.TCP.Conns() != 0 || h.boxes.TCP.Waiting() != 0 {
				t.Errorf("%v: %d timers, %d connections, %d in TIME-WAIT", h.addr, n, h.boxes.TCP.Conns(), h.boxes.TCP.Waiting())
			}
			h.mu.Unlock()
		}
	})
}

// TestLoopbackConcurrent has many goroutines use one stack at once.
func TestLoopbackConcurrent(t *testing.T) {
	h := &host{Stack: New(Config{}), addr: netip.MustParseAddr("127.0.0.1")}
	ln := h.listenOn(t, 80)
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 10 {
				c, err := h.dial(netip.AddrPortFrom(h.addr, 80))
				if err != nil {
					t.Error(err)
					return
				}
				want := bytes.Repeat([]byte{byte(i)}, 100_000)
				go func() {
					c.Write(want)
					c.CloseWrite()
				}()
				if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
				}
				c.Close()
			}
		}()
	}
	wg.Wait()
}
