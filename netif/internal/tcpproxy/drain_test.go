package tcpproxy

import (
	"testing"
	"time"
)

// TestDrain fills the socket of the host and what waits for it, and has the guest end then: the host gets all of it.
func TestDrain(t *testing.T) {
	r, fd := opened(t, 65535, options...)
	Drain(nil, r.proxy.Owed) // nothing is owed
	data, sent := text(60000), 0
	for room := 65535; room > 0; {
		n := min(room, len(data))
		r.send(ack, data[:n])
		sent += n
		time.Sleep(time.Millisecond) // so much is acknowledged at once
		room = int(r.expect(ack, "").window) << windowScale
	}
	if r.only().pend.size == 0 {
		t.Fatal("nothing waits for the host")
	}
	quit := make(chan struct{})
	close(quit)
	if Drain(quit, r.proxy.Owed); r.only().pend.size == 0 {
		t.Error("all is written although the host has not read")
	}
	got := make(chan int)
	go func() {
		n := 0
		for n < sent {
			data, end := hostRead(t, fd)
			if n += len(data); end {
				break
			}
			time.Sleep(time.Millisecond)
		}
		got <- n
	}()
	Drain(nil, r.proxy.Owed)
	if left := r.only().pend.size; left != 0 {
		t.Errorf("%d bytes are left", left)
	}
	if n := <-got; n != sent {
		t.Errorf("the host got %d bytes of %d", n, sent)
	}
}
