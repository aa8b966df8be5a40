package pcap_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/pair"
	"ukvm.dev/netif/pcap"
)

// config is what a guest is told of the links here.
var config = netif.Config{MAC: [6]byte{2, 0, 0, 0, 0, 1}, MTU: 1500, Addr: netip.MustParsePrefix("10.1.2.3/20")}

func newPair(t testing.TB) (a, b *pair.Link) {
	t.Helper()
	a, b, err := pair.New(pair.Config{MTU: 65535})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// file is a file in memory.
type file struct {
	mu     sync.Mutex
	b      bytes.Buffer
	closed bool
	err    error         // of Write, once room is used up
	room   int           // if err is set
	block  chan struct{} // Write waits for it
}

func (f *file) Write(b []byte) (int, error) {
	if f.block != nil {
		<-f.block
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && f.b.Len()+len(b) > f.room {
		n, _ := f.b.Write(b[:f.room-f.b.Len()])
		return n, f.err
	}
	return f.b.Write(b)
}

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

func (f *file) bytes() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.b.Bytes())
}

func capture(t testing.TB, f *file, o pcap.Options) *pcap.Capture {
	t.Helper()
	c, err := pcap.New(f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// frame is one of n bytes that begin with text.
func frame(text string, n int) netif.Frame {
	b := make([]byte, n)
	copy(b, text)
	return netif.Frame{Data: [][]byte{b[:n/3], b[n/3:]}, Len: n}
}

// TestConformance checks that a captured link is still a link.
func TestConformance(t *testing.T) {
	netiftest.Run(t, func(t *testing.T) netiftest.Subject {
		a, b, err := pair.New(pair.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close(); b.Close() })
		netiftest.Echo(t, b, 1500)
		link := capture(t, &file{}, pcap.Options{}).Link(a, "eth0", config)
		return netiftest.Subject{Link: link, MTU: 1500, Request: []byte("destination, source, type and a few bytes of payload")}
	})
}

// TestFile captures two cards in one file, both ways, and reads it back.
func TestFile(t *testing.T) {
	netiftest.Leaks(t)
	name := filepath.Join(t.TempDir(), "guest.pcapng")
	c, err := pcap.Create(name, pcap.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begin := time.Now()
	var guests, hosts []netif.Link
	for _, card := range []string{"eth0", "eth1"} {
		a, b := newPair(t)
		guests, hosts = append(guests, c.Link(a, card, config)), append(hosts, b)
	}
	send := func(l netif.Link, f netif.Frame) {
		if n, err := l.Send([]netif.Frame{f}); n != 1 || err != nil {
			t.Fatalf("Send = %d, %v", n, err)
		}
	}
	send(guests[0], frame("the first question", 60))
	send(hosts[0], frame("an answer", 61))
	send(hosts[1], frame("unasked", 65549))
	for i, want := range []int{61, 65549} {
		in := []netif.Frame{frame("", 65549), frame("", 65549)}
		if n, err := guests[i].Receive(in); n != 1 || err != nil || in[0].Len != want {
			t.Fatalf("Receive = %d of %d bytes, %v", n, in[0].Len, err)
		}
	}
	send(guests[1], frame("last", 14))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	send(guests[1], frame("too late", 20))

	got := netiftest.ReadCaptureFile(t, name)
	if len(got.Cards) != 2 || len(got.Packets) != 4 {
		t.Fatalf("%d interfaces and %d packets", len(got.Cards), len(got.Packets))
	}
	for i, card := range got.Cards {
		if card.Name != []string{"eth0", "eth1"}[i] || !strings.Contains(card.Description, "MTU 1500") || card.LinkType != 1 ||
			card.TimestampResolution != 9 || card.Statistics.PacketsReceived != 2 || card.Statistics.PacketsDropped != 0 {
			t.Errorf("interface %d is %+v", i, card)
		}
	}
	for i, want := range []struct {
		card, text string
		length     int
	}{{"eth0", "the first question", 60}, {"eth0", "an answer", 61}, {"eth1", "unasked", 65549}, {"eth1", "last", 14}} {
		p := got.Packets[i]
		if p.Card != want.card || !bytes.HasPrefix(p.Data, []byte(want.text)) || len(p.Data) != want.length || p.Length != want.length {
			t.Errorf("packet %d is %.20q of %d bytes on %s, want %+v", i, p.Data, p.Length, p.Card, want)
		}
		if p.Time.Before(begin.Truncate(0)) || p.Time.After(time.Now()) {
			t.Errorf("packet %d is of %v", i, p.Time)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

// blocks checks the structure of a file, which the other reader is lenient about, and returns the flags of the packets.
func blocks(t testing.TB, b []byte) (flags []uint32) {
	t.Helper()
	le := binary.LittleEndian
	for at := 0; at < len(b); {
		rest := b[at:]
		if len(rest) < 12 {
			t.Fatalf("%d bytes are left at %d", len(rest), at)
		}
		size := int(le.Uint32(rest[4:]))
		if size%4 != 0 || size < 12 || size > len(rest) || le.Uint32(rest[size-4:]) != uint32(size) {
			t.Fatalf("block at %d has length %d of %d", at, size, len(rest))
		}
		if le.Uint32(rest) == 6 {
			options := rest[28+(le.Uint32(rest[20:])+3)&^3:]
			if le.Uint16(options) != 2 || le.Uint16(options[2:]) != 4 || le.Uint32(options[8:]) != 0 {
				t.Fatalf("options of the packet at %d: % x", at, options[:min(len(options), 12)])
			}
			flags = append(flags, le.Uint32(options[4:]))
		}
		at += size
	}
	return flags
}

func TestDirections(t *testing.T) {
	f := &file{}
	c := capture(t, f, pcap.Options{})
	a, b := newPair(t)
	guest := c.Link(a, "eth0", config)
	b.Send([]netif.Frame{frame("in", 60)})
	guest.Receive([]netif.Frame{frame("", 100)})
	guest.Send([]netif.Frame{frame("out", 60)})
	c.Close()
	if got := blocks(t, f.bytes()); len(got) != 2 || got[0] != 1 || got[1] != 2 {
		t.Errorf("directions are %v, want inbound 1, outbound 2", got)
	}
	if !f.closed {
		t.Error("the file is open")
	}
}

func TestSnapLen(t *testing.T) {
	f := &file{}
	c := capture(t, f, pcap.Options{SnapLen: 21})
	a, _ := newPair(t)
	guest := c.Link(a, "eth0", config)
	guest.Send([]netif.Frame{frame("a long frame with a short beginning", 1000), frame("short", 20)})
	c.Close()
	got := netiftest.ReadCapture(t, bytes.NewReader(f.bytes()))
	if len(got.Packets) != 2 || string(got.Packets[0].Data) != "a long frame with a s" || got.Packets[0].Length != 1000 || len(got.Packets[1].Data) != 20 {
		t.Errorf("%+v", got.Packets)
	}
	if got.Cards[0].SnapLength != 21 {
		t.Errorf("snap length %d", got.Cards[0].SnapLength)
	}
}

// TestWhatIsNoFrame sends what a guest may make up.
func TestWhatIsNoFrame(t *testing.T) {
	f := &file{}
	c := capture(t, f, pcap.Options{})
	a, _ := newPair(t)
	guest := c.Link(a, "eth0", config)
	long := frame("", 1<<17)
	guest.Send([]netif.Frame{{Len: -1}, {Len: 1 << 40}, {}, {Data: [][]byte{make([]byte, 20)}, Len: 21}, long, frame("good", 14)})
	c.Close()
	if got := netiftest.ReadCapture(t, bytes.NewReader(f.bytes())); len(got.Packets) != 1 {
		t.Errorf("%d packets", len(got.Packets))
	}
}

// TestLimit fills a file up to its limit, which is kept with the statistics in it.
func TestLimit(t *testing.T) {
	const limit = 10_000
	f := &file{}
	c := capture(t, f, pcap.Options{Limit: limit})
	a, b := newPair(t)
	guest := c.Link(a, "eth0", config)
	for range 20 {
		guest.Send([]netif.Frame{frame("", 1000)})
		if n, _ := b.Receive([]netif.Frame{frame("", 2000)}); n != 1 {
			t.Fatal("the link does not carry what the capture leaves out")
		}
	}
	guest.Send([]netif.Frame{frame("small enough", 14)})
	if err := c.Close(); !errors.Is(err, pcap.ErrLimit) {
		t.Errorf("Close = %v", err)
	}
	got := netiftest.ReadCapture(t, bytes.NewReader(f.bytes()))
	if n := len(got.Packets); n < 8 || uint64(n) != 21-c.Missed() || len(f.bytes()) > limit {
		t.Errorf("%d packets and %d missed, in %d bytes", n, c.Missed(), len(f.bytes()))
	}
	if s := got.Cards[0].Statistics; s.PacketsReceived != 21 || s.PacketsDropped != c.Missed() {
		t.Errorf("statistics %+v", s)
	}
}

// TestDelay checks that a file is complete after a moment, without Close: the process may be killed.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{}
		c := capture(t, f, pcap.Options{})
		a, _ := newPair(t)
		guest := c.Link(a, "eth0", config)
		for n := 1; n < 4; n++ {
			guest.Send([]netif.Frame{frame("", 60)})
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if got := netiftest.ReadCapture(t, bytes.NewReader(f.bytes())); len(got.Packets) != n {
				t.Errorf("%d packets after %d", len(got.Packets), n)
			}
			time.Sleep(time.Hour)
		}
	})
}

// TestSlowFile captures to a file that takes nothing. The link is not held up, and the buffer keeps its bound.
func TestSlowFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{block: make(chan struct{})}
		c := capture(t, f, pcap.Options{Buffer: 1 << 20})
		a, _ := newPair(t)
		guest := c.Link(a, "eth0", config)
		time.Sleep(time.Second) // the writer waits in its first Write
		const total = 100
		for range total {
			guest.Send([]netif.Frame{frame("", 60_000)})
		}
		missed := c.Missed()
		if missed < total-(1<<20)/60_000 || missed == total {
			t.Errorf("%d frames of %d missed", missed, total)
		}
		begin := time.Now()
		if err := c.Close(); !errors.Is(err, pcap.ErrStuck) || time.Since(begin) > 3*time.Second {
			t.Errorf("Close = %v after %v", err, time.Since(begin))
		}
		close(f.block)
		if err := c.Close(); err != nil || !f.closed {
			t.Errorf("Close = %v, closed %v", err, f.closed)
		}
		got := netiftest.ReadCapture(t, bytes.NewReader(f.bytes()))
		if uint64(len(got.Packets)) != total-missed || got.Cards[0].Statistics.PacketsDropped != missed {
			t.Errorf("%d packets, statistics %+v", len(got.Packets), got.Cards[0].Statistics)
		}
	})
}

