// Command udp is an echo server for datagrams (RFC 862) on the event loop of ukvm's network stack.
//
//	ukvm run -p 7007:7/udp ./examples/udp
//	echo hello | socat - udp:127.0.0.1:7007
//
// It says every second how many datagrams there were, if any.
package main

import (
	"log"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"ukvm.dev/guest"
)

func main() {
	log.SetFlags(0)
	s, err := guest.UDP().Open(7)
	if err != nil {
		log.Fatal(err)
	}
	datagrams, lost := 0, 0
	s.OnReceive(func(data []byte, from netip.AddrPort) {
		datagrams++
		if err := s.SendTo(data, from); err != nil {
			lost++ // as the network might
		}
	})
	report := guest.Every(time.Second, func() {
		if datagrams > 0 {
			log.Printf("%d datagrams, %d of them not answered", datagrams, lost)
			datagrams, lost = 0, 0
		}
	})
	log.Printf("listening on port %d", s.Addr().Port())

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		s.Close()
		report.Stop()
	}()
	guest.Run()
}
