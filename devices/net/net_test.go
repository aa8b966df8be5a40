package net

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

// ram is guest memory at ramBase: a third can be read only, a third be written, a third is not there.
type ram struct {
	b    []byte
	slot []byte
	q    [2]*hypercall.Queue // receive, transmit

	unmapped bool // all of it
}

const (
	ramBase  = 0x100000
	ramSize  = 3 << 18
	readOnly = ramSize / 3
)

var errMemory = errors.New("not mapped")

func newRAM() *ram {
	b := make([]byte, 2*hypercall.QueueSize+hypercall.PageSize)
	off := -int(uintptr(unsafe.Pointer(&b[0]))) & (hypercall.PageSize - 1)
	m := &ram{b: make([]byte, ramSize), slot: b[off : off+2*hypercall.QueueSize]}
	for i := range m.q {
		m.q[i] = (*hypercall.Queue)(unsafe.Pointer(&m.slot[i*hypercall.QueueSize]))
	}
	return m
}

// Slices cuts memory into pages, as guest RAM is; neighbours are joined at random places.
func (m *ram) Slices(dst [][]byte, va hypercall.GVA, n uint64, access uint32) ([][]byte, error) {
	off := uint64(va) - ramBase
	if m.unmapped || off > ramSize || n > ramSize-off || off+n > 2*ramSize/3 || access == hypercall.ProtWrite && off < readOnly && n > 0 {
		return dst, errMemory
	}
	for n > 0 {
		k := min(n, hypercall.PageSize-off%hypercall.PageSize)
		dst = append(dst, m.b[off:off+k:off+k])
		off, n = off+k, n-k
	}
	return dst, nil
}

// link is a network that keeps what it is sent and gives what it has.
type link struct {
	netif.Link
	sent    [][]byte
	headers []hypercall.NetHeader
	give    []given
	sendErr error
	taken   int // frames taken before sendErr
	recvErr error
	calls   int
}

type given struct {
	header hypercall.NetHeader
	data   []byte
}

func (l *link) Send(frames []netif.Frame) (int, error) {
	l.calls++
	for i := range frames {
		if l.sendErr != nil && i == l.taken {
			return i, l.sendErr
		}
		b := make([]byte, frames[i].Len)
		if n := frames[i].CopyTo(b); n != len(b) {
			panic("a frame is longer than its memory")
		}
		l.sent = append(l.sent, b)
		l.headers = append(l.headers, frames[i].Header)
	}
	return len(frames), nil
}

func (l *link) Receive(frames []netif.Frame) (n int, err error) {
	for n < len(frames) && len(l.give) > 0 {
		w := frames[n].Writer()
		if w.Write(l.give[0].data) == len(l.give[0].data) { // else dropped
			frames[n].Len, frames[n].Header = len(l.give[0].data), l.give[0].header
			n++
		}
		l.give = l.give[1:]
	}
	if n == 0 {
		return 0, l.recvErr
	}
	return n, nil
}

// offer makes a chain of buffers available, each a place and a length.
func (m *ram) offer(queue int, first uint16, flags uint16, places ...[2]uint64) {
	q := m.q[queue]
	for i, p := range places {
		d := hypercall.Desc{Addr: hypercall.GVA(p[0]), Len: uint32(p[1]), Flags: flags}
		if i+1 < len(places) {
			d.Flags |= hypercall.DescNext
			d.Next = first + uint16(i) + 1
		}
		q.Desc[first+uint16(i)] = d
	}
	q.Avail.Ring[q.Avail.Index%hypercall.QueueLen] = first
	q.Avail.Index++
}

var allFeatures = netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: 65549, RxSegment: 65549}

