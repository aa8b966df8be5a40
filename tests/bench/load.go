package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// loadEnv makes this command the load generator: the address, the number of connections, the time.
const loadEnv = "UKVM_BENCH_LOAD"

// loadMain is the process that puts a load on an HTTP server: each connection asks for / again and again. It prints
// requests a second. All answers must be 200 and, but for their dates, of the same size.
func loadMain(words string) error {
	var addr string
	var conns int
	var seconds float64
	if _, err := fmt.Sscanf(words, "%s %d %f", &addr, &conns, &seconds); err != nil {
		return err
	}
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, conns)
	begin := time.Now()
	end := begin.Add(time.Duration(seconds * float64(time.Second)))
	for range conns {
		wg.Go(func() {
			n, err := ask(addr, end)
			done.Add(n)
			if err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	close(errs)
	if err := <-errs; err != nil {
		return err
	}
	_, err := fmt.Printf("%.0f\n", float64(done.Load())/elapsed.Seconds())
	return err
}

// ask makes requests over one connection until end.
func ask(addr string, end time.Time) (n int64, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer func() { c.Close() }()
	request := []byte("GET /hello/bench HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
	r := bufio.NewReader(c)
	for time.Now().Before(end) {
		if _, err := c.Write(request); err != nil {
			return n, err
		}
		switch err := answer(r); {
		case err == errEnded:
			// Apache closes kept connections when all its workers are busy (event MPM).
			c.Close()
			if c, err = net.Dial("tcp", addr); err != nil {
				return n, err
			}
			r.Reset(c)
			continue
		case err != nil:
			return n, err
		}
		n++
	}
	return n, nil
}

// errEnded says that the server has closed the connection instead of answering.
var errEnded = errors.New("closed between two answers")

// answer reads a response with a Content-Length.
func answer(r *bufio.Reader) error {
	length := -1
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if first && len(line) == 0 && (err == io.EOF || errors.Is(err, unix.ECONNRESET)) {
			return errEnded
		}
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first && !bytes.Equal(line, []byte("HTTP/1.1 200 OK")) {
			return fmt.Errorf("the answer is %q", line)
		}
		if len(line) == 0 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("an answer without Content-Length")
	}
	_, err := io.CopyN(io.Discard, r, int64(length))
	return err
}

// load runs the load generator on its processor and returns requests a second.
func load(addr string, conns int, d time.Duration) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	words := strings.Join([]string{addr, strconv.Itoa(conns), strconv.FormatFloat(d.Seconds(), 'f', 3, 64)}, " ")
	return number(loadCPU, []string{loadEnv + "=" + words, "GOMAXPROCS=1"}, self)
}
