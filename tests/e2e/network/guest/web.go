package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
)

// site is the servers' state.
type site struct {
	certificate []byte // PEM

	conns, holds, sockets atomic.Int64
	requests, floods      atomic.Uint64

	mu      sync.Mutex
	release chan struct{} // closed by POST /release; made anew by the next to wait
}

// count is http.Server.ConnState.
func (s *site) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

func (s *site) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.requests.Add(1)
			f(w, r)
		})
	}
	mux.HandleFunc("GET /stats", s.stats)
	handle("GET /hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") })
	handle("GET /number/{n}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("n")) })
	handle("GET /download", download)
	handle("POST /upload", upload)
	handle("GET /hold", s.hold)
	handle("POST /release", func(http.ResponseWriter, *http.Request) { s.releaseHolds() })
	handle("GET /events", events)
	handle("GET /header", header)
	handle("GET /file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, r.FormValue("path")) })
	handle("GET /addresses", addresses)
	handle("GET /certificate", func(w http.ResponseWriter, _ *http.Request) { w.Write(s.certificate) })
	handle("POST /fetch", answer(fetch))
	handle("POST /dial", answer(dial))
	handle("GET /lookup", lookup)
	return mux
}

// answer makes a handler of a function from one JSON value to another.
func answer[In, Out any](f func(In) Out) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply(w, f(in))
	}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (s *site) stats(w http.ResponseWriter, _ *http.Request) {
	runtime.GC() // the first only makes old what is in pools
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, contract.Stats{
		Goroutines: runtime.NumGoroutine(), Files: len(files), Heap: m.HeapAlloc,
		Conns: s.conns.Load(), Holds: s.holds.Load(), Sockets: s.sockets.Load(),
		Requests: s.requests.Load(), Floods: s.floods.Load(),
	})
}

// number is a form value.
func number(r *http.Request, name string) int64 {
	n, _ := strconv.ParseInt(r.FormValue(name), 10, 64)
	return n
}

// download sends Bytes. With patience=1s the client must take some in that time, again and again.
func download(w http.ResponseWriter, r *http.Request) {
	n := number(r, "bytes")
	patience, _ := time.ParseDuration(r.FormValue("patience"))
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	control := http.NewResponseController(w)
	body := contract.Bytes(n, uint64(number(r, "seed")))
	buf := make([]byte, 64<<10)
	for {
		k, err := body.Read(buf)
		if err != nil {
			return
		}
		if patience > 0 {
			control.SetWriteDeadline(time.Now().Add(patience))
		}
		if _, err := w.Write(buf[:k]); err != nil {
			return
		}
	}
}

// upload answers with the sum of what comes. With pause=1s it waits before it reads.
func upload(w http.ResponseWriter, r *http.Request) {
	pause, _ := time.ParseDuration(r.FormValue("pause"))
	time.Sleep(pause)
	sum := contract.NewSummer()
	if _, err := io.CopyBuffer(sum, r.Body, make([]byte, 64<<10)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, sum.Sum())
}

// hold says so and waits until all are released or the client goes.
func (s *site) hold(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.release == nil {
		s.release = make(chan struct{})
	}
	release := s.release
	s.mu.Unlock()
	s.holds.Add(1)
	defer s.holds.Add(-1)
	io.WriteString(w, "held\n")
	http.NewResponseController(w).Flush()
	select {
	case <-release:
		io.WriteString(w, "released\n")
	case <-r.Context().Done():
	}
}

func (s *site) releaseHolds() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.release != nil {
		close(s.release)
		s.release = nil
	}
}

// events are server-sent events: count of them, each interval.
func events(w http.ResponseWriter, r *http.Request) {
	interval, _ := time.ParseDuration(r.FormValue("interval"))
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for i := range number(r, "count") {
		fmt.Fprintf(w, "id: %d\ndata: event %d\n\n", i, i)
		if control.Flush() != nil {
			return
		}
		select {
		case <-time.After(interval):
		case <-r.Context().Done():
			return
		}
	}
}

func header(w http.ResponseWriter, r *http.Request) {
	h := contract.Header{Proto: r.Proto, Client: r.RemoteAddr}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-") {
			h.Fields++
			h.Bytes += len(values[0])
		}
	}
	reply(w, h)
}

// addresses are the guest's, as package net finds them.
func addresses(w http.ResponseWriter, _ *http.Request) {
	interfaces, err := net.Interfaces()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	found := map[string][]string{}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for _, a := range addrs {
			found[i.Name] = append(found[i.Name], a.String())
		}
	}
	reply(w, found)
}
