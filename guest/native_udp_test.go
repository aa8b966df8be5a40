package guest

import (
	"net/netip"
	"runtime"
	"testing"
)

// TestNativePeer: natively, too, a connected socket hears of nobody at its peer, and groups are joined and left. (Nothing
// can be sent to one through loopback.)
func TestNativePeer(t *testing.T) {
	before := runtime.NumGoroutine()
	s, err := UDP().OpenAt(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	peer := s.Addr()
	s.Close()
	for _, local := range []string{"127.0.0.1:0", "[::]:0"} {
		c, err := UDP().OpenAt(netip.MustParseAddrPort(local))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(nil); err == nil {
			t.Error("sent to nobody")
		}
		if err := c.Connect(peer); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		c.OnError(func(err error) {
			select {
			case failed <- err:
			default:
			}
		})
		if err := c.Send([]byte("anybody?")); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err != ErrRefused {
			t.Errorf("%s: %v", local, err)
		}
		c.Close()
	}
	g, err := UDP().Open(0)
	if err != nil {
		t.Fatal(err)
	}
	group := netip.MustParseAddr("ff02::1234%lo")
	if err := g.Join(group); err != nil {
		t.Fatal(err)
	}
	if err := g.Join(group); err == nil {
		t.Error("joined twice")
	}
	if err := g.Leave(group); err != nil {
		t.Error(err)
	}
	if err := g.Leave(group); err == nil {
		t.Error("left twice")
	}
	g.Close()
	finished(t, before)
}
