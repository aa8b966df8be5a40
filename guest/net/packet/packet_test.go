package packet

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// TestAgainstModel does what boxes do to packets, and the same to a byte slice.
func TestAgainstModel(t *testing.T) {
	var pool Pool
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		random := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return b
		}
		var p *Packet
		var model []byte
		room := HeadRoom
		switch r.IntN(3) {
		case 0:
			p = pool.Headers()
			for range r.IntN(6) {
				b := pool.Buf(1 + r.IntN(5000))
				data := random(1 + r.IntN(200))
				off := r.IntN(len(b.Data) - len(data))
				copy(b.Data[off:], data)
				p.AddRef(b, b.Data[off:off+len(data)])
				b.Release()
				model = append(model, data...)
			}
		case 1:
			model = random(r.IntN(3000))
			p = pool.Linear(len(model))
			copy(p.Bytes(), model)
		case 2:
			model = random(1 + r.IntN(3000))
			p = pool.Receive(len(model))
			p.Truncate(copy(p.Bytes(), model))
			room = 0
			switch more := random(r.IntN(300)); r.IntN(3) {
			case 0:
				q := pool.Receive(len(more))
				q.Truncate(copy(q.Bytes(), more))
				p.Append(q)
				model = append(model, more...)
			case 1:
				q := pool.Receive(len(more))
				room := q.Len()
				copy(q.Bytes(), more)
				p.AppendBlock(q, len(more))
				model = append(model, more...)
				if q.Len() != room || len(q.Bytes()) != room {
					t.Fatalf("seed %d: a packet for %d bytes has now %d", seed, room, q.Len())
				}
				clear(q.Bytes()) // the device stores the next one there
				q.Release()
			}
		}
		for range 10 {
			switch r.IntN(6) {
			case 0:
				n := r.IntN(20)
				if n > room {
					continue
				}
				room -= n
				h := random(n)
				copy(p.Prepend(n), h)
				model = append(h, model...)
			case 1:
				n := r.IntN(len(model)/2 + 1)
				p.Trim(n)
				model = model[n:]
				room = 0
			case 2:
				n := len(model) - r.IntN(len(model)/4+1)
				p.Truncate(n)
				model = model[:n]
			case 3:
				q := pool.Headers()
				if len(model) > 300 && p.Pieces() == 1 && p.buf != nil {
					p.Reference(q, 100, 150)
					b := make([]byte, q.Len())
					q.CopyOut(b)
					if !bytes.Equal(b, model[100:250]) {
						t.Fatalf("seed %d: wrong reference", seed)
					}
				}
				q.Release()
			case 4:
				more := random(r.IntN(100))
				q := pool.Linear(len(more))
				copy(q.Bytes(), more)
				if p.Absorb(q) {
					model = append(model[:len(model):len(model)], more...)
				} else {
					q.Release()
				}
			case 5:
				p.Shrink()
				if p.buf != nil && p.off == 0 {
					room = 0
				}
			}
			b := make([]byte, len(model)+1)
			if n := p.CopyOut(b); n != len(model) || p.Len() != n || !bytes.Equal(b[:n], model) {
				t.Fatalf("seed %d: packet of %d bytes (Len %d), want %d", seed, n, p.Len(), len(model))
			}
			n := 0
			for i := range p.Pieces() {
				n += len(p.Piece(i))
			}
			if n != len(model) {
				t.Fatalf("seed %d: pieces of %d bytes, want %d", seed, n, len(model))
			}
			var a, c wire.Sum
			p.Sum(&a)
			c.Add(model)
			if a.Fold() != c.Fold() {
				t.Fatalf("seed %d: wrong sum", seed)
			}
		}
		p.Release()
	}
}

