package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// offline prints what there is without a network: loopback, and clear errors for the rest.
func offline() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "over loopback") }))
	response, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	fmt.Printf("web: %s %v\n", body, err)

	for _, network := range []string{"tcp", "udp"} {
		_, err = net.DialTimeout(network, "192.0.2.1:80", time.Minute)
		fmt.Printf("%s: unreachable network %t\n", network, errors.Is(err, syscall.ENETUNREACH))
	}
	begin := time.Now()
	_, err = net.LookupHost("example.org")
	fmt.Printf("name: error %t, at once %t\n", err != nil, time.Since(begin) < 10*time.Second)

	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := packets.WriteTo([]byte("datagram"), packets.LocalAddr()); err != nil {
		return err
	}
	buf := make([]byte, 100)
	n, _, err := packets.ReadFrom(buf)
	fmt.Printf("packet: %s %v\n", buf[:n], err)

	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		fmt.Printf("interface: %s\n", i.Name)
	}
	return nil
}
