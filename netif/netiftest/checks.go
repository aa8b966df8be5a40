package netiftest

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"testing"
	"weak"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

func checkIdle(t *testing.T, s *subject) {
	for range 2 {
		if n, err := s.Link.Receive(s.frames(4)); n != 0 || err != nil {
			t.Fatalf("Receive with nothing waiting = %d, %v", n, err)
		}
		if s.Link.Arm() {
			t.Fatal("Arm reports that something waits on an idle link")
		}
		if Readable(s.Link.FD(), 0) {
			t.Fatal("FD of an idle link is readable")
		}
	}
	if n, err := s.Link.Receive(nil); n != 0 || err != nil {
		t.Fatalf("Receive(nil) = %d, %v", n, err)
	}
	if n, err := s.Link.Send(nil); n != 0 || err != nil {
		t.Fatalf("Send(nil) = %d, %v", n, err)
	}
}

func checkAnswer(t *testing.T, s *subject) {
	frames := s.frames(2)
	frames[0].Len, frames[1].Len = -1, -1
	frames[0].Header = hypercall.NetHeader{Flags: 0xff, GSOType: 0xff, GSOSize: 0xffff}
	s.provoke(t)
	if n := s.await(t, frames); n != 1 {
		t.Fatalf("one request was answered by %d frames", n)
	}
	f := frames[0]
	if f.Len < netif.EthernetSize || f.Len > netif.EthernetSize+s.MTU {
		t.Errorf("Receive set Len %d", f.Len)
	}
	if h := f.Header; h.Flags != 0 || h.GSOType != 0 || h.GSOSize != 0 {
		t.Errorf("Receive set header %+v, although no offload is on", h)
	}
	if frames[1].Len != -1 {
		t.Error("Receive changed a frame it did not return")
	}
}

func checkBatch(t *testing.T, s *subject) {
	const total = 100
	for range total {
		s.provoke(t)
	}
	for got, room := 0, 1; got < total; room = room%7 + 1 {
		n := s.await(t, s.frames(room))
		if n > room {
			t.Fatalf("Receive into %d frames returned %d", room, n)
		}
		if got += n; got > total {
			t.Fatalf("%d frames came for %d", got, total)
		}
	}
	if s.Request == nil {
		return
	}
	s.send(t, total)
	for got := 0; got < total; {
		got += s.await(t, s.frames(33))
	}
	if n, err := s.Link.Receive(s.frames(1)); n != 0 || err != nil {
		t.Fatalf("Receive after the last answer = %d, %v", n, err)
	}
}

func checkPieces(t *testing.T, s *subject) {
	whole := s.frames(1)
	s.provoke(t)
	s.await(t, whole)
	want := whole[0].Data[0][:whole[0].Len]

	if s.Request != nil {
		r := s.Request
		pieces := [][]byte{nil, r[:1], r[1:13], {}, r[13:15], r[15:], []byte("behind the end")}
		if n, err := s.Link.Send([]netif.Frame{{Data: pieces, Len: len(r)}}); n != 1 || err != nil {
			t.Fatalf("Send in pieces = %d, %v", n, err)
		}
	} else {
		s.provoke(t)
	}
	buf := bytes.Repeat([]byte{0xa5}, netif.EthernetSize+s.MTU)
	parted := []netif.Frame{{Data: [][]byte{{}, buf[:3], buf[3:17], nil, buf[17:40], buf[40:]}}}
	s.await(t, parted)
	if got := buf[:parted[0].Len]; !bytes.Equal(got, want) {
		t.Errorf("received in pieces:\n%x\nin one:\n%x", got, want)
	}
}

func checkTooLongToSend(t *testing.T, s *subject) {
	if s.Request == nil {
		t.Skip("the subject does not send")
	}
	long := make([]byte, netif.EthernetSize+65535+1)
	copy(long, s.Request)
	bad := []netif.Frame{
		{Data: [][]byte{long}, Len: len(long)},
		{Data: [][]byte{s.Request}, Len: len(s.Request) + 1}, // longer than its memory
		{Data: [][]byte{s.Request}, Len: netif.EthernetSize - 1},
		{Data: nil, Len: 0},
		{Data: [][]byte{s.Request}, Len: -1},
		{Data: [][]byte{s.Request}, Len: len(s.Request)},
	}
	if n, err := s.Link.Send(bad); n != len(bad) || err != nil {
		t.Fatalf("Send of bad frames and a good one = %d, %v", n, err)
	}
	s.await(t, s.frames(1)) // to the good one
	c, ok := s.Link.(netif.Counter)
	if !ok {
		return
	}
	if got := c.Counters(); got.TxDropped != 5 || got.TxFrames != 1 || got.TxBytes != uint64(len(s.Request)) || got.RxFrames != 1 {
		t.Errorf("counters after five bad frames and a good one: %+v", got)
	}
}

