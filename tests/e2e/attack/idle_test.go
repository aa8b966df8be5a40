package attack

import (
	"net/netip"
	"testing"
	"time"
)

// idleMax is what a connection that has made a request and is kept may cost the guest, in bytes: a goroutine's stack of
// 8 KiB, two buffers of 4 KiB, and what net/http and the stack know of it.
const idleMax = 28 << 10

// TestIdleConnections opens many connections that make one request and then stay. The client is served while they come,
// while they are there and while they go, and then everything is as it was before.
func TestIdleConnections(t *testing.T) {
	count := sample(1000, 50_000)
	v := newVictim(t, sample[int64](64*megabyte, 2048*megabyte))
	a := newAttacker(t, v.ns, tapName)
	quiet := v.during(func(netip.AddrPort) { time.Sleep(200 * time.Millisecond) })
	before := v.rest(0)

	var from []netip.AddrPort
	for n := range count {
		from = append(from, netip.AddrPortFrom(stranger(n), 4000))
	}
	var peers []peer
	var there memory
	r := v.during(func(netip.AddrPort) {
		begin := time.Now()
		err := a.open(from, []byte("GET /number/0 HTTP/1.1\r\nHost: guest\r\n\r\n"), func(p peer) { peers = append(peers, p) })
		if err != nil {
			t.Error(err)
			return
		}
		figure(t, "idle connections", "opened", float64(count)/time.Since(begin).Seconds(), "1/s")
		a.answer()
		if there, err = v.memory(true); err != nil {
			t.Error(err)
		}
	})
	if there.Conns < int64(count) {
		t.Fatalf("the guest has %d connections, want %d", there.Conns, count)
	}
	each := (there.Resident - before.Resident) / int64(count)
	figure(t, "idle connections", "memory of one", float64(each), "bytes")
	figure(t, "idle connections", "heap of one", float64(there.Heap-before.Heap)/float64(count), "bytes")
	figure(t, "idle connections", "guest had", float64(r.resident)/megabyte, "MiB")
	if each > idleMax || r.resident > v.limit {
		t.Errorf("a connection costs %d bytes; the guest had %d KiB of %d", each, r.resident>>10, v.limit>>10)
	}
	v.during(func(netip.AddrPort) {
		if err := a.reset(peers); err != nil {
			t.Error(err)
		}
	})
	after := v.rest(0)
	v.check(t, "idle connections", r, quiet, before, after)
	// Tables that have grown stay: of descriptors, of goroutines (a dead one keeps its place), of what polls wait for.
	if left := (after.held() - before.held()) / int64(count); after.held() > before.held()+8*megabyte && left > idleMax/8 {
		t.Errorf("%d bytes of each connection are left", left)
	}
	v.end()
}
