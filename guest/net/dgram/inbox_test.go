package dgram

import (
	"testing"

	"ukvm.dev/guest/net/packet"
)

func TestLimits(t *testing.T) {
	var pool packet.Pool
	total := 0
	a := Inbox{Limit: 5000, Total: &total, TotalLimit: 8000}
	b := Inbox{Limit: 5000, Total: &total, TotalLimit: 8000}
	push := func(x *Inbox, n int) bool {
		p := pool.Receive(packet.Small)
		p.Truncate(n)
		return x.Push(p)
	}
	if !push(&a, 1000) || push(&a, 1000) && push(&a, 1000) {
		t.Error("limit of one")
	}
	for push(&b, 1) { // short ones take little
	}
	if b.Len() < 3 || total > 8000 || b.Dropped != 1 {
		t.Errorf("%d datagrams, %d bytes in all, %d dropped", b.Len(), total, b.Dropped)
	}
	a.Clear()
	if b.Drop(); !push(&b, 1) {
		t.Error("no room where one was taken")
	}
	b.Clear()
	if total != 0 || a.Len() != 0 || b.Front() != nil {
		t.Errorf("%d bytes left", total)
	}
}