// randomHeader is one that a guest may give a frame of some length.
func randomHeader(r *rand.Rand, length int) (h hypercall.NetHeader) {
	if length < 14+20+20 || r.IntN(3) == 0 {
		return h
	}
	h.Flags, h.CsumStart, h.CsumOffset = hypercall.NeedsCsum, uint16(14+r.IntN(length-14-20+1)), 16
	if r.IntN(2) == 0 {
		h.GSOType, h.GSOSize = hypercall.GSOTCP4, uint16(8+r.IntN(65528))
		h.HdrLen = uint16(min(int(h.CsumStart)+20+r.IntN(41), length))
	}
	return h
}

// TestTransmit sends frames in pieces of all sizes; the network header may be cut in any way.
func TestTransmit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	m, l := newRAM(), &link{}
	d := New(l, allFeatures, 1500, m.slot, m)
	for i := range m.b {
		m.b[i] = byte(r.Uint32())
	}
	for range 3000 {
		var want [][]byte
		var headers []hypercall.NetHeader
		first := uint16(0)
		for first < 200 && len(want) < 80 {
			// The header has a place of its own, what follows may be anywhere behind those.
			var whole []byte
			var places [][2]uint64
			own := uint64(len(want) * hypercall.NetHeaderSize)
			for n := uint64(hypercall.NetHeaderSize); n > 0; {
				k := min(n, r.Uint64N(16))
				places = append(places, [2]uint64{ramBase + own, k})
				own, n = own+k, n-k
			}
			for len(whole) < 14 || r.IntN(2) == 0 && len(places) < 20 {
				at, n := hypercall.PageSize+r.Uint64N(ramSize/3-hypercall.PageSize), r.Uint64N(30)
				if r.IntN(8) == 0 {
					n = r.Uint64N(9000)
				}
				n = min(n, ramSize/3-at)
				places = append(places, [2]uint64{ramBase + at, n})
				whole = append(whole, m.b[at:at+n]...)
			}
			if len(places) > 40 {
				continue
			}
			m.offer(1, first, 0, places...)
			first += uint16(len(places))
			h := randomHeader(r, len(whole))
			b := formatHeader(&h)
			copy(m.b[len(want)*len(b):], b[:])
			headers = append(headers, h)
			want = append(want, whole)
		}
		l.sent, l.headers = nil, nil
		if moved, err := d.Serve(); !moved || err != nil {
			t.Fatalf("%v, %v", moved, err)
		}
		if !slices.EqualFunc(l.sent, want, bytes.Equal) || !slices.Equal(l.headers, headers) {
			t.Fatalf("%d frames of %d arrived, or others", len(l.sent), len(want))
		}
		if u := &m.q[1].Used; u.Index != m.q[1].Avail.Index || !d.News() {
			t.Fatalf("used %d, available %d", u.Index, m.q[1].Avail.Index)
		}
	}
	if c := d.Counters; c.TxFrames == 0 || c.TxDropped != 0 || c.RxFrames != 0 {
		t.Errorf("%+v", c)
	}
	if moved, err := d.Serve(); moved || err != nil {
		t.Errorf("nothing to do: %v, %v", moved, err)
	}
}

