package network

import (
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// TestOffline runs a program without a network: it starts, loopback works, and the rest is an error at once.
func TestOffline(t *testing.T) {
	const want = `web: over loopback <nil>
tcp: unreachable network true
udp: unreachable network true
name: error true, at once true
packet: datagram <nil>
interface: lo
`
	r := ukvmtest.Ukvm(t, "run", "--net", "none", image(t), "--", "offline")
	if r.Code != 0 || r.Stdout != want || r.Stderr != "" {
		t.Errorf("code %d, %q, %q", r.Code, r.Stdout, r.Stderr)
	}
}
