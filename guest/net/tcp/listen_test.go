package tcp

import (
	"net/netip"
	"testing"
)

// TestReusePort: listeners that share a port get about equal shares of the flows, and each flow always the same one.
func TestReusePort(t *testing.T) {
	p := newPeer(t)
	const count = 5
	share := map[*Listener]int{}
	for range count {
		c := p.box.New()
		if err := c.Bind(netip.Addr{}, 80, false, true); err != nil {
			t.Fatal(err)
		}
		l, err := c.Listen(8)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	const flows = 10000
	for port := range uint32(flows) {
		f := flow{hostAddr, peerAddr, 80, port + 1}
		l := p.box.listener(&f)
		share[l]++
		for range 3 {
			if p.box.listener(&f) != l {
				t.Fatal("a flow has changed its listener")
			}
		}
	}
	for _, n := range share {
		if n < flows/count*8/10 || n > flows/count*12/10 {
			t.Errorf("a listener has %d of %d flows", n, flows)
		}
	}
	if len(share) != count {
		t.Errorf("%d of %d listeners have flows", len(share), count)
	}
}
