// Command netguest is the server of the net bench, the same file natively and in a guest:
//
//	:8080       HTTP, a short page
//	:9000/tcp   takes what comes, and at its end answers with the number of bytes, big-endian
//	:9001/tcp   sends without end
//	:9002/udp   sends every datagram back
//
// It ends on SIGTERM.
package main

import (
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	for port, serve := range map[string]func(net.Conn) error{":9000": take, ":9001": send} {
		l, err := net.Listen("tcp4", port)
		if err != nil {
			log.Fatal(err)
		}
		go accept(l, serve)
	}
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 9002})
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(echo(c)) }()
	l, err := net.Listen("tcp4", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(l, http.HandlerFunc(hello))) }()
	<-stop
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "Hello, bench!\n") }

func accept(l net.Listener, serve func(net.Conn) error) {
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer c.Close()
			_ = serve(c) // a client that goes away ends its own measurement
		}()
	}
}

// chunk is how much is read or written at once.
const chunk = 128 << 10

func take(c net.Conn) error {
	b := make([]byte, chunk)
	total := uint64(0)
	for {
		n, err := c.Read(b)
		total += uint64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	_, err := c.Write(binary.BigEndian.AppendUint64(nil, total))
	return err
}

func send(c net.Conn) error {
	b := make([]byte, chunk)
	for {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

func echo(c *net.UDPConn) error {
	b := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return err
		}
		if _, err := c.WriteToUDPAddrPort(b[:n], netip.AddrPort(from)); err != nil {
			return err
		}
	}
}