func checkTooLongToReceive(t *testing.T, s *subject) {
	for range 3 {
		s.provoke(t)
	}
	small := []netif.Frame{{Data: [][]byte{make([]byte, 5), make([]byte, 8)}}}
	for s.dropped() == 0 {
		if n, err := s.Link.Receive(small); n != 0 || err != nil {
			t.Fatalf("Receive into 13 bytes = %d, %v", n, err)
		}
		if _, ok := s.Link.(netif.Counter); !ok {
			return
		}
		if s.dropped() == 0 && !s.Link.Arm() && !Readable(s.Link.FD(), Patience) {
			t.Fatal("no frame came")
		}
	}
	s.provoke(t)
	s.await(t, s.frames(1))
}

func (s *subject) dropped() uint64 {
	if c, ok := s.Link.(netif.Counter); ok {
		return c.Counters().RxDropped
	}
	return 0
}

func checkArmAndFD(t *testing.T, s *subject) {
	fd := s.Link.FD()
	for range 20 {
		for s.Link.Arm() {
			t.Fatal("Arm reports that something waits on a drained link")
		}
		s.provoke(t)
		if !Readable(fd, Patience) {
			t.Fatal("FD did not become readable")
		}
		if !s.Link.Arm() && !Readable(fd, Patience) {
			t.Fatal("a second Arm lost the wake-up")
		}
		if n := s.await(t, s.frames(4)); n != 1 {
			t.Fatalf("Receive = %d frames", n)
		}
		if n, err := s.Link.Receive(s.frames(1)); n != 0 || err != nil {
			t.Fatalf("Receive = %d, %v", n, err)
		}
		if Readable(fd, 0) {
			t.Fatal("FD of a drained link is readable")
		}
		// Frames that come to a consumer that is awake need not be signalled, but Arm must find them.
		s.provoke(t)
		s.await(t, s.frames(1))
		if s.Link.FD() != fd {
			t.Fatal("FD changed")
		}
	}
}

// checkWakeups hammers the protocol of Arm and FD from both sides; a lost wake-up makes await give up.
func checkWakeups(t *testing.T, s *subject) {
	const total = 3000
	window := make(chan struct{}, 64) // fewer on the way than any queue holds
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(done)
	wg.Go(func() {
		for i := range total {
			select {
			case window <- struct{}{}:
			case <-done:
				return
			}
			s.provoke(t)
			if i%3 == 0 {
				runtime.Gosched()
			}
		}
	})
	for got := 0; got < total; {
		n := s.await(t, s.frames(16))
		for range n {
			<-window
		}
		got += n
	}
}

func checkMemory(t *testing.T, s *subject) {
	frames := s.frames(1)
	s.provoke(t)
	s.await(t, frames)
	kept := []weak.Pointer[byte]{weak.Make(&frames[0].Data[0][0])}
	frames = nil
	if s.Request != nil {
		request := bytes.Clone(s.Request)
		kept = append(kept, weak.Make(&request[0]))
		batch := []netif.Frame{{Data: [][]byte{request}, Len: len(request)}}
		if _, err := s.Link.Send(batch); err != nil {
			t.Fatal(err)
		}
		clear(request) // too late for the frame
		clear(batch)
		s.await(t, s.frames(1))
	}
	runtime.GC()
	for i, p := range kept {
		if p.Value() != nil {
			t.Errorf("the link keeps memory of the caller (%s)", []string{"Receive", "Send"}[i])
		}
	}
	runtime.KeepAlive(s)
}

func checkClose(t *testing.T, s *subject) {
	s.provoke(t) // something may be waiting
	for range 2 {
		if err := s.Link.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	frame := netif.Frame{Data: [][]byte{make([]byte, 60)}, Len: 60}
	if n, err := s.Link.Send([]netif.Frame{frame}); n != 0 || !errors.Is(err, netif.ErrClosed) {
		t.Errorf("Send after Close = %d, %v", n, err)
	}
	if n, err := s.Link.Receive(s.frames(1)); n != 0 || !errors.Is(err, netif.ErrClosed) {
		t.Errorf("Receive after Close = %d, %v", n, err)
	}
	if !s.Link.Arm() {
		t.Error("Arm after Close reports that nobody will return anything")
	}
}

func checkCloseDuringCalls(t *testing.T, s *subject) {
	var wg, running sync.WaitGroup
	running.Add(2)
	until := func(call func() error) {
		for i := 0; ; i++ {
			if err := call(); errors.Is(err, netif.ErrClosed) {
				return
			} else if err != nil {
				t.Errorf("call during Close: %v", err)
				return
			}
			if i == 100 {
				running.Done()
			}
		}
	}
	request := s.Request
	if request == nil {
		request = make([]byte, 60)
	}
	wg.Go(func() {
		batch := []netif.Frame{{Data: [][]byte{request}, Len: len(request)}}
		until(func() error { _, err := s.Link.Send(batch); return err })
	})
	wg.Go(func() {
		frames := s.frames(4)
		until(func() error { s.Link.Arm(); _, err := s.Link.Receive(frames); return err })
	})
	running.Wait()
	for range 4 {
		wg.Go(func() {
			if err := s.Link.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	}
	wg.Wait()
}
