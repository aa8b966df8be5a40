package ring

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"ukvm.dev/hypercall"
)

// aligned is memory of a queue's size as the VM provides it, and the guest's view of it.
func aligned() ([]byte, *hypercall.Queue) {
	b := make([]byte, hypercall.QueueSize+hypercall.PageSize)
	off := -int(uintptr(unsafe.Pointer(&b[0]))) & (hypercall.PageSize - 1)
	b = b[off : off+hypercall.QueueSize]
	return b, queueOf(b)
}

// TestDriver plays an honest driver: chains of random length, taken and given back in order, over many wraps of the
// indices.
func TestDriver(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	b, g := aligned()
	q := New(b)
	g.Avail.Index, g.Avail.Event = 65500, 65500 // as if it had gone on for a while
	g.Used.Index = 65500
	q.Next, q.Used = 65500, 65500
	type chain struct {
		head    uint16
		buffers []Buffer
		write   bool
	}
	var free []uint16
	for i := range uint16(hypercall.QueueLen) {
		free = append(free, i)
	}
	r.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	var offered []chain
	seen := uint16(65500)
	for step := range 200000 {
		switch n := 1 + r.IntN(8); {
		case r.IntN(2) == 0 && len(free) >= n: // the guest offers a chain
			c := chain{head: free[0], write: r.IntN(2) == 0}
			for i := range n {
				d := hypercall.Desc{Addr: hypercall.GVA(r.Uint64()), Len: r.Uint32()}
				if c.write {
					d.Flags |= hypercall.DescWrite
				}
				if i+1 < n {
					d.Flags |= hypercall.DescNext
					d.Next = free[i+1]
				} else {
					d.Next = uint16(r.Uint32()) // means nothing
				}
				g.Desc[free[i]] = d
				c.buffers = append(c.buffers, Buffer{d.Addr, d.Len})
			}
			free = free[n:]
			g.Avail.Ring[g.Avail.Index%hypercall.QueueLen] = c.head
			g.Avail.Index++
			offered = append(offered, c)
		case len(offered) > 0 && r.IntN(2) == 0: // the monitor serves some
			waiting, err := q.Waiting()
			if err != nil || waiting != len(offered) {
				t.Fatalf("step %d: %d waiting, %v, want %d", step, waiting, err, len(offered))
			}
			k := 1 + r.IntN(waiting)
			for i := range k { // without taking them
				if head := q.Head(i); head != offered[i].head {
					t.Fatalf("step %d: chain %d begins at %d, want %d", step, i, head, offered[i].head)
				}
			}
			for i := range k {
				c := offered[i]
				got, err := q.Chain([]Buffer{{1, 1}}, q.Head(0), c.write)
				if err != nil || !slices.Equal(got[1:], c.buffers) {
					t.Fatalf("step %d: %v, %v, want %v", step, got[1:], err, c.buffers)
				}
				if _, err := q.Chain(nil, q.Head(0), !c.write); !errors.Is(err, ErrChain) {
					t.Fatalf("step %d: the wrong direction: %v", step, err)
				}
				q.Done(c.head, uint32(i))
				if g.Used.Index != seen {
					t.Fatal("the guest sees chains before they are published")
				}
				if e := g.Used.Ring[(seen+uint16(i))%hypercall.QueueLen]; e.ID != uint32(c.head) || e.Len != uint32(i) {
					t.Fatalf("step %d: used %+v", step, e)
				}
				for _, at := range chainOf(g, c.head) {
					free = append(free, at)
				}
			}
			offered = offered[k:]
			q.Publish()
			if g.Used.Index != seen+uint16(k) {
				t.Fatalf("step %d: Used.Index %d", step, g.Used.Index)
			}
			seen = g.Used.Index
			if !q.News() {
				t.Fatal("no news after something was used")
			}
		default: // the guest looks
			g.Avail.Event = g.Used.Index
			if q.News() {
				t.Fatal("news after the guest has looked")
			}
			g.Avail.Flags = hypercall.AvailQuiet
			g.Avail.Event--
			if q.News() {
				t.Fatal("news for one who wants none")
			}
			g.Avail.Flags = 0
			g.Avail.Event++
		}
	}
}

