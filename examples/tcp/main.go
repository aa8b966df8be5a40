// Command tcp is an echo server (RFC 862) and its client on the event loop of ukvm's network stack.
//
//	ukvm run -p 7007:7 ./examples/tcp          the server
//	ukvm run ./examples/tcp -- HOST:7007     the client: sends what it reads, and prints what comes back
//
// Neither has a goroutine for a connection; the client has one that waits for its input.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"ukvm.dev/guest"
)

func main() {
	log.SetFlags(0)
	var err error
	switch len(os.Args) {
	case 1:
		err = serve()
	case 2:
		err = connect(os.Args[1])
	default:
		err = fmt.Errorf("usage: tcp [HOST:PORT]")
	}
	if err != nil {
		log.Fatal(err)
	}
	guest.Run()
	os.Exit(code)
}

// code is what the program ends with. Only the loop uses it.
var code int

// serve starts the server; SIGTERM and SIGINT end it.
func serve() error {
	l, err := guest.TCP().Listen(7)
	if err != nil {
		return err
	}
	open := map[*guest.Conn]bool{}
	l.OnConnect(func(c *guest.Conn) {
		open[c] = true
		e := &echo{Conn: c}
		c.OnRead(0, e.read)
		c.OnDrain(e.drain)
		c.OnEnd(e.end)
		c.OnClose(func(err error) {
			delete(open, c)
			log.Printf("%v: %d bytes, %v", c.RemoteAddr(), e.bytes, reason(err))
		})
	})
	log.Printf("listening on port %d", l.Addr().Port())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		guest.Post(func() {
			l.Close()
			for c := range open {
				c.Abort()
			}
		})
	}()
	return nil
}

func reason(err error) any {
	if err == nil {
		return "closed"
	}
	return err
}

// echo is a connection whose data goes back. While the peer does not read, nothing is read from it either: what waits
// is bounded by the two buffers of the connection, and one packet.
type echo struct {
	*guest.Conn
	bytes int
	rest  []byte // that the send buffer has had no room for
	ended bool   // the peer has sent all it has to
}

func (e *echo) read(b []byte) {
	e.bytes += len(b)
	n, err := e.Write(b)
	if err == guest.ErrFull {
		e.rest = append(e.rest[:0], b[n:]...) // b is the card's
		e.Pause()
	}
}

func (e *echo) drain() {
	n, err := e.Write(e.rest)
	if e.rest = e.rest[n:]; err != nil {
		return
	}
	e.Resume()
	if e.ended {
		e.CloseWrite()
	}
}

func (e *echo) end() {
	e.ended = true
	if len(e.rest) == 0 {
		e.CloseWrite()
	}
}

// connect starts the client.
func connect(address string) error {
	resolved, err := net.ResolveTCPAddr("tcp", address) // before there is a loop that it could hold up
	if err != nil {
		return err
	}
	to := resolved.AddrPort()
	_, err = guest.TCP().Connect(to, func(c *guest.Conn, err error) {
		if err != nil {
			log.Printf("connect to %v: %v", to, err)
			code = 1
			return
		}
		c.OnRead(0, func(b []byte) { os.Stdout.Write(b) })
		c.OnClose(func(err error) {
			if err != nil {
				log.Print(err)
				code = 1
			}
		})
		room := make(chan struct{}, 1)
		c.OnDrain(func() { room <- struct{}{} })
		go send(c, room)
	})
	return err
}

// send writes what it reads, waiting for room, as a goroutine may.
func send(c *guest.Conn, room <-chan struct{}) {
	b := make([]byte, 16<<10)
	for {
		n, err := os.Stdin.Read(b)
		for part := b[:n]; len(part) > 0; {
			k, err := c.Write(part)
			part = part[k:]
			if err == guest.ErrFull {
				<-room
			} else if err != nil {
				return // OnClose says why
			}
		}
		if err != nil {
			if err != io.EOF {
				log.Print(err)
			}
			c.CloseWrite()
			return
		}
	}
}
