package tcpproxy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

// options of a SYN: segment size 1000, window scale 2.
var options = []byte{2, 4, 1000 >> 8, 1000 & 0xff, 1, 3, 3, 2}

// advance lets the clock of the bubble run.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func text(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d ", i)
	}
	return b.String()[:n]
}

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
		if want := (segment{flags: ackSyn, seq: s.seq, ack: r.seq, window: 65535, options: []byte{2, 4, 1460 >> 8, 1460 & 0xff, 1, 3, 3, windowScale}}); s.String() != want.String() {
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
	bubble(t, func(t *testing.T) {
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
	bubble(t, func(t *testing.T) {
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

func TestGuestDoesNotAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
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

func TestWindowOfGuest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		r.window = 2500 / 4
		r.send(ack, "")
		hostWrite(t, fd, text(6000))
		r.take(ack, text(6000)[:1000])
		r.take(ack, text(6000)[1000:2000])
		r.silent() // 500 bytes of window are not worth a segment yet
		r.send(ack, "")
		r.take(ack, text(6000)[2000:3000])
		r.take(ack, text(6000)[3000:4000])
		r.silent()
		r.window = 60000
		r.send(ack, "")
		r.take(ack, text(6000)[4000:5000])
		r.take(ackPsh, text(6000)[5000:])
	})
}

func TestWindowProbe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		r.window = 0
		r.send(ack, "")
		hostWrite(t, fd, "0123456789")
		r.silent()
		wait := time.Second
		for range 20 { // for ever
			advance(wait + 100*time.Millisecond)
			s := r.expect(ack, "")
			if s.seq != r.ack-1 {
				t.Fatalf("probe %v", s)
			}
			r.silent()
			r.send(ack, "") // still no room
			r.silent()
			wait = min(wait*2, time.Minute)
		}
		r.window = 1000
		r.send(ack, "")
		r.take(ackPsh, "0123456789")
		r.send(ack, "")
		advance(time.Hour)
		r.silent()
	})
}

// TestWindowShrinks takes back a window that is in use, as guests do that count the memory of small segments.
func TestWindowShrinks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		hostWrite(t, fd, "0123456789")
		r.expect(ackPsh, "0123456789") // and not taken
		r.window = 0
		r.send(ackPsh, "data")
		r.send(ackPsh, "data")
		if s := r.expect(ack, ""); s.seq != r.ack {
			t.Errorf("acknowledgement %v outside of the window at %d", s, r.ack)
		}
		advance(1100 * time.Millisecond)
		if s := r.expect(ack, ""); s.seq != r.ack-1 {
			t.Errorf("probe %v", s)
		}
		r.window = 4 / 4
		r.send(ack, "")
		r.take(ack, "0123")
		r.window = 1000
		r.send(ack, "")
		r.take(ackPsh, "456789")
	})
}

func TestRetransmission(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		data := text(5000)
		hostWrite(t, fd, data)
		for i := 0; i < 5000; i += 1000 {
			if s, _ := r.output(); s.data != data[i:i+1000] {
				t.Fatalf("segment %v", s)
			}
		}
		// The second is lost: three acknowledgements of the first tell.
		r.ack += 1000
		for range 4 {
			r.send(ack, "")
		}
		lost := r.ack
		for i := 1000; i < 5000; i += 1000 {
			if s, _ := r.output(); s.data != data[i:i+1000] || s.seq != lost+uint32(i)-1000 {
				t.Fatalf("repeated segment %v", s)
			}
		}
		r.send(ack, "") // more of the same does nothing
		r.silent()
		// All of that is lost too: the timer tells.
		advance(1100 * time.Millisecond)
		if s, _ := r.output(); s.data != data[1000:2000] {
			t.Fatalf("segment %v", s)
		}
		r.ack += 4000 // but it was not lost
		r.send(ack, "")
		r.silent()
		advance(time.Hour)
		r.silent()
		hostWrite(t, fd, "more")
		r.take(ackPsh, "more")
	})
}

