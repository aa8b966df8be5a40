package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// netLoadEnv makes this command the load generator of the net bench: kind, address, seconds.
const netLoadEnv = "UKVM_BENCH_NETLOAD"

// netLoads are the kinds of load: each puts one on addr for d and returns its value.
var netLoads = map[string]func(addr string, d time.Duration) (float64, error){
	"send": sendBulk, "receive": receiveBulk, "echo": echoes, "connections": connections,
	"p50":    func(addr string, d time.Duration) (float64, error) { return latency(addr, d, 0.50) },
	"p99":    func(addr string, d time.Duration) (float64, error) { return latency(addr, d, 0.99) },
	"100/s":  func(addr string, d time.Duration) (float64, error) { return paced(addr, d, 10*time.Millisecond) },
	"2/s":    func(addr string, d time.Duration) (float64, error) { return paced(addr, d, 500*time.Millisecond) },
	"2000/s": func(addr string, d time.Duration) (float64, error) { return paced(addr, d, time.Second/latencyRate) },
}

func netLoadMain(words string) error {
	var kind, addr string
	var seconds float64
	if _, err := fmt.Sscanf(words, "%s %s %f", &kind, &addr, &seconds); err != nil {
		return err
	}
	f := netLoads[kind]
	if f == nil {
		return fmt.Errorf("no load %q", kind)
	}
	v, err := f(addr, time.Duration(seconds*float64(time.Second)))
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	_, err = fmt.Printf("%g\n", v)
	return err
}

// netLoad runs a load in a process of its own on the load's processor.
func netLoad(kind, addr string, d time.Duration) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	words := strings.Join([]string{kind, addr, strconv.FormatFloat(d.Seconds(), 'f', 3, 64)}, " ")
	return number(loadCPU, []string{netLoadEnv + "=" + words, "GOMAXPROCS=1"}, self)
}

const bulkChunk = 128 << 10

// sendBulk sends for d over one connection and returns Gbit/s as the receiver has counted.
func sendBulk(addr string, d time.Duration) (float64, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	b := make([]byte, bulkChunk)
	begin := time.Now()
	sent := uint64(0)
	for time.Since(begin) < d {
		n, err := c.Write(b)
		sent += uint64(n)
		if err != nil {
			return 0, err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	var count [8]byte
	if _, err := io.ReadFull(c, count[:]); err != nil {
		return 0, err
	}
	if got := binary.BigEndian.Uint64(count[:]); got != sent {
		return 0, fmt.Errorf("%d bytes sent, %d arrived", sent, got)
	}
	return gigabits(sent, time.Since(begin)), nil
}

// receiveBulk receives for d over one connection and returns Gbit/s.
func receiveBulk(addr string, d time.Duration) (float64, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	b := make([]byte, bulkChunk)
	begin := time.Now()
	got := uint64(0)
	for time.Since(begin) < d {
		n, err := c.Read(b)
		got += uint64(n)
		if err != nil {
			return 0, err
		}
	}
	return gigabits(got, time.Since(begin)), nil
}

func gigabits(bytes uint64, d time.Duration) float64 { return float64(bytes) * 8 / 1e9 / d.Seconds() }

// echoes keeps some datagrams on their way to a server that sends them back, and returns how many came back a second.
// One that is lost is replaced when nothing has come for a while.
func echoes(addr string, d time.Duration) (float64, error) {
	const (
		inFlight = 32
		patience = 20 * time.Millisecond
	)
	c, err := net.Dial("udp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	b := make([]byte, 64)
	begin := time.Now()
	got, missing := 0, inFlight
	for time.Since(begin) < d {
		for ; missing > 0; missing-- {
			if _, err := c.Write(b); err != nil {
				return 0, err
			}
		}
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return 0, err
		}
		_, err := c.Read(b)
		switch {
		case err == nil:
			got++
			missing = 1
		case errors.Is(err, os.ErrDeadlineExceeded):
			missing = inFlight
		default:
			return 0, err
		}
	}
	if got == 0 {
		return 0, errors.New("no datagram came back")
	}
	return float64(got) / time.Since(begin).Seconds(), nil
}

// connections asks over a new connection each time, conns at once, and returns how many answers came a second. The server
// closes each.
func connections(addr string, d time.Duration) (float64, error) {
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, conns)
	begin := time.Now()
	for range conns {
		wg.Go(func() {
			for time.Since(begin) < d {
				if err := askOnce(addr); err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	close(errs)
	return float64(done.Load()) / elapsed.Seconds(), <-errs
}

// askOnce makes a request over a connection of its own, and waits for its end.
func askOnce(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "GET /hello/bench HTTP/1.1\r\nHost: "+addr+"\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	if err := answer(r); err != nil {
		return err
	}
	if b, err := r.ReadByte(); err != io.EOF {
		return fmt.Errorf("after the answer to Connection: close there is %q, %v; not the end", b, err)
	}
	return nil
}

// latencyRate is the fixed rate at which latency is measured, in requests a second.
const latencyRate = 2000

// latency asks at a fixed rate over one connection and returns a quantile of the times in µs. A time counts from when the
// request was due, so that a server which stops for a while is not asked less. The wait for that is a loop: timers are
// coarser than what is measured.
func latency(addr string, d time.Duration, quantile float64) (float64, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	request := []byte("GET /hello/bench HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
	r := bufio.NewReader(c)
	var times []float64
	due := time.Now()
	for end := due.Add(d); due.Before(end); due = due.Add(time.Second / latencyRate) {
		for time.Now().Before(due) {
		}
		if _, err := c.Write(request); err != nil {
			return 0, err
		}
		if err := answer(r); err != nil {
			return 0, err
		}
		times = append(times, float64(time.Since(due))/float64(time.Microsecond))
	}
	if len(times) == 0 {
		return 0, errors.New("no time for a request")
	}
	slices.Sort(times)
	return times[int(quantile*float64(len(times)-1))], nil
}

// paced asks at a fixed rate over one connection and returns how many answers there were. It sleeps in between.
func paced(addr string, d, every time.Duration) (float64, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	request := []byte("GET /hello/bench HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
	r := bufio.NewReader(c)
	n := 0
	due := time.Now()
	for end := due.Add(d); due.Before(end); due = due.Add(every) {
		time.Sleep(time.Until(due))
		if _, err := c.Write(request); err != nil {
			return 0, err
		}
		if err := answer(r); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n), nil
}
