package tcpproxy

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func TestGuestOpens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 1500)
		c, fd := sockets(t)
		dialled := make(chan struct{})
		r.dial = func() (net.Conn, error) { <-dialled; return c, nil }
		open := segment{flags: syn, seq: r.seq, window: r.window, options: options}
		r.input(open)
		r.silent()
		r.input(open) // again, while the host is dialled
		r.silent()
		if n := r.table.Counts(); n.Open != 1 || n.Pending != 1 {
			t.Errorf("counts %+v", n)
		}
		close(dialled)
		r.wg.Wait()
		if r.woken == 0 {
			t.Error("nobody was woken when the host answered")
		}
		r.seq++
		s, _ := r.output()
		mss := 1460 - r.longer()
		if want := (segment{flags: ackSyn, seq: s.seq, ack: r.seq, window: 65535, options: []byte{2, 4, byte(mss >> 8), byte(mss), 1, 3, 3, windowScale}}); s.String() != want.String() {
			t.Errorf("answer %v, want %v", s, want)
		}
		r.input(open) // again, as if the answer were lost
		if again, _ := r.output(); again.String() != s.String() {
			t.Errorf("second answer %v, want %v", again, s)
		}
		advance(1100 * time.Millisecond) // as if the answer were lost
		if again, _ := r.output(); again.String() != s.String() {
			t.Errorf("third answer %v, want %v", again, s)
		}
		r.ack = s.seq + 1
		r.send(ackPsh, "question")
		if got, _ := hostRead(t, fd); got != "question" {
			t.Errorf("the host got %q", got)
		}
		hostWrite(t, fd, "answer")
		r.take(ackPsh, "answer")
		if n := r.table.Counts(); n != (Counts{Open: 1, ToHost: 1}) {
			t.Errorf("counts %+v", n)
		}
		advance(500 * time.Millisecond)
		r.silent()
	})
}

func TestGuestOpensWithoutOptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500)
		hostWrite(t, fd, text(1000))
		r.take(ack, text(1000)[:536]) // RFC 9293 section 3.7.1
		if s := r.take(ackPsh, text(1000)[536:]); s.window != 65535 {
			t.Errorf("window %d without a scale", s.window)
		}
	})
}

func TestDialFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 1500)
		r.dial = func() (net.Conn, error) { return nil, unix.ECONNREFUSED }
		open := segment{flags: syn, seq: r.seq}
		r.input(open)
		r.wg.Wait()
		r.seq++
		if s := r.expect(ackRst, ""); s.seq != 0 {
			t.Errorf("reset %v", s)
		}
		r.dial = func() (net.Conn, error) { return nil, unix.EHOSTUNREACH }
		r.input(open)
		r.wg.Wait()
		r.silent()
		if len(r.errs) != 2 || !errors.Is(r.errs[1], unix.EHOSTUNREACH) {
			t.Errorf("errors %v", r.errs)
		}
		if n := r.table.Counts(); n != (Counts{Failed: 2}) || len(r.proxy.conns) != 0 {
			t.Errorf("counts %+v, %d connections", n, len(r.proxy.conns))
		}
	})
}

func TestGuestGivesUpWhileDialling(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 1500)
		c, fd := sockets(t)
		dialled := make(chan struct{})
		r.dial = func() (net.Conn, error) { <-dialled; return c, nil }
		r.input(segment{flags: syn, seq: r.seq})
		r.input(segment{flags: ackRst, seq: r.seq + 1})
		close(dialled)
		r.wg.Wait()
		r.silent()
		if got, _ := hostRead(t, fd); !strings.Contains(got, "reset") {
			t.Errorf("the host got %q", got)
		}
	})
}

func TestLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 1500)
		r.table.Max, r.table.MaxPending = 2, 1
		block := make(chan struct{})
		r.dial = func() (net.Conn, error) { <-block; return nil, unix.ECONNREFUSED }
		r.input(segment{flags: syn, seq: r.seq})
		r.port++
		r.input(segment{flags: syn, seq: r.seq}) // one too many in the making: as if lost
		r.silent()
		r.table.Max = 1
		r.input(segment{flags: syn, seq: r.seq}) // one too many: refused
		r.seq++
		r.expect(ackRst, "")
		close(block)
		r.wg.Wait()
	})
}

