// Command web is a small web server as one would write it anywhere: routes, a log, and an orderly end on SIGTERM and
// SIGINT.
//
//	ukvm run -p 8080:8080 ./examples/web
//	curl http://127.0.0.1:8080/hello/ada
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// grace is how long requests that are under way have to end.
const grace = 5 * time.Second

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if err := serve(); err != nil {
		log.Fatal(err)
	}
}

// serve runs the server until a signal asks it to end.
func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	server := &http.Server{Addr: ":" + port(), Handler: routes(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	log.Printf("listening on %s", server.Addr)

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop() // the next signal ends the program at once
	log.Print("shutting down")
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	log.Print("bye")
	return nil
}

func port() string {
	if p := os.Getenv("PORT"); p != "" {
		return p
	}
	return "8080"
}

func routes() http.Handler {
	started := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello from %s/%s, %s, up %v\n", runtime.GOOS, runtime.GOARCH, runtime.Version(),
			time.Since(started).Round(time.Millisecond))
	})
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!\n", r.PathValue("name"))
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		select { // an orderly end waits for this
		case <-time.After(2 * time.Second):
			fmt.Fprintln(w, "done")
		case <-r.Context().Done():
		}
	})
	return mux
}
