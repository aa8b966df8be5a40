package net

import (
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/wire"
)

// closed reports whether the end that Close waits for has come.
func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// fill writes until the socket takes no more, and returns how much that was.
func (s *sock) fill() (n int) {
	s.t.Helper()
	for {
		b := make([]byte, 10_000)
		pattern(b, n, 1)
		k, e := s.Send(b, netip.AddrPort{}, 0)
		n += k
		if e == syscall.EAGAIN {
			return n
		}
		s.must(e)
	}
}

// stuff writes until buffers are full on both sides.
func (w *world) stuff(s *sock) {
	w.t.Helper()
	for s.fill() > 0 {
		w.clock.Run(seconds)
	}
}

// drain reads all there is, checks it, and returns how much has come in all.
func (s *sock) drain(n int) (int, bool) {
	s.t.Helper()
	b, want := make([]byte, 10_000), make([]byte, 10_000)
	for {
		k, _, _, e := s.Recv(b, 0)
		if e == syscall.EAGAIN || e == 0 && k == 0 {
			return n, e == 0
		}
		s.must(e)
		if pattern(want[:k], n, 1); string(b[:k]) != string(want[:k]) {
			s.t.Fatalf("wrong bytes among the %d from %d on", k, n)
		}
		n += k
	}
}

// TestCloseNothing: where nothing was written, and no connection is open, there is nothing to wait for.
func TestCloseNothing(t *testing.T) {
	w := quiet(t)
	w.a.listen(t, 80)
	w.a.socket(t, sockDgram, 0)
	if !closed(w.a.Close()) {
		t.Error("Close waits")
	}
	if !closed(w.a.Close()) {
		t.Error("the second Close waits")
	}
}

// TestCloseDelivers: what was written arrives, over a link that loses some of it, at a reader that takes its time; and then
// the end of the stream, also of sockets that the program had closed itself.
func TestCloseDelivers(t *testing.T) {
	for _, self := range []bool{false, true} {
		w := newWorld(t, 3, nettest.Faults{Delay: 5_000_000, Loss: 0.05}, nic.Features{})
		a, b := w.pair(80)
		size := a.fill()
		if self {
			a.must(a.Socket.Close())
		}
		done := w.a.Close()
		got, end := 0, false
		for range 300 {
			if closed(done) && !end && got < size/2 {
				t.Fatalf("Close has not waited: %d bytes of %d have been read", got, size)
			}
			w.clock.Run(100_000_000)
			if got, end = b.drain(got); end {
				break
			}
		}
		if got != size || !end {
			t.Errorf("%d bytes of %d, end %v", got, size, end)
		}
		if !w.clock.RunUntil(3*seconds, func() bool { return closed(done) }) {
			t.Error("Close still waits")
		}
	}
}

// TestCloseGivesUp: a peer that takes nothing any more is waited for as long as there is hope, and no longer.
func TestCloseGivesUp(t *testing.T) {
	for _, c := range []struct {
		name        string
		write, gone bool // whether there is something to deliver; whether the peer has vanished
		least, most int64
	}{
		{"data, nobody reads", true, false, closingStall, closingStall + 2*seconds},
		{"data, nobody there", true, true, closingStall, closingStall + 2*seconds},
		{"FIN, nobody there", false, true, closingFIN, closingFIN + seconds/2},
		{"FIN", false, false, 0, seconds / 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := quiet(t)
			a, _ := w.pair(80)
			w.clock.Run(seconds)
			if c.write {
				w.stuff(a)
			}
			if c.gone {
				w.link.A.Tap = func([]byte) bool { return false }
			}
			begin := w.clock.Now()
			done := w.a.Close()
			if !w.clock.RunUntil(100*seconds, func() bool { return closed(done) }) {
				t.Fatal("Close waits for ever")
			}
			if took := w.clock.Now() - begin; took < c.least || took > c.most {
				t.Errorf("Close has waited %d ms", took/1_000_000)
			}
		})
	}
}

// TestCloseMost: a peer that takes a little now and then does not keep the guest for ever.
func TestCloseMost(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	w.stuff(a)
	begin := w.clock.Now()
	done := w.a.Close()
	tick := 0
	for !closed(done) {
		if w.clock.Now()-begin > closingMost+closingStall {
			t.Fatal("Close waits for ever")
		}
		w.clock.Run(seconds)
		if tick++; tick%4 == 0 {
			b.recv(3000)
		}
	}
}

// TestCloseDatagram: a datagram that waits for a neighbour's address leaves.
func TestCloseDatagram(t *testing.T) {
	w := quiet(t)
	w.clock.Run(seconds)
	arrived := false
	w.link.A.Tap = func(frame []byte) bool {
		if e, ok := wire.ParseEthernet(frame); ok && e.Type() == wire.TypeIPv4 {
			arrived = true
		}
		return true
	}
	k := w.a.socket(t, sockDgram, 0)
	_, e := k.Send([]byte("last words"), netip.AddrPortFrom(w.b.addr, 9), 0)
	k.must(e)
	done := w.a.Close()
	if arrived || closed(done) {
		t.Fatal("the neighbour was known already")
	}
	if !w.clock.RunUntil(seconds, func() bool { return closed(done) }) || !arrived {
		t.Errorf("the datagram has left: %v; Close waits: %v", arrived, !closed(done))
	}
}