func TestDeadGuest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		hostWrite(t, fd, "anyone?")
		r.expect(ackPsh, "anyone?")
		repeated := 0
		for range 1000 {
			advance(time.Second)
			if s, ok := r.output(); ok && s.flags == ackPsh {
				repeated++
			} else if ok {
				r.silent()
				break
			}
		}
		if repeated != maxRetries {
			t.Errorf("%d retransmissions, want %d", repeated, maxRetries)
		}
		if got, _ := hostRead(t, fd); !strings.Contains(got, "reset") {
			t.Errorf("the host got %q", got)
		}
		if n := r.table.Counts(); n.Open != 0 {
			t.Errorf("counts %+v", n)
		}
	})
}

func TestAcknowledgement(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		r.send(ackPsh, "one")
		r.silent() // it may go with the answer
		advance(ackDelay + 10*time.Millisecond)
		r.take(ack, "")
		r.silent()
		r.send(ackPsh, "two")
		hostWrite(t, fd, "answer")
		r.take(ackPsh, "answer")
		advance(time.Second)
		r.send(ack, "")
		r.silent()
		r.send(ack, "three")
		r.send(ack, "four")
		r.take(ack, "")
		r.send(ack, text(ackBytes))
		r.take(ack, "")
		advance(time.Second)
		r.silent()
		if got, _ := hostRead(t, fd); got != "onetwothreefour"+text(ackBytes) {
			t.Errorf("the host got %d bytes", len(got))
		}
	})
}

func TestDataOutOfOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		start := r.seq
		at := func(off int, data string) {
			t.Helper()
			if !r.input(segment{flags: ack, seq: start + uint32(off), ack: r.ack, window: r.window, data: data}) {
				t.Fatal("segment not taken")
			}
		}
		at(0, "0123")
		r.seq = start + 4
		at(6, "67") // too early
		r.expect(ack, "")
		r.silent()
		for range 10 {
			at(6, "67") // and again and again, before there is an answer
		}
		for range 1 + duplicateLimit {
			r.expect(ack, "")
		}
		r.silent()
		at(0, "0123") // again
		r.expect(ack, "")
		at(2, "2345") // half of it
		r.seq = start + 6
		at(6, "67")
		r.seq = start + 8
		at(-1, "x") // a keep-alive probe
		r.expect(ack, "")
		at(-1, "")
		r.expect(ack, "")
		if got, _ := hostRead(t, fd); got != "01234567" {
			t.Errorf("the host got %q", got)
		}
	})
}

// TestHostIsSlow fills the socket of the host.
func TestHostIsSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 65535, options...)
		window := 65535 >> windowScale
		sent := 0
		data := text(60000)
		for i := 0; ; i++ {
			room := window << windowScale
			if room == 0 {
				break
			}
			n := min(room, len(data))
			r.send(ack, data[:n])
			sent += n
			advance(ackDelay + 10*time.Millisecond)
			window = int(r.expect(ack, "").window)
			if i > 1000 {
				t.Fatal("the window never closes")
			}
		}
		c := r.only()
		if c.pend.size == 0 || c.pend.size > maxShare {
			t.Errorf("%d bytes wait for the host", c.pend.size)
		}
		// Beyond the window nothing is taken.
		before := c.pend.size
		r.input(segment{flags: ack, seq: r.seq, ack: r.ack, window: r.window, data: "too much"})
		if s := r.expect(ack, ""); s.window != 0 || c.pend.size != before {
			t.Errorf("%v, %d bytes wait", s, c.pend.size-before)
		}
		// The host reads, and the guest hears of room.
		got := 0
		for got < sent {
			data, _ := hostRead(t, fd)
			got += len(data)
			if s, ok := r.output(); ok && s.window == 0 {
				t.Errorf("update without a window: %v", s)
			}
		}
		if c.pend.size != 0 || got != sent {
			t.Errorf("%d of %d bytes came, %d wait", got, sent, c.pend.size)
		}
		r.send(ackPsh, "end")
		if got, _ := hostRead(t, fd); got != "end" {
			t.Errorf("the host got %q", got)
		}
	})
}

