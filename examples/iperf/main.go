// Command iperf is a server for iperf3, written with nothing but Go's package net: throughput to and from a guest is
// measured with the tool that people have.
//
//	ukvm run -p 5201:5201 -p 5201:5201/udp ./examples/iperf
//	iperf3 -c 127.0.0.1           to the guest; -R from it, --bidir both, -u datagrams, -P 4 streams
//
// Like iperf3's own server it runs one test at a time. Not here: SCTP, authentication, zero copy by sendfile.
package main

import (
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	log.SetFlags(log.Ltime)
	port := 5201
	if p := os.Getenv("PORT"); p != "" {
		var err error
		if port, err = strconv.Atoi(p); err != nil {
			log.Fatalf("PORT: %v", err)
		}
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	if err != nil {
		log.Fatal(err)
	}
	u, err := net.ListenUDP("udp", &net.UDPAddr{Port: l.Addr().(*net.TCPAddr).Port})
	if err != nil {
		log.Fatal(err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(0)
	}()
	log.Printf("listening on port %d", port)
	s := &server{udp: newDatagrams(u)}
	log.Fatal(s.serve(l))
}
