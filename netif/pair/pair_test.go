package pair_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/pair"
)

func newPair(t testing.TB, c pair.Config) (a, b *pair.Link) {
	t.Helper()
	a, b, err := pair.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestConformance(t *testing.T) {
	netiftest.Run(t, func(t *testing.T) netiftest.Subject {
		a, b := newPair(t, pair.Config{})
		netiftest.Echo(t, b, 1500)
		return netiftest.Subject{Link: a, MTU: 1500, Request: []byte("destination, source, type and a few bytes of payload")}
	})
}

// numbered is a frame that says which it is.
func numbered(i int) netif.Frame {
	data := fmt.Appendf(nil, "%-60d", i)
	return netif.Frame{Data: [][]byte{data[:7], data[7:]}, Len: len(data)}
}

// drain receives what is ready now.
func drain(t *testing.T, l *pair.Link) (got []string) {
	t.Helper()
	frame := []netif.Frame{{Data: [][]byte{make([]byte, 2000)}}}
	for {
		n, err := l.Receive(frame)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return got
		}
		got = append(got, string(bytes.TrimSpace(frame[0].Data[0][:frame[0].Len])))
	}
}

// run sends count frames one by one and returns those that arrive, in order, after everything has settled.
func run(t *testing.T, c pair.Config, count int) (got []string) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPair(t, c)
		for i := range count {
			if _, err := a.Send([]netif.Frame{numbered(i)}); err != nil {
				t.Fatal(err)
			}
			got = append(got, drain(t, b)...)
		}
		time.Sleep(time.Second) // in the bubble: until every timer has fired
		got = append(got, drain(t, b)...)
	})
	return got
}

func TestFaultsAreDeterministic(t *testing.T) {
	c := pair.Config{Seed: 7, AtoB: pair.Faults{Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1, Reorder: 0.1, Jitter: time.Millisecond}}
	first := run(t, c, 500)
	if second := run(t, c, 500); !slices.Equal(first, second) {
		t.Error("the same seed gave another sequence")
	}
	c.Seed = 8
	if other := run(t, c, 500); slices.Equal(first, other) {
		t.Error("another seed gave the same sequence")
	}
}

func TestFaults(t *testing.T) {
	const count = 4000
	want := make([]string, count)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	near := func(t *testing.T, what string, got int) {
		t.Helper()
		if got < count/10*8/10 || got > count/10*12/10 {
			t.Errorf("%d of %d %s, want a tenth", got, count, what)
		}
	}
	t.Run("None", func(t *testing.T) {
		if got := run(t, pair.Config{}, count); !slices.Equal(got, want) {
			t.Error("frames did not arrive as sent")
		}
	})
	t.Run("Loss", func(t *testing.T) {
		got := run(t, pair.Config{AtoB: pair.Faults{Loss: 0.1}}, count)
		near(t, "lost", count-len(got))
		if !slices.IsSortedFunc(got, byNumber) {
			t.Error("loss changed the order")
		}
	})
	t.Run("Duplicate", func(t *testing.T) {
		got := run(t, pair.Config{AtoB: pair.Faults{Duplicate: 0.1}}, count)
		near(t, "duplicated", len(got)-count)
		if !slices.Equal(slices.Compact(got), want) {
			t.Error("copies do not follow their frames")
		}
	})
	t.Run("Corrupt", func(t *testing.T) {
		got := run(t, pair.Config{AtoB: pair.Faults{Corrupt: 0.1}}, count)
		changed := 0
		for i := range got {
			if got[i] != want[i] {
				changed++
			}
		}
		if changed < count/10*6/10 || changed > count/10 { // most bits are in blanks or digits, trimmed blanks show
			t.Errorf("%d of %d changed, want about a tenth", changed, count)
		}
	})
	t.Run("Reorder", func(t *testing.T) {
		got := run(t, pair.Config{AtoB: pair.Faults{Reorder: 0.1}}, count)
		early := 0
		for i := range got {
			if i > 0 && byNumber(got[i], got[i-1]) < 0 {
				early++
			}
		}
		if early < count/20 || early > count/8 {
			t.Errorf("%d of %d overtaken, want about a tenth", early, count)
		}
		slices.SortFunc(got, byNumber)
		if !slices.Equal(got, want) {
			t.Error("reordering lost or doubled frames")
		}
	})
	t.Run("Jitter", func(t *testing.T) {
		got := run(t, pair.Config{AtoB: pair.Faults{Jitter: time.Second / 2}, Queue: count}, count)
		if slices.IsSortedFunc(got, byNumber) {
			t.Error("jitter kept the order")
		}
		slices.SortFunc(got, byNumber)
		if !slices.Equal(got, want) {
			t.Error("jitter lost or doubled frames")
		}
	})
}

