package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
)

// serveSockets starts the servers that are not for the web.
func (s *site) serveSockets(failed chan<- error) error {
	for port, serve := range map[int]func(*net.TCPConn) error{
		contract.PortEcho: echo, contract.PortSum: sum, contract.PortDeadline: deadline, contract.PortFlood: s.flood,
	} {
		l, err := listen(port)
		if err != nil {
			return err
		}
		go func() { failed <- s.accept(l, serve) }()
	}
	packets, err := net.ListenUDP("udp", &net.UDPAddr{Port: contract.PortEcho})
	if err != nil {
		return err
	}
	go func() { failed <- echoPackets(packets) }()
	return nil
}

// accept serves each connection in a goroutine. What fails for a client is the client's business.
func (s *site) accept(l net.Listener, serve func(*net.TCPConn) error) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		s.sockets.Add(1)
		go func() {
			defer s.sockets.Add(-1)
			defer c.Close()
			_ = serve(c.(*net.TCPConn))
		}()
	}
}

func echo(c *net.TCPConn) error {
	buf := make([]byte, 4<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return err
		}
	}
}

func echoPackets(c *net.UDPConn) error {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		// A datagram lost is for the client to notice.
		_, _ = c.WriteToUDPAddrPort(buf[:n], from)
	}
}

// sum waits for the client's end of stream, then answers: each direction ends on its own.
func sum(c *net.TCPConn) error {
	s := contract.NewSummer()
	if _, err := io.CopyBuffer(s, onlyReader{c}, make([]byte, 64<<10)); err != nil {
		return err
	}
	return json.NewEncoder(c).Encode(s.Sum())
}

// onlyReader keeps io.Copy to the buffer it is given.
type onlyReader struct{ io.Reader }

// deadline sends what comes back, and "late" each time nothing has come for a while: a connection is of use after its
// deadline.
func deadline(c *net.TCPConn) error {
	buf := make([]byte, 4<<10)
	for {
		c.SetReadDeadline(time.Now().Add(contract.DeadlineAfter))
		n, err := c.Read(buf)
		answer := buf[:n]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			answer = []byte("late\n")
		} else if err != nil {
			return err
		}
		if _, err := c.Write(answer); err != nil {
			return err
		}
	}
}

// flood writes until nobody reads for long.
func (s *site) flood(c *net.TCPConn) error {
	buf := make([]byte, 64<<10)
	for {
		c.SetWriteDeadline(time.Now().Add(contract.FloodPatience))
		_, err := c.Write(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.floods.Add(1)
		}
		if err != nil {
			return err
		}
	}
}