// TestReceive stores frames in buffers of one chain each, and in buffers that take several.
func TestReceive(t *testing.T) {
	for _, c := range []struct {
		name                 string
		mtu, segment, buffer int
	}{
		{"a frame a buffer", 1500, 0, 2048},
		{"buffers of the least size", 1500, 0, 12 + 1500 + 18},
		{"several buffers a frame", 9000, 0, 2048},
		{"many buffers a frame", 9000, 0, 64},
		{"frames longer than the MTU", 1500, 65549, 2048},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(4, 4))
			m, l := newRAM(), &link{}
			d := New(l, netif.Features{RxSegment: c.segment}, c.mtu, m.slot, m)
			// Each descriptor has a place of its own.
			place := func(i uint16) uint64 { return readOnly + uint64(i)*uint64(c.buffer) }
			count := min(hypercall.QueueLen, readOnly/c.buffer)
			next := uint16(0)
			refill := func(n int) {
				for range n {
					i := next % uint16(count)
					m.offer(0, i, hypercall.DescWrite, [2]uint64{ramBase + place(i), uint64(c.buffer)})
					next++
				}
			}
			refill(count)
			seen := uint16(0)
			for round := range 300 {
				var want []given
				for range 1 + r.IntN(5) {
					g := given{header: hypercall.NetHeader{Flags: uint8(r.IntN(3)), GSOSize: uint16(r.Uint32())}, data: make([]byte, 14+r.IntN(c.mtu+4))}
					if c.segment > 0 && r.IntN(4) == 0 {
						g.data = make([]byte, 14+r.IntN(c.segment-14+1))
					}
					for i := range g.data {
						g.data[i] = byte(r.Uint32())
					}
					want = append(want, g)
				}
				l.give = slices.Clone(want)
				for len(want) > 0 {
					if _, err := d.Serve(); err != nil {
						t.Fatal(err)
					}
					if seen == m.q[0].Used.Index {
						t.Fatalf("round %d: %d frames have not come", round, len(want))
					}
					back := 0
					for seen != m.q[0].Used.Index {
						g := want[0]
						want = want[1:]
						var got []byte
						chains := uint16(1)
						for k := uint16(0); k < chains; k++ {
							e := m.q[0].Used.Ring[seen%hypercall.QueueLen]
							seen++
							back++
							at := place(uint16(e.ID))
							piece := m.b[at : at+uint64(e.Len)]
							if k == 0 {
								h := parseHeader((*[hypercall.NetHeaderSize]byte)(piece))
								chains = h.NumBuffers
								h.NumBuffers = 0
								if h != g.header || chains == 0 {
									t.Fatalf("header %+v, want %+v", h, g.header)
								}
								piece = piece[hypercall.NetHeaderSize:]
							}
							if k+1 < chains && int(e.Len) != c.buffer {
								t.Fatalf("a buffer before the last one has %d bytes", e.Len)
							}
							got = append(got, piece...)
						}
						if !bytes.Equal(got, g.data) {
							t.Fatalf("round %d: a frame of %d bytes has come as %d other ones", round, len(g.data), len(got))
						}
					}
					refill(back)
				}
			}
		})
	}
}

