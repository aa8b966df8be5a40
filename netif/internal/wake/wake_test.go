package wake

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func newEvent(t *testing.T) *Event {
	t.Helper()
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func readable(t *testing.T, e *Event, ms int) bool {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(e.FD()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p, ms)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
}

func TestStates(t *testing.T) {
	e := newEvent(t)
	e.Notify()
	if readable(t, e, 0) {
		t.Error("a notification for one who is awake costs a system call")
	}
	e.Arm()
	if readable(t, e, 0) {
		t.Error("readable when armed")
	}
	e.Notify()
	e.Notify()
	if !readable(t, e, 0) {
		t.Error("not readable after a notification")
	}
	e.Clear()
	e.Notify()
	if readable(t, e, 0) {
		t.Error("readable after Clear")
	}
	e.Arm()
	e.Notify()
	e.Arm() // forgets the notification: the consumer has looked
	if readable(t, e, 0) {
		t.Error("readable after being armed again")
	}
	fd := e.FD()
	e.Close()
	e.Arm()
	e.Notify()
	e.Clear()
	e.Close()
	if e.FD() != -1 || fd < 0 {
		t.Errorf("descriptor %d after Close, was %d", e.FD(), fd)
	}
}

// TestNoneLost passes numbers from several producers to a consumer that sleeps whenever there is nothing, for ever if a
// wake-up is lost.
func TestNoneLost(t *testing.T) {
	const producers, each = 4, 20000
	e := newEvent(t)
	var mu sync.Mutex
	queue, got := 0, 0
	var wg sync.WaitGroup
	for range producers {
		wg.Go(func() {
			for range each {
				mu.Lock()
				queue++
				e.Notify()
				mu.Unlock()
			}
		})
	}
	for got < producers*each {
		mu.Lock()
		e.Clear()
		got, queue = got+queue, 0
		if got < producers*each {
			e.Arm()
		}
		mu.Unlock()
		if got < producers*each && !readable(t, e, 60_000) {
			t.Fatalf("asleep with %d of %d", got, producers*each)
		}
	}
	wg.Wait()
}