func TestReferences(t *testing.T) {
	var pool Pool
	b := pool.Buf(100)
	p := pool.Headers()
	p.AddRef(b, b.Data[:50])
	if !b.Shared() {
		t.Error("a block with two users is not shared")
	}
	if n := p.Size(); n != Overhead+50 {
		t.Errorf("size %d of a packet that shares its block", n)
	}
	b.Release()
	if n := p.Size(); n != Overhead+len(b.Data) {
		t.Errorf("size %d of a packet with a block of its own", n)
	}
	p.Release()
	defer func() {
		if recover() == nil {
			t.Error("a packet was released twice")
		}
	}()
	p.Release()
}

func TestPartialChecksum(t *testing.T) {
	var pool Pool
	p := pool.Headers()
	b := pool.Buf(1000)
	for i := range b.Data[:701] {
		b.Data[i] = byte(i * 7)
	}
	p.AddRef(b, b.Data[:333])
	p.AddRef(b, b.Data[333:701])
	b.Release()
	h := wire.TCP(p.Prepend(wire.TCPSize))
	h.Encode(&wire.TCPFields{SrcPort: 1, DstPort: 2, Checksum: 0x1234})
	p.SetPartialChecksum(wire.TCPChecksumOffset)
	p.Net.GSOType = hypercall.GSOTCP4
	copy(p.Prepend(34), make([]byte, 34))
	p.FinishNet()
	if p.Net.CsumStart != 34 || p.Net.HdrLen != 54 || !p.ChecksumOK() {
		t.Errorf("header %+v", p.Net)
	}
	whole := make([]byte, p.Len())
	p.CopyOut(whole)
	want := wire.Checksum(whole[34:])
	p.CompleteChecksum()
	if got := wire.TCP(p.Bytes()[34:]).Checksum(); got != want || p.ChecksumOK() {
		t.Errorf("checksum %#x, want %#x", got, want)
	}
	p.Release()
}

func TestDeviceHeader(t *testing.T) {
	var pool Pool
	p := pool.Linear(4)
	want := hypercall.NetHeader{Flags: 1, GSOType: 1, HdrLen: 0x102, GSOSize: 0x304, CsumStart: 0x506, CsumOffset: 0x708, NumBuffers: 0x90a}
	p.Net = want
	p.EncodeNet()
	if got := p.Bytes()[:12]; !bytes.Equal(got, []byte{1, 1, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9}) {
		t.Errorf("encoded %x", got)
	}
	p.Net = hypercall.NetHeader{}
	if !p.DecodeNet() || p.Net != want || p.Len() != 4 {
		t.Errorf("decoded %+v, %d bytes left", p.Net, p.Len())
	}
	if p.DecodeNet() {
		t.Error("a header was decoded from 4 bytes")
	}
	p.Release()
}

func TestQueue(t *testing.T) {
	var pool Pool
	var q Queue
	add := func(n uint32) *Packet { p := pool.Headers(); p.Seq = n; return p }
	a, b, c, d := add(1), add(2), add(3), add(4)
	q.Push(b)
	q.InsertAfter(nil, a)
	q.InsertAfter(b, d)
	q.InsertAfter(b, c)
	q.RemoveAfter(c)
	d.Release()
	if q.Back() != c {
		t.Error("back is not the last")
	}
	q.RemoveAfter(nil)
	a.Release()
	for _, want := range []uint32{2, 3} {
		p := q.Pop()
		if p.Seq != want {
			t.Errorf("popped %d, want %d", p.Seq, want)
		}
		p.Release()
	}
	if q.Pop() != nil || q.Len() != 0 || q.Front() != nil || q.Back() != nil {
		t.Error("not empty")
	}
}

func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	var pool Pool
	b := pool.Buf(Large)
	defer b.Release()
	n := testing.AllocsPerRun(1000, func() {
		p := pool.Headers()
		p.AddRef(b, b.Data[:1000])
		p.AddRef(b, b.Data[1000:2000])
		p.Prepend(54)
		p.Release()
		q := pool.Receive(1514)
		q.Trim(54)
		q.Release()
	})
	if n > 0.1 {
		t.Errorf("%.1f allocations for two packets", n)
	}
}