// TestEnd ends the stream in all orders.
func TestEnd(t *testing.T) {
	gone := func(t *testing.T, r *rig) {
		t.Helper()
		if n := r.table.Counts(); n.Open != 0 || len(r.proxy.conns) != 0 {
			t.Errorf("counts %+v, %d connections", n, len(r.proxy.conns))
		}
		if r.input(segment{flags: ack, seq: r.seq, ack: r.ack}) {
			t.Error("the connection is still known")
		}
	}
	t.Run("GuestFirst", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, fd := opened(t, 1500, options...)
			r.send(ackFin, "bye")
			r.take(ack, "")
			if got, end := hostRead(t, fd); got != "bye" || !end {
				t.Errorf("the host got %q, %v", got, end)
			}
			hostWrite(t, fd, "still here")
			r.take(ackPsh, "still here")
			r.send(ack, "")
			unix.Shutdown(fd, unix.SHUT_WR)
			r.take(ackFin, "")
			r.send(ack, "")
			gone(t, r)
		})
	})
	t.Run("HostFirst", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, fd := opened(t, 1500, options...)
			hostWrite(t, fd, "bye")
			unix.Shutdown(fd, unix.SHUT_WR)
			s, _ := r.output()
			if s.flags == ackPsh { // the end may be noticed with the data or after it
				r.ack += 3
				r.take(ackFin, "")
			} else if s.data != "bye" {
				t.Fatalf("segment %v", s)
			} else {
				r.ack += 4
			}
			r.send(ack, "")
			r.send(ackPsh, "still here")
			if got, _ := hostRead(t, fd); got != "still here" {
				t.Errorf("the host got %q", got)
			}
			r.send(ackFin, "")
			r.take(ack, "")
			gone(t, r)
			if _, end := hostRead(t, fd); !end {
				t.Error("the host does not hear of the end")
			}
		})
	})
	t.Run("Together", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, fd := opened(t, 1500, options...)
			unix.Shutdown(fd, unix.SHUT_WR)
			r.take(ackFin, "")
			r.ack--
			r.send(ackFin, "") // crosses ours
			r.ack++
			s := r.expect(ack, "")
			if s.seq != r.ack {
				t.Errorf("acknowledgement %v", s)
			}
			r.send(ack, "")
			gone(t, r)
		})
	})
	t.Run("Lost", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, fd := opened(t, 1500, options...)
			unix.Shutdown(fd, unix.SHUT_WR)
			first := r.expect(ackFin, "")
			advance(1100 * time.Millisecond)
			if again := r.take(ackFin, ""); again.seq != first.seq {
				t.Errorf("second FIN %v", again)
			}
			r.send(ack, "")
			r.send(ackFin, "")
			r.seq-- // its acknowledgement is lost
			r.output()
			if r.input(segment{flags: ackFin, seq: r.seq, ack: r.ack}) {
				t.Error("the connection is still known")
			}
		})
	})
}

func TestReset(t *testing.T) {
	t.Run("ByGuest", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, fd := opened(t, 1500, options...)
			r.input(segment{flags: ackRst, seq: r.seq + 1<<20, ack: r.ack}) // outside the window
			r.silent()
			r.input(segment{flags: ackRst, seq: r.seq + 1, ack: r.ack}) // a guess
			r.expect(ack, "")
			if got, end := hostRead(t, fd); end {
				t.Errorf("the host got %q", got)
			}
			r.send(ackRst, "")
			if got, _ := hostRead(t, fd); !strings.Contains(got, "reset") {
				t.Errorf("the host got %q", got)
			}
			r.silent()
		})
	})
	t.Run("ByHost", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, fd := opened(t, 1500, options...)
			r.window = 0 // nothing else has room
			r.send(ack, "")
			hostWrite(t, fd, text(10000))
			r.silent()
			resetSocket(t, fd)
			if s := r.expect(ackRst, ""); s.seq != r.ack {
				t.Errorf("reset %v", s)
			}
			if n := r.table.Counts(); n.Open != 0 || len(r.proxy.conns) != 0 {
				t.Errorf("counts %+v, %d connections", n, len(r.proxy.conns))
			}
		})
	})
	t.Run("SYNInConnection", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, _ := opened(t, 1500, options...)
			r.input(segment{flags: syn, seq: r.seq + 100})
			r.expect(ack, "")
		})
	})
	t.Run("AcknowledgementOfNothing", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, fd := opened(t, 1500, options...)
			r.input(segment{flags: ack, seq: r.seq, ack: r.ack + 1, data: "forged"})
			r.expect(ack, "")
			if got, _ := hostRead(t, fd); got != "" {
				t.Errorf("the host got %q", got)
			}
		})
	})
}

