package loopback

import (
	"fmt"
	"strings"
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
)

func packetOf(pool *packet.Pool, text string) *packet.Packet {
	p := pool.Linear(len(text))
	copy(p.Bytes(), text)
	return p
}

// TestOrder: what is sent comes back in order, when it is delivered and not before, also what is sent meanwhile.
func TestOrder(t *testing.T) {
	var pool packet.Pool
	var got []string
	b := &Box{Pool: &pool, Link: 7}
	b.Receive = func(p *packet.Packet) {
		text := make([]byte, p.Len())
		p.CopyOut(text)
		got = append(got, string(text))
		if p.Link != 7 || p.Broadcast {
			t.Errorf("link %d, broadcast %v", p.Link, p.Broadcast)
		}
		if string(text) == "1" {
			b.Output(packetOf(&pool, "answer")) // from within: no box is entered twice
		}
		p.Release()
	}
	for i := range 3 {
		p := packetOf(&pool, fmt.Sprint(i))
		p.Link, p.Broadcast = 1, true
		b.Output(p)
	}
	if len(got) > 0 {
		t.Fatalf("%q before Deliver", got)
	}
	if !b.Deliver() || strings.Join(got, " ") != "0 1 2" {
		t.Errorf("first: %q", got)
	}
	if !b.Deliver() || strings.Join(got, " ") != "0 1 2 answer" {
		t.Errorf("second: %q", got)
	}
	if b.Deliver() {
		t.Error("something is left")
	}
	if s := b.Stats; s != (Stats{PacketsRx: 4, PacketsTx: 4, BytesRx: 9, BytesTx: 9}) {
		t.Errorf("%+v", s)
	}
}

// TestCopies: a short packet does not keep the sender's block, a long one is passed on as it is; both keep what is known
// of the checksum.
func TestCopies(t *testing.T) {
	var pool packet.Pool
	for _, n := range []int{1, copyMax, copyMax + 1, 60000} {
		m := pool.Buf(n)
		for i := range m.Data[:n] {
			m.Data[i] = byte(i * 3)
		}
		p := pool.Headers()
		p.AddRef(m, m.Data[:n])
		p.Net = hypercall.NetHeader{Flags: hypercall.NeedsCsum, CsumStart: 20, CsumOffset: 6}
		delivered := false
		b := &Box{Pool: &pool, Receive: func(q *packet.Packet) {
			delivered = true
			text := make([]byte, n)
			if q.Len() != n || q.CopyOut(text) != n || q.Net != p.Net && n > copyMax || q.Net.Flags != hypercall.NeedsCsum {
				t.Errorf("%d bytes: %d, %+v", n, q.Len(), q.Net)
			}
			for i := range text {
				if text[i] != byte(i*3) {
					t.Fatalf("%d bytes: byte %d is %d", n, i, text[i])
				}
			}
			q.Release()
		}}
		b.Output(p)
		if short := n <= copyMax; m.Shared() == short {
			t.Errorf("%d bytes: the sender's block is shared: %v", n, !short)
		}
		if b.Deliver(); !delivered || m.Shared() {
			t.Errorf("%d bytes: delivered %v, block shared %v", n, delivered, m.Shared())
		}
		m.Release()
	}
}

// TestLimit drops what exceeds the queue.
func TestLimit(t *testing.T) {
	var pool packet.Pool
	n := 0
	b := &Box{Pool: &pool, Receive: func(p *packet.Packet) { n++; p.Release() }}
	for range QueueMax + 5 {
		b.Output(packetOf(&pool, "x"))
	}
	b.Deliver()
	if s := b.Stats; n != QueueMax || s.SendqDropped != 5 || s.PacketsTx != QueueMax+5 || s.PacketsRx != QueueMax {
		t.Errorf("%d delivered, %+v", n, s)
	}
}
