package sharedev

import (
	"fmt"
	"sync"
	"testing"

	"ukvm.dev/hypercall"
)

// echo is a monitor that answers requests with what they ask about: at once, or later.
type echo struct {
	queue *hypercall.Queue
	dev   *Device
	next  uint16
	later bool
	wake  chan struct{}
}

func newEcho() *echo {
	e := &echo{queue: new(hypercall.Queue), wake: make(chan struct{}, 1)}
	e.dev = New(e.queue, 64<<20, e.kick, e.await)
	return e
}

func (e *echo) kick() {
	if e.later {
		select {
		case e.wake <- struct{}{}:
		default:
		}
		return
	}
	e.serve()
}

func (e *echo) await() {
	<-e.wake
	e.dev.Stopped(e.serve)
}

// serve answers what waits, the last first.
func (e *echo) serve() {
	for i := e.queue.Avail.Index; i != e.next; i-- {
		head := e.queue.Avail.Ring[(i-1)%hypercall.QueueLen]
		s := e.dev.slots[head/descriptors]
		var q hypercall.ShareRequest
		q.Get(s.head)
		r := hypercall.ShareReply{Node: q.Node, N: int64(q.Name)}
		r.Put(s.reply)
		e.queue.Used.Ring[e.queue.Used.Index%hypercall.QueueLen] = hypercall.UsedElem{ID: uint32(head)}
		e.queue.Used.Index++
	}
	e.next = e.queue.Avail.Index
}

// TestCalls has more callers at a time than there are slots; each gets its own answer, at once or later, around the index's end.
func TestCalls(t *testing.T) {
	for _, later := range []bool{false, true} {
		e := newEcho()
		e.later = later
		var all sync.WaitGroup
		for c := range 3 * slotCount {
			all.Go(func() {
				for i := range 2000 {
					node := uint64(c)<<32 | uint64(i)
					name := fmt.Sprint(node)
					if r := e.dev.Call(hypercall.ShareRequest{Node: node}, name, "", nil, nil); r.Node != node || int(r.N) != len(name) {
						t.Errorf("the answer to %d is %+v", node, r)
						return
					}
				}
			})
		}
		all.Wait()
		if len(e.dev.free) != slotCount {
			t.Errorf("%d slots are free", len(e.dev.free))
		}
	}
}

// TestChain: a request is described as the contract wants it.
func TestChain(t *testing.T) {
	e := newEcho()
	in, out := make([]byte, 10), make([]byte, 20)
	const next, write = hypercall.DescNext, hypercall.DescWrite
	for _, c := range []struct {
		in, out []byte
		want    [][2]int // length, flags
	}{
		{nil, nil, [][2]int{{hypercall.ShareRequestSize + 3, next}, {hypercall.ShareReplySize, write}}},
		{in, nil, [][2]int{{hypercall.ShareRequestSize + 3, next}, {10, next}, {hypercall.ShareReplySize, write}}},
		{nil, out, [][2]int{{hypercall.ShareRequestSize + 3, next}, {hypercall.ShareReplySize, write | next}, {20, write}}},
		{in, out, [][2]int{{hypercall.ShareRequestSize + 3, next}, {10, next}, {hypercall.ShareReplySize, write | next}, {20, write}}},
	} {
		e.dev.Call(hypercall.ShareRequest{}, "ab", "c", c.in, c.out)
		d := e.queue.Avail.Ring[(e.queue.Avail.Index-1)%hypercall.QueueLen]
		for i, w := range c.want {
			got := e.queue.Desc[d]
			if int(got.Len) != w[0] || int(got.Flags) != w[1] {
				t.Errorf("%d and %d bytes, descriptor %d: %+v, want %v", len(c.in), len(c.out), i, got, w)
			}
			d = got.Next
		}
	}
	if r := e.dev.Call(hypercall.ShareRequest{}, string(make([]byte, hypercall.MaxShareName)), "x", nil, nil); r.Errno == 0 {
		t.Error("names that are too long were sent")
	}
}

// TestAllocations: calls make none, as Linux's do not.
func TestAllocations(t *testing.T) {
	e := newEcho()
	p := make([]byte, 100)
	e.dev.Call(hypercall.ShareRequest{}, "name", "", p, p) // the slots get their memory
	if n := testing.AllocsPerRun(10*slotCount, func() { e.dev.Call(hypercall.ShareRequest{Node: 1}, "name", "", p, p) }); n > 0 {
		t.Errorf("a call makes %v allocations", n)
	}
}

func BenchmarkCall(b *testing.B) {
	e := newEcho()
	for b.Loop() {
		e.dev.Call(hypercall.ShareRequest{Node: 1}, "name", "", nil, nil)
	}
}