func byNumber(a, b string) int {
	var x, y int
	fmt.Sscan(a, &x)
	fmt.Sscan(b, &y)
	return x - y
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPair(t, pair.Config{AtoB: pair.Faults{Delay: 30 * time.Millisecond}})
		a.Send([]netif.Frame{numbered(1)})
		time.Sleep(20 * time.Millisecond)
		a.Send([]netif.Frame{numbered(2)})
		for _, step := range []struct {
			wait time.Duration
			want []string
		}{{9 * time.Millisecond, nil}, {time.Millisecond, []string{"1"}}, {19 * time.Millisecond, nil}, {time.Millisecond, []string{"2"}}} {
			if b.Arm() || netiftest.Readable(b.FD(), 0) {
				t.Fatal("a frame is ready too early")
			}
			time.Sleep(step.wait)
			synctest.Wait()
			if readable := netiftest.Readable(b.FD(), 0); readable != (step.want != nil) {
				t.Errorf("FD readable: %v", readable)
			}
			if got := drain(t, b); !slices.Equal(got, step.want) {
				t.Errorf("received %q, want %q", got, step.want)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	a, b := newPair(t, pair.Config{MTU: 576, Queue: 3})
	long := netif.Frame{Data: [][]byte{make([]byte, 591)}, Len: 591}
	a.Send([]netif.Frame{long, numbered(0), numbered(1), numbered(2), numbered(3)})
	if got, want := drain(t, b), []string{"0", "1", "2"}; !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
	if c := a.Counters(); c.TxDropped != 2 || c.TxFrames != 3 || c.TxBytes != 180 {
		t.Errorf("sender's counters: %+v", c)
	}
}

// TestFeatures: a frame may leave to the other end what both have agreed to.
func TestFeatures(t *testing.T) {
	all := netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: 65549, RxSegment: 65549}
	a, b := newPair(t, pair.Config{MTU: 576})
	if f := a.Features(); f != (netif.Features{}) || a.SetFeatures(netif.Features{TxChecksum: true}) == nil {
		t.Errorf("without Offload: %+v", f)
	}
	if _, _, err := pair.New(pair.Config{Offload: true, BtoA: pair.Faults{Corrupt: 0.1}}); err == nil {
		t.Error("corruption without checksums was accepted")
	}
	sum := hypercall.NetHeader{Flags: hypercall.NeedsCsum}
	segments := hypercall.NetHeader{Flags: hypercall.NeedsCsum, GSOType: hypercall.GSOTCP4, GSOSize: 500}
	all6, segments6 := all, segments
	all6.TCP6, segments6.GSOType = true, hypercall.GSOTCP6
	for _, c := range []struct {
		name   string
		tx, rx netif.Features // beside Offload
		header hypercall.NetHeader
		size   int
		passes bool
	}{
		{"plain", netif.Features{}, netif.Features{}, hypercall.NetHeader{}, 500, true},
		{"a checksum", all, all, sum, 500, true},
		{"a checksum the sender did not agree to", netif.Features{RxChecksum: true}, all, sum, 500, false},
		{"a checksum the receiver did not agree to", all, netif.Features{TxChecksum: true}, sum, 500, false},
		{"a long frame that is not cut", all, all, sum, 591, false},
		{"segments", all, all, segments, 60000, true},
		{"segments of IPv6", all6, all6, segments6, 60000, true},
		{"segments of IPv6 the sender did not agree to", all, all6, segments6, 60000, false},
		{"segments of IPv6 the receiver did not agree to", all6, all, segments6, 60000, false},
		{"segments without a checksum", all, all, hypercall.NetHeader{GSOType: hypercall.GSOTCP4, GSOSize: 500}, 60000, false},
		{"segments the sender did not agree to", netif.Features{TxChecksum: true}, all, segments, 60000, false},
		{"segments longer than agreed", netif.Features{TxChecksum: true, TxSegment: 59999}, all, segments, 60000, false},
		{"segments the receiver did not agree to", all, netif.Features{RxChecksum: true}, segments, 60000, false},
	} {
		a, b = newPair(t, pair.Config{MTU: 576, Offload: true})
		if err := errors.Join(a.SetFeatures(c.tx), b.SetFeatures(c.rx)); err != nil {
			t.Fatal(err)
		}
		a.Send([]netif.Frame{{Header: c.header, Data: [][]byte{make([]byte, c.size)}, Len: c.size}})
		frame := []netif.Frame{{Data: [][]byte{make([]byte, 65549)}}}
		n, err := b.Receive(frame)
		if (n == 1) != c.passes || err != nil || n == 1 && (frame[0].Header != c.header || frame[0].Len != c.size) {
			t.Errorf("%s: Receive = %d, %v, %+v", c.name, n, err, frame[0].Header)
		}
		if dropped := a.Counters().TxDropped + b.Counters().RxDropped; (dropped == 1) == c.passes {
			t.Errorf("%s: %d frames dropped", c.name, dropped)
		}
	}
	for _, f := range []netif.Features{{RxSegment: 1}, {TxSegment: 1}, {TxChecksum: true, TxSegment: 65550}, {TxChecksum: true, TxSegment: -1}} {
		if err := a.SetFeatures(f); err == nil {
			t.Errorf("%+v was accepted", f)
		}
	}
}

func TestHook(t *testing.T) {
	var a, b *pair.Link
	a, b = newPair(t, pair.Config{Hook: func(from *pair.Link, p *pair.Packet) bool {
		if from != a {
			t.Error("hook called for the wrong end")
		}
		if p.Data[0] == '2' {
			return false
		}
		p.Data[0]++
		return true
	}})
	a.Send([]netif.Frame{numbered(1), numbered(2), numbered(3)})
	if got, want := drain(t, b), []string{"2", "4"}; !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
}

// TestTransfer sends 20 MiB each way through two TCP stacks while the link loses and reorders.
func TestTransfer(t *testing.T) {
	t.Run("Plain", func(t *testing.T) { transfer(t, false) })
	t.Run("Offload", func(t *testing.T) { transfer(t, true) })
}

func transfer(t *testing.T, offload bool) {
	netiftest.Leaks(t)
	faults := pair.Faults{Loss: 0.005, Reorder: 0.005}
	linkA, linkB := newPair(t, pair.Config{Seed: 1, Offload: offload, AtoB: faults, BtoA: faults})
	features := linkA.Features()
	if err := errors.Join(linkA.SetFeatures(features), linkB.SetFeatures(features)); err != nil {
		t.Fatal(err)
	}
	config := netif.Config{MAC: [6]byte{2, 0, 0, 0, 0, 1}, MTU: 1500, Addr: netip.MustParsePrefix("192.0.2.1/24")}
	a := netiftest.NewGuest(t, linkA, config, netiftest.GuestOptions{Features: features})
	config.MAC[5], config.Addr = 2, netip.MustParsePrefix("192.0.2.2/24")
	b := netiftest.NewGuest(t, linkB, config, netiftest.GuestOptions{Features: features})

	const size = transferSize
	listener := b.Listen(t, 80)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := a.Dial(ctx, "tcp", "192.0.2.2:80")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	var wg sync.WaitGroup
	send := func(c net.Conn, seed uint64) {
		if _, err := io.Copy(c, io.LimitReader(stream(seed), size)); err != nil {
			t.Errorf("send: %v", err)
		}
	}
	receive := func(c net.Conn, seed uint64) {
		got, want := sha256.New(), sha256.New()
		io.CopyN(want, stream(seed), size)
		if n, err := io.CopyN(got, c, size); err != nil {
			t.Errorf("received %d bytes: %v", n, err)
		}
		if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Error("the stream arrived changed")
		}
	}
	wg.Go(func() { send(client, 1) })
	wg.Go(func() { send(server, 2) })
	wg.Go(func() { receive(client, 2) })
	wg.Go(func() { receive(server, 1) })
	wg.Wait()
	c := linkA.Counters()
	if c.TxDropped == 0 {
		t.Error("nothing was lost on the way")
	}
	if size := c.TxBytes / c.TxFrames; (size > 1514) != offload && transferSize > 1<<20 {
		t.Errorf("frames have %d bytes on average", size)
	}
}

func stream(seed uint64) io.Reader {
	return rand.NewChaCha8([32]byte{byte(seed)})
}
