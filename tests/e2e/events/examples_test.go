package events

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// TestTCP echoes more than all buffers hold, over several connections at once; and the client, in a guest of its own,
// talks to a server here.
func TestTCP(t *testing.T) {
	p, addr := serve(t, "tcp", "7")
	want := pattern(4 << 20)
	var wg sync.WaitGroup
	for i := range 4 {
		c := dial(t, "tcp", addr)
		wg.Go(func() {
			mine := want[i*1000:]
			go func() {
				c.Write(mine)
				c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, mine) {
				t.Errorf("%d bytes of %d, or others: %v", len(got), len(mine), err)
			}
		})
	}
	wg.Wait()
	p.Await(fmt.Sprintf("%d bytes, closed", len(want)))

	// A peer that goes away, and one that stays when the server ends.
	c := dial(t, "tcp", addr).(*net.TCPConn)
	fmt.Fprint(c, "x")
	c.SetLinger(0)
	io.ReadFull(c, make([]byte, 1))
	c.Close()
	stays := dial(t, "tcp", addr)
	fmt.Fprint(stays, "y")
	io.ReadFull(stays, make([]byte, 1))
	p.Await("1 bytes, ")
	end(t, p)
	if _, err := stays.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) && err != io.EOF {
		t.Errorf("the connection that stayed: %v", err)
	}
}

// TestTCPClient runs the client in a guest, and natively.
func TestTCPClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	image := ukvmtest.Image(t, "examples/tcp")
	port := l.Addr().(*net.TCPAddr).Port
	text := string(pattern(1 << 20))
	r := ukvmtest.Run(t, ukvmtest.Cmd{
		Args:  []string{"run", "-i", "--host-loopback", image, "--", fmt.Sprintf("host.ukvm.internal:%d", port)},
		Stdin: strings.NewReader(text),
	})
	if r.Code != 0 || r.Stdout != text || r.Stderr != "" {
		t.Errorf("in a guest: code %d, %d bytes, standard error:\n%s", r.Code, len(r.Stdout), r.Stderr)
	}
	native := exec.Command(image, l.Addr().String())
	native.Stdin = strings.NewReader(text)
	if out, err := native.CombinedOutput(); err != nil || string(out) != text {
		t.Errorf("natively: %v, %d bytes", err, len(out))
	}
	l.Close()
	r = ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"run", "--host-loopback", image, "--", fmt.Sprintf("host.ukvm.internal:%d", port)}})
	if r.Code != 1 || !strings.Contains(r.Stderr, "connect to ") || !strings.Contains(r.Stderr, "refused") {
		t.Errorf("nobody listens: %+v", r)
	}
}

// TestUDP echoes datagrams of all sizes.
func TestUDP(t *testing.T) {
	p, addr := serve(t, "udp", "7/udp")
	c := dial(t, "udp", addr)
	buf := make([]byte, 1<<16)
	for _, size := range []int{1, 0, 100, 1400, 1472} {
		want := pattern(size)
		if _, err := c.Write(want); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("%d bytes of %d, or others: %v", n, size, err)
		}
	}
	p.Await("0 of them not answered")
	end(t, p)
}

// TestHTTP has net/http ask the server in a guest, and natively; examples/events has the tests of how it deals with
// what is not as it should be.
func TestHTTP(t *testing.T) {
	ask := func(t *testing.T, addr string) {
		client := &http.Client{Timeout: patience}
		defer client.CloseIdleConnections()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					r, err := client.Get("http://" + addr + "/")
					if err != nil {
						t.Error(err)
						return
					}
					b, err := io.ReadAll(r.Body)
					r.Body.Close()
					if r.StatusCode != 200 || !strings.HasPrefix(string(b), "Hello") || err != nil {
						t.Errorf("%s, %q, %v", r.Status, b, err)
					}
				}
			})
		}
		wg.Wait()
		c := dial(t, "tcp", addr)
		fmt.Fprint(c, "nonsense\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || r.StatusCode != 400 || !r.Close {
			t.Errorf("nonsense: %+v, %v", r, err)
		}
	}
	t.Run("guest", func(t *testing.T) {
		p, addr := serve(t, "events", "8080", "-m", "16M")
		ask(t, addr)
		end(t, p)
	})
	t.Run("natively", func(t *testing.T) {
		port := freePort(t)
		cmd := exec.Command(ukvmtest.Image(t, "examples/events"))
		cmd.Env = append(cmd.Environ(), "PORT="+port)
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stderr).ReadString('\n'); line != "listening on port "+port+"\n" {
			t.Errorf("it says %q, %v", line, err)
		}
		ask(t, "127.0.0.1:"+port)
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}
