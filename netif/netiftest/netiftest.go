// Package netiftest checks implementations of netif.Link: Run is what all of them must pass. For tests of single
// backends it also has a guest stand-in (Guest), network namespaces that live as long as a test (NetNS) and a leak
// check (Leaks).
package netiftest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
)

// Patience is how long a test waits for what must happen before it fails.
const Patience = 10 * time.Second

// Subject is a link under test with something at its other end that answers.
type Subject struct {
	Link netif.Link
	MTU  int

	// Request is a frame whose sending through Link makes exactly one frame arrive at Link, of any length. It is the
	// same each time; the caller does not change it. A nil Request says that Provoke sends by other means.
	Request []byte

	// Provoke makes one frame arrive at Link soon. It is called by one goroutine at a time, beside Receive and Arm.
	// Nil: it sends Request.
	Provoke func()
}

// Run checks that the links that mk makes keep the contract of netif.Link. A Subject's links must be silent but for the
// answers.
func Run(t *testing.T, mk func(t *testing.T) Subject) {
	for _, c := range []struct {
		name  string
		check func(*testing.T, *subject)
	}{
		{"Idle", checkIdle},
		{"Answer", checkAnswer},
		{"Batch", checkBatch},
		{"Pieces", checkPieces},
		{"TooLongToSend", checkTooLongToSend},
		{"TooLongToReceive", checkTooLongToReceive},
		{"ArmAndFD", checkArmAndFD},
		{"Wakeups", checkWakeups},
		{"MemoryIsNotKept", checkMemory},
		{"Close", checkClose},
		{"CloseDuringCalls", checkCloseDuringCalls},
	} {
		t.Run(c.name, func(t *testing.T) {
			Leaks(t)
			s := &subject{Subject: mk(t)}
			t.Cleanup(func() {
				if err := s.Link.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
			})
			c.check(t, s)
		})
	}
}

type subject struct{ Subject }

// provoke makes one frame arrive.
func (s *subject) provoke(t *testing.T) {
	if s.Provoke != nil {
		s.Provoke()
		return
	}
	s.send(t, 1)
}

// send sends the request n times in one batch.
func (s *subject) send(t *testing.T, n int) {
	t.Helper()
	frames := make([]netif.Frame, n)
	for i := range frames {
		frames[i] = netif.Frame{Data: [][]byte{s.Request}, Len: len(s.Request)}
	}
	if sent, err := s.Link.Send(frames); sent != n || err != nil {
		t.Fatalf("Send of %d frames = %d, %v", n, sent, err)
	}
}

// frames makes n frames with room for whatever the link may carry.
func (s *subject) frames(n int) []netif.Frame {
	frames := make([]netif.Frame, n)
	for i := range frames {
		frames[i].Data = [][]byte{make([]byte, netif.EthernetSize+s.MTU)}
	}
	return frames
}

// await receives into frames, sleeping on FD as a consumer should, until at least one has come.
func (s *subject) await(t *testing.T, frames []netif.Frame) int {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		n, err := s.Link.Receive(frames)
		if err != nil {
			t.Fatalf("Receive = %v", err)
		}
		if n > 0 {
			return n
		}
		if s.Link.Arm() {
			continue
		}
		if !Readable(s.Link.FD(), time.Until(deadline)) {
			t.Fatalf("FD did not become readable in %v after Arm reported false", Patience)
		}
	}
}

// Readable waits until fd is readable and reports whether it is.
func Readable(fd int, patience time.Duration) bool {
	deadline := time.Now().Add(patience)
	for {
		left := max(0, time.Until(deadline))
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, int((left+time.Millisecond-1)/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		return err == nil && n > 0 && p[0].Revents&unix.POLLIN != 0
	}
}