// TestFullDisk loses the file in the middle of a block. Nothing is written behind that, and what was before can be read.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left")
		f := &file{err: full, room: 3000}
		c := capture(t, f, pcap.Options{})
		a, b := newPair(t)
		guest := c.Link(a, "eth0", config)
		for range 5 {
			guest.Send([]netif.Frame{frame("", 1000)})
			time.Sleep(time.Second)
		}
		if n, _ := b.Receive([]netif.Frame{frame("", 1000), frame("", 1000), frame("", 1000), frame("", 1000), frame("", 1000)}); n != 5 {
			t.Errorf("the link carried %d frames", n)
		}
		if !errors.Is(c.Err(), full) {
			t.Errorf("Err = %v", c.Err())
		}
		if err := c.Close(); !errors.Is(err, full) || !f.closed {
			t.Errorf("Close = %v", err)
		}
		if n := len(f.bytes()); n != f.room {
			t.Errorf("the file has %d bytes", n)
		}
		if c.Missed() == 0 {
			t.Error("nothing is missed")
		}
	})
}

// Links with other faces than that of the pair.
type (
	dialer    struct{ netif.Link }
	offloader struct {
		netif.Link
		set netif.Features
	}
)

func (dialer) DialContext(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }
func (o *offloader) Features() netif.Features                                { return netif.Features{TxChecksum: true} }
func (o *offloader) SetFeatures(f netif.Features) error                      { o.set = f; return nil }