func chainOf(g *hypercall.Queue, head uint16) (l []uint16) {
	for {
		l = append(l, head)
		if g.Desc[head].Flags&hypercall.DescNext == 0 {
			return l
		}
		head = g.Desc[head].Next
	}
}

// TestHostile breaks one rule at a time.
func TestHostile(t *testing.T) {
	b, g := aligned()
	for n := range 1 << 16 {
		q := New(b)
		q.Next = 40000
		g.Avail.Index = 40000 + uint16(n)
		got, err := q.Waiting()
		if ok := n <= hypercall.QueueLen; ok != (err == nil) || ok && got != n || !ok && !errors.Is(err, ErrIndex) {
			t.Fatalf("index %d ahead: %d, %v", n, got, err)
		}
	}
	q := New(b)
	const next, write = hypercall.DescNext, hypercall.DescWrite
	for _, c := range []struct {
		name  string
		desc  map[int]hypercall.Desc
		head  uint16
		write bool
		n     int // buffers until the fault
	}{
		{"head out of range", nil, hypercall.QueueLen, false, 0},
		{"head far out of range", nil, 65535, false, 0},
		{"next out of range", map[int]hypercall.Desc{0: {Flags: next, Next: hypercall.QueueLen}}, 0, false, 1},
		{"a loop of one", map[int]hypercall.Desc{7: {Flags: next, Next: 7}}, 7, false, hypercall.QueueLen},
		{"a loop of two", map[int]hypercall.Desc{1: {Flags: next | write, Next: 2}, 2: {Flags: next | write, Next: 1}}, 1, true, hypercall.QueueLen},
		{"directions mixed", map[int]hypercall.Desc{1: {Flags: next, Next: 2}, 2: {Flags: write}}, 1, false, 1},
		{"indirect", map[int]hypercall.Desc{0: {Flags: 4}}, 0, false, 0},
		{"unknown flags", map[int]hypercall.Desc{0: {Flags: 0x8000 | write}}, 0, true, 0},
	} {
		clear(g.Desc[:])
		for i, d := range c.desc {
			g.Desc[i] = d
		}
		got, err := q.Chain(nil, c.head, c.write)
		if !errors.Is(err, ErrChain) || len(got) != c.n {
			t.Errorf("%s: %d buffers, %v, want %d and ErrChain", c.name, len(got), err, c.n)
		}
	}
	// The longest chain there may be is none too long.
	for i := range g.Desc {
		g.Desc[i] = hypercall.Desc{Flags: next, Next: uint16(i + 1)}
	}
	g.Desc[hypercall.QueueLen-1].Flags = 0
	if got, err := q.Chain(nil, 0, false); err != nil || len(got) != hypercall.QueueLen {
		t.Errorf("all descriptors in one chain: %d, %v", len(got), err)
	}
}

// FuzzQueue reads a queue of arbitrary bytes.
func FuzzQueue(f *testing.F) {
	f.Fuzz(func(t *testing.T, content []byte, taken uint16, write bool) {
		b, g := aligned()
		for i := range b { // what there is, over and over
			if len(content) > 0 {
				b[i] = content[i%len(content)]
			}
		}
		q := New(b)
		q.Next = taken
		n, err := q.Waiting()
		if err != nil && !errors.Is(err, ErrIndex) || n < 0 || n > hypercall.QueueLen {
			t.Fatalf("%d waiting, %v", n, err)
		}
		for i := range n {
			head := q.Head(i)
			got, err := q.Chain(nil, head, write)
			if len(got) > hypercall.QueueLen || err != nil && !errors.Is(err, ErrChain) {
				t.Fatalf("%d buffers, %v", len(got), err)
			}
			for _, buffer := range got {
				d := g.Desc[head]
				if buffer != (Buffer{d.Addr, d.Len}) || (d.Flags&hypercall.DescWrite != 0) != write {
					t.Fatalf("buffer %+v of %+v", buffer, d)
				}
				head = d.Next
			}
			before := slices.Clone(b)
			q.Done(head, 1)
			// Only an entry of the used ring has changed.
			used := int(unsafe.Offsetof(g.Used.Ring)+unsafe.Offsetof(g.Used)) + int((q.Used-1)%hypercall.QueueLen)*8
			if !slices.Equal(before[:used], b[:used]) || !slices.Equal(before[used+8:], b[used+8:]) {
				t.Fatal("the monitor has written where it must not")
			}
		}
	})
}
