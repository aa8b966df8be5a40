// Command guest is what the tests of attack run in a guest: a web server that answers numbered requests, holds others, and
// says how much memory it has.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

func main() {
	if err := serve(); err != nil {
		log.Fatal(err)
	}
}

// conns are the connections that the server has.
var conns atomic.Int64

// serve runs the server until SIGTERM.
func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	http.HandleFunc("GET /number/{n}", number)
	http.HandleFunc("GET /endless", endless)
	http.HandleFunc("POST /deaf", deaf)
	http.HandleFunc("POST /sink", func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	http.HandleFunc("GET /release", func(http.ResponseWriter, *http.Request) { release() })
	http.HandleFunc("GET /memory", memory)
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0), // clients go away all the time
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				conns.Add(-1)
			}
		},
	}
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	fmt.Println("ready")
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// number answers n with n lines of it.
func number(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n > 1<<20 {
		http.Error(w, "no such number", http.StatusBadRequest)
		return
	}
	io.WriteString(w, strings.Repeat(r.PathValue("n")+"\n", n%500))
}

// endless sends until the client is gone.
func endless(w http.ResponseWriter, _ *http.Request) {
	b := make([]byte, 4<<10)
	for {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// deaf reads nothing of what the client sends until /release is asked for.
func deaf(http.ResponseWriter, *http.Request) { <-released }

var (
	released = make(chan struct{})
	release  = sync.OnceFunc(func() { close(released) })
)

// memory answers with how much there is of it, in bytes, and what takes it. With settle=1 it gives back first what nobody uses.
func memory(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("settle") != "" {
		runtime.GC() // the first only makes old what is in pools
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(map[string]int64{
		"heap": int64(m.HeapAlloc), "resident": usage.Maxrss << 10, "conns": conns.Load(), "goroutines": int64(runtime.NumGoroutine()),
	})
}
