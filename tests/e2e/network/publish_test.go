package network

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestPublish publishes ports in all forms: with an address of either family, with a port of choice or any that is free,
// for TCP and UDP, several for one port of the guest.
func TestPublish(t *testing.T) {
	path := image(t)
	fixed := freePort(t)
	p := ukvmtest.Start(t, ukvmtest.Cmd{Timeout: time.Hour, Args: []string{
		"run", "-p", "127.0.0.2:0:80", "-p", "[::1]:0:80", "-p", fmt.Sprintf("127.0.0.1:%d:80", fixed), "-p", "0:80",
		"-p", "[::1]:0:7/udp", path,
	}})
	p.Await("ready\n")
	chosen := regexp.MustCompile(`ukvm: port (80|7) of the guest is port (\d+) here \(-p (.*)\)\n`)
	ports := map[string]string{}
	eventually(t, func() error {
		for _, m := range chosen.FindAllStringSubmatch(p.Stderr(), -1) {
			ports[m[3]] = m[2]
		}
		if len(ports) != 4 {
			return fmt.Errorf("4 ports were to be chosen, ukvm says %q", p.Stderr())
		}
		return nil
	})
	for _, address := range []string{
		"127.0.0.2:" + ports["127.0.0.2:0:80"], "[::1]:" + ports["[::1]:0:80"], fmt.Sprintf("127.0.0.1:%d", fixed),
		"127.0.0.1:" + ports["0:80"], "[::1]:" + ports["0:80"], "127.0.0.3:" + ports["0:80"],
	} {
		if answer, err := hello(address); answer != "hello\n" || err != nil {
			t.Errorf("%s: %q, %v", address, answer, err)
		}
	}
	for _, address := range []string{
		"127.0.0.1:" + ports["127.0.0.2:0:80"], "127.0.0.1:" + ports["[::1]:0:80"], fmt.Sprintf("127.0.0.2:%d", fixed),
	} {
		if c, err := net.Dial("tcp", address); !isErrno(err, syscall.ECONNREFUSED) {
			t.Errorf("%s, which is not published: %v", address, err)
			if err == nil {
				c.Close()
			}
		}
	}
	c, err := net.Dial("udp", "[::1]:"+ports["[::1]:0:7/udp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := exchangeDatagram(c, []byte("over IPv6"), make([]byte, 100)); err != nil {
		t.Errorf("datagram: %v", err)
	}
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 {
		t.Errorf("%+v", r)
	}
	if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", fixed)); !isErrno(err, syscall.ECONNREFUSED) {
		t.Errorf("after the guest's end: %v", err)
		if err == nil {
			c.Close()
		}
	}
}

// hello makes a request of its own and returns the answer's body.
func hello(address string) (string, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "GET /hello HTTP/1.0\r\n\r\n")
	answer, err := io.ReadAll(c)
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	return body, err
}

// freePort is a port of the host's loopback that is free now.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestBusyPort asks for a port that is taken.
func TestBusyPort(t *testing.T) {
	path := image(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	open(t, l, err)
	r := ukvmtest.Ukvm(t, "run", "-p", l.Addr().String()+":80", path)
	if r.Code != 125 || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, "in use") || r.Stdout != "" {
		t.Errorf("%+v", r)
	}
}

// TestBeforeReady connects to a published port whose server is not there: the client gets a reset at once, so that it
// can try again, and is served as soon as there is one.
func TestBeforeReady(t *testing.T) {
	path := image(t)
	port := freePort(t)
	p := ukvmtest.Start(t, ukvmtest.Cmd{Timeout: time.Hour, Args: []string{"run", "-p", fmt.Sprintf("127.0.0.1:%d:80", port), path}})
	eventually(t, func() error {
		begin := time.Now()
		answer, err := hello(fmt.Sprintf("127.0.0.1:%d", port))
		if took := time.Since(begin); took > soon {
			t.Errorf("an attempt took %v: %q, %v", took, answer, err)
		}
		if err == nil && answer != "hello\n" {
			err = fmt.Errorf("answer %q", answer)
		}
		return err
	})
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 {
		t.Errorf("%+v", r)
	}
}

// TestHostIsClosed has a guest that was not given the host's loopback look for a server there. None of its addresses
// leads to it, and the answers come at once.
func TestHostIsClosed(t *testing.T) {
	packets, streams, names := listenNames(t)
	serveNames(t, packets, streams)
	w := newWorld(t, overUser, options{flags: []string{"--dns", names, "--host-loopback=false"}})
	var reached atomic.Bool
	l := w.listen(t)
	go func() {
		if c, err := l.Accept(); err == nil {
			reached.Store(true)
			c.Close()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	for address, want := range map[string]syscall.Errno{
		"10.0.2.2":  syscall.ECONNREFUSED, // the router
		"10.0.2.3":  syscall.ECONNREFUSED,
		"10.0.2.4":  syscall.EHOSTUNREACH,
		"127.0.0.1": syscall.ECONNREFUSED, // the guest itself
		"127.0.0.2": syscall.ECONNREFUSED,
		"0.0.0.0":   syscall.ECONNREFUSED,
	} {
		got := w.dialGuest(t, contract.Dial{Network: "tcp", Address: fmt.Sprintf("%s:%d", address, port)})
		if got.Fault == nil || got.Fault.Errno != want || got.Elapsed > soon {
			t.Errorf("%s: %+v, %+v, want %v", address, got, got.Fault, want)
		}
	}
	var got contract.Looked
	w.get(t, "/lookup?kind=host&name=host.ukvm.internal", &got)
	if got.Fault == nil || !got.Fault.NotFound {
		t.Errorf("the host's name: %+v", got)
	}
	if reached.Load() {
		t.Error("the guest has reached the host's loopback")
	}
}

// TestFlowLimit makes more connections than the user network has room for: those beyond are refused, the others work,
// and there is room again when they are gone.
func TestFlowLimit(t *testing.T) {
	const limit, tooMany = 4096, 4196
	w := newWorld(t, overUser, options{memory: "256M"})
	w.get(t, "/hello", nil)
	before := w.rest(t)
	w.client.CloseIdleConnections()
	eventually(t, func() error { // the limit is for connections to whatever port
		if w.files(t) >= before.files {
			return fmt.Errorf("the connection for questions is still there")
		}
		return nil
	})
	for range 2 {
		var conns []net.Conn
		for range tooMany {
			c, err := w.dial(t.Context(), "tcp", contract.PortEcho)
			if err != nil {
				if !isErrno(err, syscall.ECONNRESET) {
					t.Fatal(err)
				}
				continue // the reset came before connect(2) was done
			}
			c.SetDeadline(time.Now().Add(patience))
			conns = append(conns, c)
		}
		var served atomic.Int64
		var wg sync.WaitGroup
		for _, c := range conns {
			wg.Go(func() {
				message := make([]byte, 8)
				if _, err := c.Write(message); err != nil {
					return
				}
				if _, err := io.ReadFull(c, message); err == nil {
					served.Add(1)
				}
			})
		}
		wg.Wait()
		if n := served.Load(); n != limit {
			t.Errorf("%d of %d connections are served, want %d", n, tooMany, limit)
		}
		for _, c := range conns {
			c.Close()
		}
		eventually(t, func() error {
			if n := w.files(t); n >= before.files {
				return fmt.Errorf("ukvm has %d descriptors", n)
			}
			return nil
		})
	}
	w.get(t, "/hello", nil)
}
