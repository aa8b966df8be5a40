package netiftest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

// What follows is for links whose frames go to the kernel's stack, by way of a device in a namespace.

// KernelLink is one.
type KernelLink interface {
	netif.Link
	netif.Offloader
	netif.Counter
	Config() netif.Config
}

// ARPRequest asks for the gateway's address, as the guest.
func ARPRequest(c netif.Config) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), c.MAC[:]...)
	b = append(b, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1) // ARP, Ethernet, IPv4, request (RFC 826)
	b = append(b, c.MAC[:]...)
	b = append(b, c.Addr.Addr().AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, c.Router.AsSlice()...)
}

// Offloads leaves checksums and segmentation to the other side, as far as that was agreed, and then closes the link. Its router is
// the host, in ns.
func Offloads(t *testing.T, ns *NetNS, l KernelLink) {
	t.Helper()
	all := l.Features()
	if !all.TCP6 {
		t.Error("no segmentation of IPv6")
	}
	for name, f := range map[string]netif.Features{
		"more than there is":             {TxChecksum: true, TxSegment: all.TxSegment + 1},
		"segments without checksums":     {RxSegment: all.RxSegment},
		"sending them without checksums": {TxSegment: all.TxSegment},
		"less than negative":             {TxChecksum: true, TxSegment: -1},
		"frames shorter than they come":  {RxChecksum: true, RxSegment: all.RxSegment - 1},
	} {
		if err := l.SetFeatures(f); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	frame := ARPRequest(l.Config())
	for _, h := range []hypercall.NetHeader{{Flags: hypercall.NeedsCsum}, {GSOType: hypercall.GSOTCP4}, {GSOType: hypercall.GSOTCP6}} {
		before := l.Counters().TxDropped
		l.Send([]netif.Frame{{Header: h, Data: [][]byte{frame}, Len: len(frame)}})
		if l.Counters().TxDropped != before+1 {
			t.Errorf("a frame with %+v was sent although that is off", h)
		}
	}
	for _, c := range []struct {
		features netif.Features
		tx, rx   bool // are there long frames?
	}{
		{netif.Features{TxChecksum: true, TxSegment: all.TxSegment}, true, false},
		{netif.Features{RxChecksum: true, RxSegment: all.RxSegment}, false, true},
		{netif.Features{TxChecksum: true, RxChecksum: true}, false, false},
		{all, true, true},
		{netif.Features{}, false, false},
	} {
		if err := l.SetFeatures(c.features); err != nil {
			t.Fatal(err)
		}
		guest := NewGuest(t, l, l.Config(), GuestOptions{Features: c.features})
		before := l.Counters()
		Transfer(t, ns, l.Config().Router, guest)
		guest.Stop()
		after := l.Counters()
		// 4 MiB and acknowledgements are at least 2800 frames of the MTU each way.
		const few = 2800
		if tx, rx := after.TxFrames-before.TxFrames, after.RxFrames-before.RxFrames; (tx < few) != c.tx || (rx < few) != c.rx {
			t.Errorf("%+v: %d frames sent, %d received", c.features, tx, rx)
		}
	}
	l.Close()
	if err := l.SetFeatures(all); !errors.Is(err, netif.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Transfer runs 4 MiB each way between a guest and a server on the kernel's stack, at an address of a namespace.
func Transfer(t *testing.T, ns *NetNS, host netip.Addr, guest *Guest) {
	t.Helper()
	var listener net.Listener
	ns.Do(t, func() (err error) {
		listener, err = net.Listen("tcp4", host.String()+":0")
		return err
	})
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := guest.Dial(ctx, "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	const size = 4 << 20
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(data)
	want := sha256.Sum256(data)
	var wg sync.WaitGroup
	for _, c := range []net.Conn{client, server} {
		wg.Go(func() {
			if _, err := c.Write(data); err != nil {
				t.Errorf("send: %v", err)
			}
		})
		wg.Go(func() {
			sum := sha256.New()
			if n, err := io.CopyN(sum, c, size); err != nil {
				t.Errorf("received %d bytes: %v", n, err)
			}
			if !bytes.Equal(sum.Sum(nil), want[:]) {
				t.Error("the stream arrived changed")
			}
		})
	}
	wg.Wait()
}

// Allocates checks that a frame either way, in however many pieces, takes no memory.
func Allocates(t *testing.T, l KernelLink) {
	t.Helper()
	request := ARPRequest(l.Config())
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