// TestMisuse ends the guest, whatever it does wrong.
func TestMisuse(t *testing.T) {
	const w = hypercall.DescWrite
	mapped := uint64(ramBase + readOnly)
	for _, c := range []struct {
		name string
		do   func(m *ram)
		want error
	}{
		{"transmit index", func(m *ram) { m.q[1].Avail.Index = 257 }, ErrGuest},
		{"receive index", func(m *ram) { m.q[0].Avail.Index = 60000 }, ErrGuest},
		{"transmit loop", func(m *ram) {
			m.offer(1, 0, 0, [2]uint64{mapped, 20})
			m.q[1].Desc[0].Flags = hypercall.DescNext
		}, ErrGuest},
		{"transmit buffer to write to", func(m *ram) { m.offer(1, 0, w, [2]uint64{mapped, 100}) }, ErrGuest},
		{"receive buffer to read from", func(m *ram) { m.offer(0, 0, 0, [2]uint64{mapped, 2000}) }, ErrGuest},
		{"frame without a header", func(m *ram) { m.offer(1, 0, 0, [2]uint64{mapped, 11}) }, ErrGuest},
		{"empty chain", func(m *ram) { m.offer(1, 0, 0, [2]uint64{mapped, 0}) }, ErrGuest},
		{"frame too long", func(m *ram) { m.offer(1, 0, 0, [2]uint64{mapped, hypercall.MaxNetChain + 1}) }, ErrGuest},
		{"frame far too long", func(m *ram) {
			m.offer(1, 0, 0, [2]uint64{mapped, 200000}, [2]uint64{mapped, 1 << 31})
		}, ErrGuest},
		{"receive buffer without room for a header", func(m *ram) { m.offer(0, 0, w, [2]uint64{mapped, 11}) }, ErrGuest},
		{"transmit from nowhere", func(m *ram) { m.offer(1, 0, 0, [2]uint64{0x10, 100}) }, errMemory},
		{"transmit from the end", func(m *ram) { m.offer(1, 0, 0, [2]uint64{ramBase + 2*ramSize/3 - 5, 100}) }, errMemory},
		{"transmit with overflow", func(m *ram) { m.offer(1, 0, 0, [2]uint64{^uint64(0) - 5, 100}) }, errMemory},
		{"receive to read-only memory", func(m *ram) { m.offer(0, 0, w, [2]uint64{ramBase, 2000}) }, errMemory},
		{"receive to nowhere", func(m *ram) { m.offer(0, 0, w, [2]uint64{ramBase + ramSize, 2000}) }, errMemory},
	} {
		m, l := newRAM(), &link{give: []given{{data: make([]byte, 60)}}}
		d := New(l, allFeatures, 1500, m.slot, m)
		c.do(m)
		if _, err := d.Serve(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if len(l.sent) > 0 {
			t.Errorf("%s: a frame was sent", c.name)
		}
	}
}

// meddler is a link during whose Receive the guest changes what it has said, as one with two processors could.
type meddler struct {
	link
	meddle func()
}

func (l *meddler) Receive(frames []netif.Frame) (int, error) {
	l.meddle()
	return l.link.Receive(frames)
}

// TestReceiveChanged has the guest point descriptors elsewhere, shorten chains and offer others once their memory has been
// looked at: frames go where it was looked at, or the guest ends, and nothing else is written to.
func TestReceiveChanged(t *testing.T) {
	const buffer, n, maxFrame = 2048, 16, 4000
	place := func(i int) uint64 { return ramBase + readOnly + uint64(i)*buffer }
	elsewhere := uint64(readOnly + n*buffer)
	for _, c := range []struct {
		name string
		do   func(q *hypercall.Queue)
	}{
		{"addresses", func(q *hypercall.Queue) {
			for i := range n {
				q.Desc[i].Addr = hypercall.GVA(ramBase + elsewhere)
			}
		}},
		{"addresses of nothing", func(q *hypercall.Queue) { clear(q.Desc[:]) }},
		{"lengths", func(q *hypercall.Queue) {
			for i := range n {
				q.Desc[i].Len = 1 << 30
			}
		}},
		{"shorter lengths", func(q *hypercall.Queue) {
			for i := range n {
				q.Desc[i].Len = 1
			}
		}},
		{"a chain goes on", func(q *hypercall.Queue) {
			for i := range n {
				q.Desc[i].Flags, q.Desc[i].Next = hypercall.DescWrite|hypercall.DescNext, uint16(i)
			}
		}},
		{"heads", func(q *hypercall.Queue) {
			for i := range q.Avail.Ring {
				q.Avail.Ring[i] = 0xffff
			}
		}},
		{"fewer than there were", func(q *hypercall.Queue) { q.Avail.Index = 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newRAM()
			l := &meddler{}
			d := New(l, netif.Features{}, maxFrame, m.slot, m)
			for i := range n {
				m.offer(0, uint16(i), hypercall.DescWrite, [2]uint64{place(i), buffer})
			}
			frame := bytes.Repeat([]byte("frame"), maxFrame/5)
			l.give = []given{{data: frame}}
			l.meddle = func() { c.do(m.q[0]) }
			_, err := d.Serve() // what it says of the next chains depends on the case
			if err != nil && !errors.Is(err, ErrGuest) && !errors.Is(err, errMemory) {
				t.Fatal(err)
			}
			q := m.q[0]
			if d.Counters.RxFrames != 1 || q.Used.Index != 2 || q.Used.Ring[0] != (hypercall.UsedElem{ID: 0, Len: buffer}) ||
				q.Used.Ring[1] != (hypercall.UsedElem{ID: 1, Len: uint32(len(frame) + hypercall.NetHeaderSize - buffer)}) {
				t.Errorf("%d frames; used %d: %v", d.Counters.RxFrames, q.Used.Index, q.Used.Ring[:2])
			}
			got := m.b[readOnly+hypercall.NetHeaderSize:][:len(frame)]
			if !bytes.Equal(got, frame) {
				t.Error("the frame is not where its memory was")
			}
			if rest := m.b[readOnly+hypercall.NetHeaderSize+len(frame):]; !bytes.Equal(rest, make([]byte, len(rest))) {
				t.Error("something was written behind the frame's memory")
			}
			if !bytes.Equal(m.b[:readOnly], make([]byte, readOnly)) {
				t.Error("something was written before the frame's memory")
			}
		})
	}
}

// TestReceiveUnmapped: memory that was looked at and not used is looked at again after the guest has run, which may have
// unmapped it.
func TestReceiveUnmapped(t *testing.T) {
	m, l := newRAM(), &link{}
	d := New(l, netif.Features{}, 1500, m.slot, m)
	for i := range 8 {
		m.offer(0, uint16(i), hypercall.DescWrite, [2]uint64{ramBase + readOnly + uint64(i)*2048, 2048})
	}
	l.give = []given{{data: make([]byte, 100)}}
	if moved, err := d.Serve(); !moved || err != nil {
		t.Fatal(moved, err)
	}
	m.unmapped = true
	data := bytes.Repeat([]byte{1}, 100)
	l.give = []given{{data: data}}
	if _, err := d.Serve(); !errors.Is(err, errMemory) {
		t.Errorf("buffers that are gone: %v", err)
	}
	if bytes.Contains(m.b, data) || d.Counters.RxFrames != 1 {
		t.Errorf("a frame was stored in memory that the guest has unmapped; %d frames", d.Counters.RxFrames)
	}
}

// TestHeaders: what a guest says about its frames reaches the link only if it is true.
func TestHeaders(t *testing.T) {
	const length = 14 + 20 + 20 + 3000
	good := hypercall.NetHeader{Flags: hypercall.NeedsCsum, GSOType: hypercall.GSOTCP4, HdrLen: 54, GSOSize: 1460, CsumStart: 34, CsumOffset: 16}
	with := func(change func(h *hypercall.NetHeader)) hypercall.NetHeader {
		h := good
		change(&h)
		return h
	}
	type header = hypercall.NetHeader
	sum := header{Flags: hypercall.NeedsCsum, CsumStart: 34, CsumOffset: 16}
	for _, c := range []struct {
		name     string
		header   header
		features netif.Features
		want     header
		err      bool
	}{
		{"nothing", header{}, netif.Features{}, header{}, false},
		{"what means nothing is not passed on", header{Flags: 0xfe, HdrLen: 1, GSOSize: 2, CsumStart: 3, CsumOffset: 4, NumBuffers: 5}, allFeatures, header{}, false},
		{"a checksum", with(func(h *header) { h.GSOType = 0; h.NumBuffers = 9 }), allFeatures, sum, false},
		{"a checksum at the end", header{Flags: 1, CsumStart: length - 2}, allFeatures, header{Flags: 1, CsumStart: length - 2}, false},
		{"a checksum beyond the end", header{Flags: 1, CsumStart: length - 1}, allFeatures, header{}, true},
		{"an offset beyond the end", header{Flags: 1, CsumStart: 34, CsumOffset: length - 35}, allFeatures, header{}, true},
		{"an overflow", header{Flags: 1, CsumStart: 65535, CsumOffset: 65535}, allFeatures, header{}, true},
		{"the sum of the Ethernet header", header{Flags: 1, CsumStart: 13, CsumOffset: 16}, allFeatures, header{}, true},
		{"a checksum that was not agreed", sum, netif.Features{RxChecksum: true}, header{}, true},
		{"segments", good, allFeatures, good, false},
		{"segments that were not agreed", good, netif.Features{TxChecksum: true}, header{}, true},
		{"a frame longer than was agreed", good, netif.Features{TxChecksum: true, TxSegment: length - 1}, header{}, true},
		{"segments without a checksum", with(func(h *header) { h.Flags = 0 }), allFeatures, header{}, true},
		{"segments of UDP", with(func(h *header) { h.GSOType = 3 }), allFeatures, header{}, true},
		{"segments of IPv6", with(func(h *header) { h.GSOType = hypercall.GSOTCP6 }), allFeatures, header{}, true},
		{"segments of IPv6 that were agreed", with(func(h *header) { h.GSOType = hypercall.GSOTCP6 }),
			netif.Features{TxChecksum: true, TxSegment: 65549, TCP6: true}, with(func(h *header) { h.GSOType = hypercall.GSOTCP6 }), false},
		{"segments with ECN", with(func(h *header) { h.GSOType |= 0x80 }), allFeatures, header{}, true},
		{"segments of what has another checksum", with(func(h *header) { h.CsumOffset = 6 }), allFeatures, header{}, true},
		{"segments of nothing", with(func(h *header) { h.GSOSize = 0 }), allFeatures, header{}, true},
		{"segments of a few bytes", with(func(h *header) { h.GSOSize = 7 }), allFeatures, header{}, true},
		{"headers that end in the TCP header", with(func(h *header) { h.HdrLen = 53 }), allFeatures, header{}, true},
		{"headers longer than the frame", with(func(h *header) { h.HdrLen = length + 1 }), allFeatures, header{}, true},
	} {
		m, l := newRAM(), &link{}
		d := New(l, c.features, 1500, m.slot, m)
		b := formatHeader(&c.header)
		copy(m.b, b[:])
		m.offer(1, 0, 0, [2]uint64{ramBase, hypercall.NetHeaderSize + length})
		_, err := d.Serve()
		if errors.Is(err, ErrGuest) != c.err || !c.err && (err != nil || l.headers[0] != c.want) || c.err && len(l.sent) > 0 {
			t.Errorf("%s: %v, %+v, want %+v", c.name, err, l.headers, c.want)
		}
	}
}

// TestNoAllocation: frames cost no garbage, either way.
func TestNoAllocation(t *testing.T) {
	m, l := newRAM(), &mute{give: 3}
	d := New(l, allFeatures, 1500, m.slot, m)
	for i := range uint16(128) {
		m.q[0].Desc[i] = hypercall.Desc{Addr: ramBase + readOnly + hypercall.GVA(i)*2048, Len: 2048, Flags: hypercall.DescWrite}
		m.q[0].Avail.Ring[i] = i
		m.q[0].Avail.Ring[i+128] = i
	}
	m.q[1].Desc[0] = hypercall.Desc{Addr: ramBase, Len: 100}
	serve := func() {
		m.q[0].Avail.Index = d.rx.Next + 128
		m.q[1].Avail.Index += 5
		l.left = l.give
		if _, err := d.Serve(); err != nil {
			t.Fatal(err)
		}
	}
	serve()
	if n := testing.AllocsPerRun(100, serve); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if d.Counters.RxFrames < 300 || d.Counters.TxFrames < 500 {
		t.Errorf("%+v", d.Counters)
	}
}

// mute is a network that gives frames of 100 bytes.
type mute struct {
	netif.Link
	give, left int
}

func (l *mute) Send(frames []netif.Frame) (int, error) { return len(frames), nil }

func (l *mute) Receive(frames []netif.Frame) (n int, err error) {
	for ; n < len(frames) && l.left > 0; n++ {
		frames[n].Len = 100
		l.left--
	}
	return n, nil
}

// TestLinkFails: a cable that is cut loses frames and harms nobody.
func TestLinkFails(t *testing.T) {
	m, l := newRAM(), &link{sendErr: netif.ErrClosed, taken: 1}
	d := New(l, allFeatures, 1500, m.slot, m)
	send := func() {
		for i := range uint16(3) {
			m.offer(1, i, 0, [2]uint64{ramBase, 100})
		}
		if moved, err := d.Serve(); !moved || err != nil {
			t.Errorf("%v, %v", moved, err)
		}
	}
	send()
	if !errors.Is(d.Down(), netif.ErrClosed) || d.Counters.TxDropped != 2 || d.Counters.TxFrames != 3 {
		t.Errorf("down: %v, %+v", d.Down(), d.Counters)
	}
	send()
	if l.calls != 1 || d.Counters.TxDropped != 5 || m.q[1].Used.Index != 6 {
		t.Errorf("%d calls, %+v", l.calls, d.Counters)
	}
	m, l = newRAM(), &link{recvErr: netif.ErrClosed}
	d = New(l, netif.Features{}, 1500, m.slot, m)
	m.offer(0, 0, hypercall.DescWrite, [2]uint64{ramBase + readOnly, 2000})
	if _, err := d.Serve(); err != nil || !errors.Is(d.Down(), netif.ErrClosed) {
		t.Errorf("receive: %v, down: %v", err, d.Down())
	}
}

// FuzzServe gives the device queues of arbitrary bytes. It must neither fail in another way than with an error nor write
// to what the guest cannot write to.
func FuzzServe(f *testing.F) {
	f.Fuzz(func(t *testing.T, rx, tx []byte, rxIndex, txIndex uint16, big bool) {
		m := newRAM()
		fill := func(q *hypercall.Queue, b []byte, index uint16) {
			for i := 0; i < hypercall.QueueLen && len(b) > 0; i++ {
				at := func(k int) uint64 { return uint64(b[(i*7+k)%len(b)]) }
				q.Desc[i] = hypercall.Desc{
					Addr: hypercall.GVA(ramBase + at(0)<<11 + at(1)), Len: uint32(at(2)<<(at(3)%9) + at(4)),
					Flags: uint16(at(5) % 4), Next: uint16(at(6)),
				}
				q.Avail.Ring[i] = uint16(at(1))
			}
			q.Avail.Index = index % 300
		}
		fill(m.q[0], rx, rxIndex)
		fill(m.q[1], tx, txIndex)
		mtu := 1500
		if big {
			mtu = 65535
		}
		var features netif.Features
		if big {
			features = allFeatures
		}
		l := &link{}
		for n := range 100 {
			l.give = append(l.give, given{data: bytes.Repeat([]byte{0xff}, 14+n*n%mtu)})
		}
		given := len(l.give)
		d := New(l, features, mtu, m.slot, m)
		_, err := d.Serve()
		if err != nil && !errors.Is(err, ErrGuest) && !errors.Is(err, errMemory) {
			t.Fatal(err)
		}
		for i := range readOnly {
			if m.b[i] != 0 || m.b[2*readOnly+i] != 0 {
				t.Fatalf("written at %#x", i)
			}
		}
		if c := d.Counters; int(c.RxFrames) > given || c.TxFrames != uint64(len(l.sent)) {
			t.Fatalf("%+v, %d sent", c, len(l.sent))
		}
		for i, b := range l.sent {
			if len(b) > hypercall.MaxNetChain-hypercall.NetHeaderSize {
				t.Fatalf("a frame of %d bytes", len(b))
			}
			if h := l.headers[i]; h.Flags != 0 && int(h.CsumStart)+int(h.CsumOffset)+2 > len(b) || int(h.HdrLen) > len(b) || h.Flags != 0 && !big {
				t.Fatalf("header %+v of a frame of %d bytes", h, len(b))
			}
		}
	})
}
