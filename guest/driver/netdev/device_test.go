package netdev

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"ukvm.dev/devices/net"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

// wire is the other side of the rings: the monitor's device, on a link that keeps what is sent and gives what it has.
type wire struct {
	netif.Link
	*net.Device
	slot []byte
	sent []frame
	give []frame
}

type frame struct {
	header hypercall.NetHeader
	data   string
}

// offloads are all there are.
var offloads = netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: 65549, RxSegment: 65549}

// longest is the longest frame of an MTU.
func longest(mtu int) int { return mtu + 18 }

func newWire(mtu int) *wire {
	return newWireWith(netif.Features{TxChecksum: true, TxSegment: 65549}, mtu)
}

func newWireWith(f netif.Features, mtu int) *wire {
	b := make([]byte, hypercall.RingSlot+hypercall.PageSize)
	off := -int(uintptr(unsafe.Pointer(&b[0]))) & (hypercall.PageSize - 1)
	w := &wire{slot: b[off : off+hypercall.RingSlot]}
	w.Device = net.New(w, f, mtu, w.slot, host{})
	return w
}

func (w *wire) queue(n int) *hypercall.Queue {
	return (*hypercall.Queue)(unsafe.Pointer(&w.slot[n*hypercall.QueueSize]))
}

// host is guest memory where the guest is a test: addresses are the process's.
type host struct{}

func (host) Slices(dst [][]byte, va hypercall.GVA, n uint64, access uint32) ([][]byte, error) {
	for n > 0 { // page by page, as guest RAM is
		k := min(n, hypercall.PageSize-uint64(va)%hypercall.PageSize)
		at := uint64(va)
		dst = append(dst, unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), k))
		va, n = va+hypercall.GVA(k), n-k
	}
	return dst, nil
}

func (w *wire) Send(frames []netif.Frame) (int, error) {
	for i := range frames {
		b := make([]byte, frames[i].Len)
		frames[i].CopyTo(b)
		w.sent = append(w.sent, frame{frames[i].Header, string(b)})
	}
	return len(frames), nil
}

func (w *wire) Receive(frames []netif.Frame) (n int, err error) {
	for ; n < len(frames) && len(w.give) > 0; n++ {
		f := w.give[0]
		w.give = w.give[1:]
		to := frames[n].Writer()
		if to.Write([]byte(f.data)) != len(f.data) {
			panic("no room for a frame")
		}
		frames[n].Len, frames[n].Header = len(f.data), f.header
	}
	return n, nil
}

