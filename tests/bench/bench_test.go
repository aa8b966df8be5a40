package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/internal/kvmtest"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 3, 100, 1}, 3.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

func TestAlternate(t *testing.T) {
	var order strings.Builder
	contender := func(name string, v float64) func() (float64, error) {
		return func() (float64, error) {
			order.WriteString(name)
			v++
			return v, nil
		}
	}
	got, err := alternate(2, contender("a", 0), contender("b", 10))
	if err != nil || order.String() != "ababab" || len(got) != 2 || got[0][0] != 2 || got[1][1] != 13 {
		t.Errorf("%v, %v in the order %s", got, err, &order)
	}
}

func TestAnswer(t *testing.T) {
	for text, ok := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab":       true,
		"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nX: y\r\n\r\n": true,
		"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n":       false,
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab":       false,
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n":         false,
		"HTTP/1.1 200 OK\r\n\r\n":                              false,
		"":                                                     false,
	} {
		if err := answer(bufio.NewReader(strings.NewReader(text))); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAsk(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Write([]byte(r.URL.Path))
	}))
	defer s.Close()
	n, err := ask(s.Listener.Addr().(*net.TCPAddr).String(), time.Now().Add(20*time.Millisecond))
	if err != nil || n == 0 || int(n) != asked {
		t.Errorf("%d requests of %d, %v", n, asked, err)
	}
}

// TestNetLoads puts each load of the net bench on a server here, which must have seen it.
func TestNetLoads(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello")) }))
	defer web.Close()
	tcp := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					serve(c)
				}()
			}
		}()
		return l.Addr().String()
	}
	count := func(wrong uint64) string {
		return tcp(func(c net.Conn) {
			n, _ := io.Copy(io.Discard, c)
			c.Write(binary.BigEndian.AppendUint64(nil, uint64(n)+wrong))
		})
	}
	kept := tcp(func(c net.Conn) { // the answer is fine, but is not the last
		c.Read(make([]byte, 1000))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc")
	})
	source := tcp(func(c net.Conn) {
		for b := make([]byte, 1<<16); ; {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	})
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	go func() {
		for b := make([]byte, 100); ; {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			u.WriteTo(b[:n], from)
		}
	}()
	for _, c := range []struct {
		kind, addr string
		ok         bool
	}{
		{"send", count(0), true}, {"send", count(1), false}, {"receive", source, true},
		{"receive", tcp(func(net.Conn) {}), false}, {"echo", u.LocalAddr().String(), true},
		{"connections", web.Listener.Addr().String(), true}, {"connections", kept, false},
		{"p50", web.Listener.Addr().String(), true}, {"p99", web.Listener.Addr().String(), true},
		{"100/s", web.Listener.Addr().String(), true}, {"2000/s", web.Listener.Addr().String(), true},
	} {
		v, err := netLoads[c.kind](c.addr, 50*time.Millisecond)
		if (err == nil) != c.ok || c.ok && v <= 0 {
			t.Errorf("%s: %v, %v", c.kind, v, err)
		}
	}
}

// TestOtherServers starts those that are installed, asks each for its page, and ends it.
func TestOtherServers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the net bench needs root, and these are set up for that")
	}
	for _, o := range otherServers {
		path, err := exec.LookPath(o.command)
		if err != nil {
			t.Logf("%s is not installed", o.name)
			continue
		}
		// In a namespace, where the ports are free.
		if err := inNamespace(func() error {
			dir, err := os.MkdirTemp("", "ukvm-bench-") // for others to read: not the test's
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			words, err := o.words(dir, path)
			if err != nil {
				return err
			}
			s, err := serve(nil, words...)
			if err != nil {
				return err
			}
			addr := "127.0.0.1:" + o.port
			err = answers(addr)
			if err == nil {
				_, err = ask(addr, time.Now().Add(20*time.Millisecond))
			}
			return errors.Join(err, s.stop())
		}); err != nil {
			t.Errorf("%s: %v", o.name, err)
		}
	}
}

// TestGVisor asks a program in a gVisor sandbox, twice, and ends it.
func TestGVisor(t *testing.T) {
	runsc, err := exec.LookPath("runsc")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("runsc is not installed, or this is not root")
	}
	dir := t.TempDir()
	image := filepath.Join(dir, "netguest")
	if out, err := exec.Command("go", "build", "-o", image, "./netguest").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := gvisorContender(runsc, dir, image)
	for range 2 {
		if err := inNamespace(func() error {
			s, err := c.run()
			if err != nil {
				return err
			}
			if err = answers(c.host + ":" + c.http); err == nil {
				_, err = ask(c.host+":"+c.http, time.Now().Add(20*time.Millisecond))
			}
			return errors.Join(err, s.stop())
		}); err != nil {
			t.Error(err)
		}
	}
}

// TestProcessorTime: what a child uses counts.
func TestProcessorTime(t *testing.T) {
	idle := exec.Command("sh", "-c", "(while :; do :; done) & echo $!; wait")
	out, err := idle.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := idle.Start(); err != nil {
		t.Fatal(err)
	}
	var busy int
	_, err = fmt.Fscan(out, &busy)
	defer func() {
		if busy > 0 {
			syscall.Kill(busy, syscall.SIGKILL) // and the shell ends
		}
		idle.Wait()
	}()
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		d, err := processorTime(idle.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if d >= 100*time.Millisecond {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v in 20 s", d)
		}
	}
}

// TestRun runs the shortest bench as a user does.
func TestRun(t *testing.T) {
	kvmtest.Require(t)
	if testing.Short() {
		t.Skip("builds ukvm and an image")
	}
	var out bytes.Buffer
	if err := run(1, true, []string{"hello"}, &out); err != nil {
		t.Fatal(err)
	}
	var first row
	if err := json.NewDecoder(&out).Decode(&first); err != nil {
		t.Fatal(err)
	}
	if first.Bench != "hello" || first.Contender != "ukvm" || first.Peer != "native" || first.Unit != "ms" ||
		first.Value <= 0 || first.Ratio <= 0 || first.N != 5 {
		t.Errorf("%+v", first)
	}
	for _, c := range []struct {
		n     int
		names []string
	}{{1, []string{"hallo"}}, {0, nil}} {
		if err := run(c.n, true, c.names, &out); err == nil {
			t.Errorf("%d runs of %q went well", c.n, c.names)
		}
	}
}
