package tcpproxy

import (
	"strings"
	"testing"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

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

func TestSegmentationOffload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, fd := opened(t, 1500, options...)
		n := uint16(r.longer())
		kind := uint8(hypercall.GSOTCP4)
		if r.six() {
			// A guest that has not agreed to long segments of IPv6 gets none.
			r.proxy.SetFeatures(netif.Features{RxChecksum: true, RxSegment: 9014})
			hostWrite(t, fd, text(1500))
			r.take(ack, text(1500)[:1000])
			r.take(ackPsh, text(1500)[1000:])
			r.send(ack, "")
			kind = hypercall.GSOTCP6
		}
		r.proxy.SetFeatures(netif.Features{RxChecksum: true, RxSegment: 9014 + int(n), TCP6: true})
		hostWrite(t, fd, text(10000))
		s := r.take(ack, text(10000)[:8960])
		if want := (hypercall.NetHeader{Flags: hypercall.NeedsCsum, GSOType: kind, HdrLen: 54 + n, GSOSize: 1000, CsumStart: 34 + n, CsumOffset: 16}); s.header != want {
			t.Errorf("header %+v, want %+v", s.header, want)
		}
		if s := r.take(ackPsh, text(10000)[8960:]); s.header.GSOType != kind || s.header.GSOSize != 1000 {
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
		room := 254 + r.longer()
		small := []netif.Frame{{Data: [][]byte{make([]byte, room)}}}
		if n := r.proxy.Output(small); n != 1 || small[0].Len != room {
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
