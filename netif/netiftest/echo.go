package netiftest

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
)

// Echo sends back each frame that comes to link, until the test ends.
func Echo(t testing.TB, link netif.Link, mtu int) {
	t.Helper()
	stop, err := newStopper()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		frames := make([]netif.Frame, 16)
		for i := range frames {
			frames[i].Data = [][]byte{make([]byte, netif.EthernetSize+mtu)}
		}
		for {
			n, err := link.Receive(frames)
			if err == nil {
				_, err = link.Send(frames[:n])
			}
			if err != nil && !errors.Is(err, netif.ErrClosed) {
				t.Errorf("echo: %v", err)
			}
			if err != nil || n == 0 && !link.Arm() && !stop.wait(link.FD()) {
				return
			}
		}
	})
	t.Cleanup(func() {
		unix.Close(stop.w)
		wg.Wait()
		unix.Close(stop.r)
	})
}
