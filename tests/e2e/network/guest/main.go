// Command guest is what the tests of network run in guests: web servers and others on the ports of package contract, a
// client that does what a test asks for, and
//
//	guest offline
//	guest get URL
//	guest part close|exit|panic|return BYTES
//
// which print what a program finds where there is no network, and what a URL has, and send bytes and end. It also runs
// natively.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
)

func main() {
	run := serve
	switch {
	case len(os.Args) == 2 && os.Args[1] == "offline":
		run = offline
	case len(os.Args) == 3 && os.Args[1] == "get":
		run = get
	case len(os.Args) == 4 && os.Args[1] == "part":
		run = func() error { return part(os.Args[2], os.Args[3]) }
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// serve runs all servers until SIGTERM.
func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 8)
	s := &site{}
	if err := s.serveSockets(failed); err != nil {
		return err
	}
	certificate, err := s.makeCertificate()
	if err != nil {
		return err
	}
	plain, err := listen(contract.PortWeb)
	if err != nil {
		return err
	}
	secure, err := listen(contract.PortTLS)
	if err != nil {
		return err
	}
	web := s.server()
	go func() { failed <- web.Serve(plain) }()
	webTLS := s.server()
	webTLS.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	go func() { failed <- webTLS.ServeTLS(secure, "", "") }()
	fmt.Println("ready")

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.releaseHolds()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// What clients leave under way does not keep the guest.
	if err := web.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	fmt.Println("bye")
	return nil
}

// listen listens with keep-alives that end a silent connection within seconds.
func listen(port int) (net.Listener, error) {
	c := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: contract.KeepAlive, Interval: contract.KeepAlive, Count: contract.KeepAliveCount,
	}}
	return c.Listen(context.Background(), "tcp", ":"+strconv.Itoa(port))
}

// server is one of the web servers.
func (s *site) server() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: s.routes(), Protocols: &protocols, ReadHeaderTimeout: time.Minute, ConnState: s.count,
		ErrorLog: log.New(quiet{}, "", 0),
	}
}

// quiet is for what servers have to say of clients that go away.
type quiet struct{}

func (quiet) Write(b []byte) (int, error) { return len(b), nil }
