package network

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestManyConnections has 1000 clients under way at once, in the default memory, and more requests beside them.
func TestManyConnections(t *testing.T) {
	const count = 1000
	in(t, fast, options{}, func(t *testing.T, w *world) {
		w.hold(t, count) // tables grow
		before := w.rest(t)
		s := w.hold(t, count)
		ukvmtest.Figure(t, "network/"+w.name+"/heap of 1000 connections", float64(s.Heap-before.guest.Heap)/(1<<20), "MiB")
		w.backTo(t, before)
	})
}

// hold has count requests wait at once, and returns what the guest said of itself meanwhile.
func (w *world) hold(t testing.TB, count int) contract.Stats {
	held := make(chan struct{}, count)
	errs := make(chan error, count)
	for range count {
		go func() { errs <- w.waitHeld(held) }()
	}
	for range count {
		select {
		case <-held:
		case err := <-errs:
			t.Fatal(err)
		}
	}
	s := w.stats(t)
	if s.Holds != int64(count) || s.Conns < int64(count) {
		t.Errorf("the guest has %d requests and %d connections, want %d", s.Holds, s.Conns, count)
	}
	var hello []byte
	if w.get(t, "/hello", &hello); string(hello) != "hello\n" {
		t.Errorf("beside them: %q", hello)
	}
	w.post(t, "/release", nil, nil)
	for range count {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	return s
}

// waitHeld makes a request that is held, says so, and waits until it is released.
func (w *world) waitHeld(held chan<- struct{}) error {
	response, err := w.client.Get("http://guest/hold")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	if line, err := lines.ReadString('\n'); line != "held\n" {
		return fmt.Errorf("request to be held: %q, %v", line, err)
	}
	held <- struct{}{}
	rest, err := io.ReadAll(lines)
	if string(rest) != "released\n" || err != nil {
		return fmt.Errorf("request that is released: %q, %v", rest, err)
	}
	return nil
}

// TestRequests makes requests over connections that are kept, and none may fail.
func TestRequests(t *testing.T) {
	const clients = 32
	total := sample(10_000, 100_000)
	rounds := sample(1, 3)
	in(t, fast, options{}, func(t *testing.T, w *world) {
		w.get(t, "/hello", nil)
		before := w.rest(t)
		for range rounds {
			begin := time.Now()
			w.requests(t, clients, total)
			ukvmtest.Figure(t, "network/"+w.name+"/requests", float64(total)/time.Since(begin).Seconds(), "1/s")
		}
		s := w.stats(t)
		if got := s.Requests - before.guest.Requests; got != uint64(rounds*total) {
			t.Errorf("the guest has seen %d requests, want %d", got, rounds*total)
		}
		w.backTo(t, before)
	})
}

// requests makes numbered requests, total of them in all, from several clients, and checks each answer.
func (w *world) requests(t testing.TB, clients, total int) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(total) {
					return
				}
				var answer []byte
				err := w.request(w.client, http.MethodGet, fmt.Sprintf("/number/%d", n), nil, &answer)
				if err != nil || string(answer) != fmt.Sprint(n) {
					t.Errorf("request %d: %q, %v", n, answer, err)
					next.Store(int64(total)) // one is enough
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestChurn makes short connections, which one side or the other ends, and nothing may be left of them.
func TestChurn(t *testing.T) {
	total := sample(2000, 20_000)
	in(t, fast, options{}, func(t *testing.T, w *world) {
		w.churn(t, total) // tables grow, that of connections in TIME-WAIT to its limit if there are enough
		before := w.rest(t)
		begin := time.Now()
		w.churn(t, total)
		ukvmtest.Figure(t, "network/"+w.name+"/connections", float64(total)/time.Since(begin).Seconds(), "1/s")
		w.backTo(t, before)
	})
}

func (w *world) churn(t testing.TB, total int) {
	t.Helper()
	const clients = 16
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(total); n = next.Add(1) {
				if err := w.short(int(n)); err != nil {
					t.Errorf("connection %d: %v", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// short makes a connection, exchanges something and ends it: the guest ends the even ones, the client the odd ones.
func (w *world) short(n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	port, message := contract.PortEcho, fmt.Sprintf("message %d\n", n)
	if n%2 == 0 {
		port, message = contract.PortWeb, "GET /hello HTTP/1.0\r\n\r\n"
	}
	c, err := w.dial(ctx, "tcp", port)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, message); err != nil {
		return err
	}
	if n%2 == 0 {
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasSuffix(string(answer), "\r\n\r\nhello\n") {
			return fmt.Errorf("answer %q, %v", answer, err)
		}
		return nil
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || line != message {
		return fmt.Errorf("echo of %q: %q, %v", message, line, err)
	}
	return nil
}

// TestPipelining sends many requests before it reads the first answer.
func TestPipelining(t *testing.T) {
	const count = 500
	in(t, all, options{}, func(t *testing.T, w *world) {
		c := w.connect(t, contract.PortWeb)
		sent := make(chan error, 1)
		go func() {
			var all strings.Builder
			for n := range count {
				fmt.Fprintf(&all, "GET /number/%d HTTP/1.1\r\nHost: guest\r\n\r\n", n)
			}
			_, err := io.WriteString(c, all.String())
			sent <- err
		}()
		answers := bufio.NewReader(c)
		for n := range count {
			response, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("answer %d: %v", n, err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || string(body) != fmt.Sprint(n) {
				t.Fatalf("answer %d: %q, %v", n, body, err)
			}
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
}
