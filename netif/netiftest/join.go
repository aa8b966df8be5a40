package netiftest

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
)

// Join carries frames of up to mtu bytes of payload from each link to the other, until the test ends. It stands for what
// lies between two links: what comes from one goes out of the other.
func Join(t testing.TB, a, b netif.Link, mtu int) {
	t.Helper()
	stop, err := newStopper()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, way := range [][2]netif.Link{{a, b}, {b, a}} {
		wg.Go(func() {
			if err := carry(way[0], way[1], mtu, stop); err != nil && !errors.Is(err, netif.ErrClosed) {
				t.Errorf("join: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		unix.Close(stop.w)
		wg.Wait()
		unix.Close(stop.r)
	})
}

// Echo sends back each frame that comes to link, until the test ends.
func Echo(t testing.TB, link netif.Link, mtu int) {
	t.Helper()
	stop, err := newStopper()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := carry(link, link, mtu, stop); err != nil && !errors.Is(err, netif.ErrClosed) {
			t.Errorf("echo: %v", err)
		}
	})
	t.Cleanup(func() {
		unix.Close(stop.w)
		wg.Wait()
		unix.Close(stop.r)
	})
}

// carry moves frames until stop.
func carry(from, to netif.Link, mtu int, stop stopper) error {
	buffers := make([][]byte, 32)
	for i := range buffers {
		buffers[i] = make([]byte, netif.EthernetSize+mtu)
	}
	frames := make([]netif.Frame, len(buffers))
	for {
		for i := range frames {
			frames[i].Data = [][]byte{buffers[i]}
		}
		n, err := from.Receive(frames)
		if err == nil {
			_, err = to.Send(frames[:n])
		}
		if err != nil {
			return err
		}
		if n == 0 && !from.Arm() && !stop.wait(from.FD()) {
			return nil
		}
	}
}