func TestSegmentationOffload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		r.proxy.SetFeatures(netif.Features{RxChecksum: true, RxSegment: 9014})
		hostWrite(t, fd, text(10000))
		s := r.take(ack, text(10000)[:8960])
		if want := (hypercall.NetHeader{Flags: hypercall.NeedsCsum, GSOType: hypercall.GSOTCP4, HdrLen: 54, GSOSize: 1000, CsumStart: 34, CsumOffset: 16}); s.header != want {
			t.Errorf("header %+v, want %+v", s.header, want)
		}
		if s := r.take(ackPsh, text(10000)[8960:]); s.header.GSOType != hypercall.GSOTCP4 || s.header.GSOSize != 1000 {
			t.Errorf("header %+v", s.header)
		}
		hostWrite(t, fd, "short")
		if s := r.take(ackPsh, "short"); s.header.GSOType != hypercall.GSONone || s.header.Flags != hypercall.NeedsCsum {
			t.Errorf("header %+v", s.header)
		}
	})
}

func TestFrameWithoutRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		hostWrite(t, fd, text(1000))
		small := []netif.Frame{{Data: [][]byte{make([]byte, 254)}}}
		if n := r.proxy.Output(small); n != 1 || small[0].Len != 254 {
			t.Errorf("Output = %d, %d bytes", n, small[0].Len)
		}
		r.ack += 200
		r.take(ackPsh, text(1000)[200:])
	})
}

// TestShares checks what all connections together may hold.
func TestShares(t *testing.T) {
	p := &Proxy{conns: make(map[connKey]*conn)}
	for _, c := range []struct{ conns, want int }{{0, maxShare}, {64, maxShare}, {128, maxShare / 2}, {4096, minShare}, {100000, minShare}} {
		for len(p.conns) < c.conns {
			p.conns[connKey{port: uint16(len(p.conns)), guest: uint16(len(p.conns) >> 16)}] = nil
		}
		if got := p.shareLocked(); got != c.want {
			t.Errorf("%d connections: share %d, want %d", c.conns, got, c.want)
		}
	}
}

// FuzzGuest lets a guest that knows the rules break them, and compares what the host gets with what was sent in order.
func FuzzGuest(f *testing.F) {
	f.Add(uint64(1), uint16(200))
	f.Add(uint64(2), uint16(2000))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint16) {
		r, fd := opened(t, 1500, options...)
		rng := rand.New(rand.NewPCG(seed, 0))
		stream := text(1 << 16)
		start := r.seq
		var got strings.Builder
		toGuest := text(1 << 16)
		written := 0
		for range min(steps, 3000) {
			c := r.only()
			if c == nil || c.state != established {
				return // it was reset, or has ended
			}
			switch rng.IntN(12) {
			case 0:
				if s, ok := r.output(); ok && s.seq == r.ack {
					r.ack += uint32(len(s.data))
				}
			case 1:
				n := min(rng.IntN(3000), len(toGuest)-written)
				hostWrite(t, fd, toGuest[written:written+n])
				written += n
			case 2:
				data, _ := hostRead(t, fd)
				got.WriteString(data)
			case 3: // anything
				r.input(segment{
					flags: []header.TCPFlags{0, ack, syn, ackSyn, ackFin, ackPsh}[rng.IntN(6)], seq: r.seq + rng.Uint32N(5) - 2,
					ack: r.ack + rng.Uint32N(5) - 2, window: uint16(rng.Uint32()), data: text(rng.IntN(10)),
				})
				return
			default: // a piece of the stream, from anywhere near
				at := max(0, int(c.rcv-start)+rng.IntN(200)-100)
				n := min(rng.IntN(300), len(stream)-at)
				if n < 0 {
					return
				}
				r.input(segment{flags: ack, seq: start + uint32(at), ack: r.ack, window: uint16(rng.IntN(1000)), data: stream[at : at+n]})
			}
			if c.send.size > maxShare+largePiece || c.pend.size > maxShare {
				t.Fatalf("%d bytes wait for the guest, %d for the host", c.send.size, c.pend.size)
			}
		}
		data, _ := hostRead(t, fd)
		got.WriteString(data)
		if !strings.HasPrefix(stream, got.String()) {
			t.Errorf("the host got something else than was sent")
		}
	})
}
