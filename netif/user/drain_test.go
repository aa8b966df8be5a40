package user_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"ukvm.dev/netif/user"
)

// drains checks that Drain waits for a reader of what a guest has sent: not if it is told to stop, and else until all is
// read.
func drains(t *testing.T, l *user.Link, guest io.Writer, host net.Conn) {
	data := randomBytes(300_000)
	if _, err := guest.Write(data); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all of it is acknowledged to the guest", func() bool { return l.InNetstack() >= len(data) })
	quit := make(chan struct{})
	stopped := make(chan struct{})
	go func() { l.Drain(quit); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("Drain has returned and nobody has read anything")
	case <-time.After(100 * time.Millisecond):
	}
	close(quit)
	<-stopped

	got := make(chan []byte, 1)
	go func() {
		var all bytes.Buffer
		buf := make([]byte, 10_000)
		for all.Len() < len(data) {
			n, err := host.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				t.Error(err)
				break
			}
			time.Sleep(2 * time.Millisecond)
		}
		got <- all.Bytes()
	}()
	l.Drain(nil)
	// What was read last may be on its way to the test still.
	select {
	case b := <-got:
		if !bytes.Equal(b, data) {
			t.Errorf("%d bytes have arrived, of %d, or others", len(b), len(data))
		}
	case <-time.After(time.Second):
		t.Error("Drain has returned, and not all is read")
	}
	begin := time.Now()
	l.Drain(nil) // nothing is owed, although the connection is there
	if took := time.Since(begin); took > time.Second {
		t.Errorf("with nothing to wait for Drain takes %v", took)
	}
}

// TestDrainNoSocket: a connection of the guest that ends in something else than a socket goes through netstack.
func TestDrainNoSocket(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	l, g := newGuest(t, user.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil }})
	c, err := g.Dial(timeout(t), "tcp", "192.0.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	drains(t, l, c, theirs)
}

// TestDrainDialled: a connection that the program of the host has made to the guest.
func TestDrainDialled(t *testing.T) {
	l, g := newGuest(t, user.Config{})
	listener := g.Listen(t, 80)
	host, err := l.DialContext(timeout(t), "tcp", "guest:80")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	guest, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	drains(t, l, guest, host)
}

// TestDrainNobody: where there is no connection Drain does not wait at all.
func TestDrainNobody(t *testing.T) {
	l := newLink(t, user.Config{})
	begin := time.Now()
	l.Drain(nil)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Drain takes %v", took)
	}
}
