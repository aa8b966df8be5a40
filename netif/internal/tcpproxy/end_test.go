package tcpproxy

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