func (w *wire) serve(t *testing.T) {
	t.Helper()
	if _, err := w.Serve(); err != nil {
		t.Fatal(err)
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// packetOf makes a packet of b in pieces as the stack makes them: headers, and parts of shared blocks.
func packetOf(r *rand.Rand, pool *packet.Pool, b []byte) *packet.Packet {
	if len(b) < 1000 && r.IntN(2) == 0 {
		p := pool.Linear(len(b))
		copy(p.Bytes(), b)
		return p
	}
	p := pool.Headers()
	head := min(len(b), r.IntN(100))
	copy(p.Prepend(head), b)
	for b = b[head:]; len(b) > 0; {
		n := min(len(b), 1+r.IntN(20000))
		m := pool.Buf(n)
		p.AddRef(m, m.Data[:copy(m.Data, b[:n])])
		m.Release()
		b = b[n:]
	}
	return p
}

// TestTransmit sends packets of all shapes; the monitor sees their frames, in order, also if its turn comes rarely.
func TestTransmit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var pool packet.Pool
	w := newWire(1500)
	d := newDevice(w.queue(0), w.queue(1), longest(1500), 64<<20, &pool)
	kicks := 0
	d.kick = func() { kicks++; w.serve(t) }
	var want []frame
	for range 5000 {
		b := randomBytes(r, 14+r.IntN(1500))
		if r.IntN(20) == 0 {
			b = randomBytes(r, 14+r.IntN(65000))
		}
		p := packetOf(r, &pool, b)
		if len(b) >= 54 {
			p.Net = hypercall.NetHeader{Flags: hypercall.NeedsCsum, CsumStart: uint16(14 + r.IntN(len(b)-54+1)), CsumOffset: 16}
			if r.IntN(2) == 0 {
				p.Net.GSOType, p.Net.HdrLen, p.Net.GSOSize = hypercall.GSOTCP4, p.Net.CsumStart+20, uint16(8+r.IntN(65528))
			}
		}
		want = append(want, frame{p.Net, string(b)})
		if !d.Transmit(p) {
			t.Fatal("a packet was refused although the monitor serves the queue")
		}
		if r.IntN(400) == 0 {
			w.serve(t)
		}
	}
	w.serve(t)
	if !slices.Equal(w.sent, want) {
		t.Fatalf("%d frames of %d, or others, or in another order", len(w.sent), len(want))
	}
	if kicks == 0 || kicks > 5000/20 {
		t.Errorf("%d kicks", kicks)
	}
	if d.reclaim(hypercall.QueueLen) != true || d.tx.nfree != hypercall.QueueLen {
		t.Errorf("%d descriptors are free in the end", d.tx.nfree)
	}
	for i, p := range d.tx.packets {
		if p != nil {
			t.Errorf("packet %d is kept", i)
		}
	}
	if w.News() {
		t.Error("the driver wants to know about sent packets")
	}
}

// TestTransmitFull: a link that takes nothing refuses packets, as they were, and takes them later.
func TestTransmitFull(t *testing.T) {
	var pool packet.Pool
	w := newWire(1500)
	d := newDevice(w.queue(0), w.queue(1), longest(1500), 64<<20, &pool)
	kicks := 0
	d.kick = func() { kicks++ }
	one := func() *packet.Packet {
		p := pool.Linear(100)
		for i := range p.Bytes() {
			p.Bytes()[i] = byte(i)
		}
		return p
	}
	for i := range hypercall.QueueLen {
		if !d.Transmit(one()) {
			t.Fatalf("packet %d was refused", i)
		}
	}
	p := one()
	want := bytes.Clone(p.Bytes())
	if d.Transmit(p) || kicks != 1 {
		t.Fatalf("a full queue takes a packet; %d kicks", kicks)
	}
	if !bytes.Equal(p.Bytes(), want) {
		t.Errorf("the refused packet has become %x", p.Bytes())
	}
	d.kick = func() { w.serve(t) }
	if !d.Transmit(p) {
		t.Error("refused again although there is room")
	}
	if len(w.sent) != hypercall.QueueLen {
		t.Errorf("%d frames were sent", len(w.sent))
	}
	w.serve(t)
	if f := w.sent[len(w.sent)-1]; f.data != string(want) {
		t.Errorf("the packet was sent as %x", f.data)
	}
}

// TestReceive gets frames of all lengths, several at a time, over many rounds of the rings.
func TestReceive(t *testing.T) {
	for _, c := range []struct {
		mtu      int
		features netif.Features
		longest  int
	}{
		{576, netif.Features{}, 576}, {1500, netif.Features{}, 1500}, {9000, netif.Features{}, 9000},
		{16384, netif.Features{}, 16384}, {65535, netif.Features{}, 65535}, {1500, offloads, 65535},
	} {
		t.Run(fmt.Sprint(c.mtu, c.longest), func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, uint64(c.mtu)))
			var pool packet.Pool
			w := newWireWith(c.features, c.mtu)
			d := newDevice(w.queue(0), w.queue(1), longest(c.longest), 64<<20, &pool)
			if w.News() {
				t.Error("news before anything has come")
			}
			for round := range 300 {
				var want []frame
				for range 1 + r.IntN(20) {
					f := frame{hypercall.NetHeader{Flags: uint8(r.IntN(3)), HdrLen: uint16(r.Uint32())}, ""}
					n := r.IntN(c.mtu)
					if r.IntN(5) == 0 {
						n = r.IntN(c.longest)
					}
					f.data = string(randomBytes(r, 14+n))
					want = append(want, f)
				}
				w.give = slices.Clone(want)
				var got []frame
				for tries := 0; len(got) < len(want); tries++ {
					w.serve(t)
					if tries > 100 {
						t.Fatalf("round %d: %d frames of %d", round, len(got), len(want))
					}
					for d.collect() {
						for _, p := range d.batch {
							b := make([]byte, p.Len())
							p.CopyOut(b)
							if kept := p.Size() - packet.Overhead; len(b) <= packet.Small-hypercall.NetHeaderSize && kept > packet.Small {
								t.Fatalf("a frame of %d bytes keeps %d", p.Len(), kept)
							}
							h := p.Net
							h.NumBuffers = 0
							got = append(got, frame{h, string(b)})
							p.Release()
						}
						d.batch = d.batch[:0]
					}
					if w.News() {
						t.Fatal("news after the driver has looked")
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("round %d: the frames are others", round)
				}
			}
			if used := hypercall.QueueLen - d.rx.nfree; used < minBuffers {
				t.Errorf("only %d buffers are offered in the end", used)
			}
		})
	}
}

// TestBuffers: a small guest keeps few buffers, which together hold two of the longest frames.
func TestBuffers(t *testing.T) {
	for _, c := range []struct {
		memory       uint64
		mtu, n, size int
	}{
		{16 << 20, 1500, 128, packet.Small},
		{4 << 20, 1500, 32, packet.Small},
		{1 << 20, 1500, minBuffers, packet.Small},
		{1 << 40, 1500, hypercall.QueueLen, packet.Small},
		{64 << 20, 9000, 64, packet.Medium},
		{4 << 20, 65535, minBuffers, packet.Medium},
		{64 << 20, 65535, 64, packet.Medium},
		{1 << 40, 65535, hypercall.QueueLen, packet.Medium},
	} {
		var pool packet.Pool
		w := newWire(c.mtu)
		d := newDevice(w.queue(0), w.queue(1), longest(c.mtu), c.memory, &pool)
		if n := hypercall.QueueLen - d.rx.nfree; n != c.n || d.size != c.size || n*d.size < 2*(longest(c.mtu)+hypercall.NetHeaderSize) {
			t.Errorf("%d MiB, MTU %d: %d buffers of %d, want %d of %d", c.memory>>20, c.mtu, n, d.size, c.n, c.size)
		}
	}
}

// BenchmarkReceive takes frames of 64 KiB out of the ring and releases them, as a reader that keeps up does. What the monitor
// does of it is not counted, nor is a copy.
func BenchmarkReceive(b *testing.B) {
	var pool packet.Pool
	w := newWireWith(offloads, 1500)
	d := newDevice(w.queue(0), w.queue(1), longest(65535), 256<<20, &pool)
	f := frame{hypercall.NetHeader{Flags: hypercall.NeedsCsum}, string(make([]byte, 14+20+32+45*1448))}
	const batch = 40
	for i := 0; b.Loop(); i++ {
		if i%batch == 0 {
			b.StopTimer()
			for range batch {
				w.give = append(w.give, f)
			}
			if _, err := w.Serve(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		if i%batch == batch-1 {
			n := 0
			for d.collect() {
				for _, p := range d.batch {
					p.Release()
					n++
				}
				clear(d.batch)
				d.batch = d.batch[:0]
			}
			if n != batch {
				b.Fatalf("%d frames of %d", n, batch)
			}
		}
	}
}