// TestFaces checks that a captured link can what its link can.
func TestFaces(t *testing.T) {
	c := capture(t, &file{}, pcap.Options{})
	a, _ := newPair(t)
	type counting struct {
		netif.Link
		netif.Counter
		netif.Dialer
	}
	bare := struct{ netif.Link }{a}
	for _, k := range []struct {
		name         string
		link         netif.Link
		dial, counts bool
	}{
		{"bare", bare, false, false},
		{"counter", a, false, true},
		{"dialer", dialer{a}, true, false},
		{"both", counting{a, a, dialer{a}}, true, true},
	} {
		l := c.Link(k.link, k.name, config)
		d, dials := l.(netif.Dialer)
		n, counts := l.(netif.Counter)
		if dials != k.dial || counts != k.counts {
			t.Errorf("%s: dialer %v, counter %v", k.name, dials, counts)
		}
		if dials {
			if _, err := d.DialContext(t.Context(), "tcp", ":1"); err != io.EOF {
				t.Errorf("%s: dial is another's: %v", k.name, err)
			}
		}
		if counts && n.Counters() != a.Counters() {
			t.Errorf("%s: counters are another's", k.name)
		}
		o := l.(netif.Offloader)
		if o.Features() != (netif.Features{}) || o.SetFeatures(netif.Features{RxChecksum: true}) == nil || o.SetFeatures(netif.Features{}) != nil {
			t.Errorf("%s: offloads from nowhere", k.name)
		}
	}
	inner := &offloader{Link: a}
	o := c.Link(inner, "offloader", config).(netif.Offloader)
	want := netif.Features{TxChecksum: true}
	if err := o.SetFeatures(want); err != nil || o.Features() != want || inner.set != want {
		t.Errorf("SetFeatures = %v, set %+v", err, inner.set)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name    string
		options pcap.Options
		want    string
	}{
		{"x", pcap.Options{SnapLen: -1}, "less than none"},
		{"x", pcap.Options{Limit: 1}, "too small"},
		{"x", pcap.Options{Limit: -5}, "too small"},
		{"x", pcap.Options{Buffer: 1}, "too small"},
		{"no/such", pcap.Options{}, "capture to a file"},
	} {
		if got, err := pcap.Create(filepath.Join(dir, c.name), c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is left: %v", err)
	}
}

// FuzzFrames captures frames cut in any way and reads them back.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("some frame of a guest"), 5, 12, 21)
	f.Add([]byte{}, 0, 1, -1)
	f.Add(make([]byte, 70_000), 3, 0, 70_000)
	f.Fuzz(func(t *testing.T, data []byte, cut, snapLen, length int) {
		if cut < 0 || cut > len(data) || snapLen < 0 {
			t.Skip()
		}
		out := &file{}
		c, err := pcap.New(out, pcap.Options{SnapLen: snapLen})
		if err != nil {
			t.Fatal(err)
		}
		a, _ := newPair(t)
		l := c.Link(a, "eth0", config)
		l.Send([]netif.Frame{{Data: [][]byte{data[:cut], nil, data[cut:]}, Len: length, Header: hypercall.NetHeader{Flags: 1}}})
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		blocks(t, out.bytes())
		got := netiftest.ReadCapture(t, bytes.NewReader(out.bytes()))
		if length <= 0 || length > len(data) || length > 14+4+65535 {
			if len(got.Packets) != 0 {
				t.Fatalf("%d packets", len(got.Packets))
			}
			return
		}
		want := data[:length]
		if snapLen > 0 {
			want = want[:min(len(want), snapLen)]
		}
		if len(got.Packets) != 1 || !bytes.Equal(got.Packets[0].Data, want) || got.Packets[0].Length != length {
			t.Fatalf("%+v", got.Packets)
		}
	})
}

// discard is a file that takes everything.
type discard struct{ io.Writer }

func (discard) Close() error { return nil }

// nowhere is a link that takes everything.
type nowhere struct{ netif.Link }

func (nowhere) Send(frames []netif.Frame) (int, error) { return len(frames), nil }

// BenchmarkSend is what capturing costs a frame.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{60, 1514, 65549} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			c, err := pcap.New(discard{io.Discard}, pcap.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			l := c.Link(nowhere{}, "eth0", config)
			frames := []netif.Frame{frame("", size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				l.Send(frames)
			}
			b.ReportMetric(float64(c.Missed())/float64(b.N), "missed/op")
		})
	}
}
