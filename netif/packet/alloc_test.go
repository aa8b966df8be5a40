package packet_test

import (
	"testing"

	"ukvm.dev/netif"
)

// TestAllocates nothing for a frame either way, in however many pieces.
func TestAllocates(t *testing.T) {
	l := open(t, newWire(t, 1500).config())
	request := arpRequest(l.Config())
	out := []netif.Frame{{Data: [][]byte{request[:6], request[6:14], request[14:]}, Len: len(request)}}
	in := []netif.Frame{{}}
	for range 20 {
		in[0].Data = append(in[0].Data, make([]byte, 100))
	}
	received := 0
	n := testing.AllocsPerRun(200, func() {
		if n, err := l.Send(out); n != 1 || err != nil {
			t.Fatalf("Send = %d, %v", n, err)
		}
		n, err := l.Receive(in)
		if err != nil {
			t.Fatal(err)
		}
		received += n
	})
	if n >= 1 {
		t.Errorf("%v allocations for a frame each way", n)
	}
	if received == 0 {
		t.Error("nothing was received: the test shows little")
	}
}
