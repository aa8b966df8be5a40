// Command events is a web server without a goroutine for any connection: HTTP/1.1 on the event loop of ukvm's network
// stack. It says hello to GET and HEAD of any path.
//
//	ukvm run -p 8080:8080 ./examples/events
//	curl http://127.0.0.1:8080/
//
// It does what a server on the open network must: requests may come in pieces, or many at once; headers and bodies are
// bounded, and so is the time for them; answers wait while a client does not read; what is not HTTP is answered by 400.
package main

import (
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"ukvm.dev/guest"
)

func main() {
	log.SetFlags(0)
	port, err := strconv.ParseUint(cmpOr(os.Getenv("PORT"), "8080"), 10, 16)
	if err != nil {
		log.Fatalf("PORT: %v", err)
	}
	l, err := guest.TCP().Listen(uint16(port))
	if err != nil {
		log.Fatal(err)
	}
	s := &server{}
	l.OnConnect(s.accept)
	log.Printf("listening on port %d", l.Addr().Port())

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		guest.Post(func() { // on the loop, where s belongs
			l.Close()
			s.shutdown()
		})
	}()
	guest.Run()
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