// published is a rig with a published port, of which fd is a client.
func published(t testing.TB) (*rig, int) {
	r := newRig(t, 1500)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := l.(*net.TCPListener).SyscallConn()
	var listener int
	raw.Control(func(s uintptr) { listener, _ = unix.Dup(int(s)) })
	if err := r.proxy.Listen(listener, 80); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	l.Close()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := takeSocket(c.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	r.peer, r.port = netip.MustParseAddrPort("192.0.2.1:40000"), 80
	return r, fd
}

func TestHostOpens(t *testing.T) {
	bubble4(t, func(t *testing.T) {
		r, fd := published(t)
		first, _ := r.output()
		if first.flags != syn || first.ack != 0 || first.window != 65535 {
			t.Fatalf("first segment %v", first)
		}
		r.silent()
		advance(1100 * time.Millisecond)
		if again, _ := r.output(); again.String() != first.String() {
			t.Errorf("second SYN %v, want %v", again, first)
		}
		r.ack = first.seq + 1
		r.input(segment{flags: ackSyn, seq: r.seq, ack: r.ack, window: 60000, options: options})
		r.seq++
		r.take(ack, "")
		hostWrite(t, fd, "question")
		r.take(ackPsh, "question")
		r.send(ackPsh, "answer")
		if got, _ := hostRead(t, fd); got != "answer" {
			t.Errorf("the host got %q", got)
		}
		if n := r.table.Counts(); n != (Counts{Open: 1, ToGuest: 1}) {
			t.Errorf("counts %+v", n)
		}
	})
}

func TestGuestRefuses(t *testing.T) {
	bubble4(t, func(t *testing.T) {
		r, fd := published(t)
		first, _ := r.output()
		r.input(segment{flags: ackRst, ack: first.seq}) // not of this SYN
		if got, end := hostRead(t, fd); end {
			t.Errorf("the host got %q", got)
		}
		r.input(segment{flags: ackRst, ack: first.seq + 1})
		if got, _ := hostRead(t, fd); !strings.Contains(got, "reset") {
			t.Errorf("the host got %q", got)
		}
		if n := r.table.Counts(); n != (Counts{Failed: 1}) {
			t.Errorf("counts %+v", n)
		}
	})
}

// TestGuestRemembers has a guest that still has an older connection between the same ports, in TIME-WAIT: it takes a SYN
// only with a number beyond those it has seen.
func TestGuestRemembers(t *testing.T) {
	bubble4(t, func(t *testing.T) {
		r, _ := published(t)
		first, _ := r.output()
		seen := first.seq + 1<<30
		r.input(segment{flags: ack, seq: 77, ack: seen, window: 60000})
		if s, _ := r.output(); s.flags != header.TCPFlagRst || s.seq != seen {
			t.Errorf("for the old connection: %v", s)
		}
		s, _ := r.output()
		if s.flags != syn || s.seq-seen == 0 || s.seq-seen > 1<<31 {
			t.Errorf("for the new one: %v, which is not after %d", s, seen)
		}
		r.silent()
		r.ack = s.seq + 1
		r.input(segment{flags: ackSyn, seq: r.seq, ack: r.ack, window: 60000, options: options})
		r.seq++
		r.take(ack, "")
		if n := r.table.Counts(); n != (Counts{Open: 1, ToGuest: 1}) {
			t.Errorf("counts %+v", n)
		}
	})
}

func TestGuestDoesNotAnswer(t *testing.T) {
	bubble4(t, func(t *testing.T) {
		r, fd := published(t)
		r.output()
		advance(31 * time.Second)
		if got, _ := hostRead(t, fd); !strings.Contains(got, "reset") {
			t.Errorf("the host got %q", got)
		}
		if n := r.table.Counts(); n != (Counts{Failed: 1}) {
			t.Errorf("counts %+v", n)
		}
	})
}
