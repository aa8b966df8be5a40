package guestmem

import (
	"math/rand/v2"
	"testing"
)

// naive is the allocator's model: which frames are in use, and nothing else.
type naive []bool

func (m naive) used() (n uint64) {
	for _, u := range m {
		if u {
			n++
		}
	}
	return n
}

// has reports whether there is a free block of an order, aligned to its size.
func (m naive) has(order int) bool {
	n := 1 << order
	for f := 0; f+n <= len(m); f += n {
		if m.free(f, n) {
			return true
		}
	}
	return false
}

func (m naive) free(from, n int) bool {
	for _, u := range m[from : from+n] {
		if u {
			return false
		}
	}
	return true
}

func (m naive) set(from, n int, used bool) {
	for i := range n {
		m[from+i] = used
	}
}

func newAllocator(frames uint64) *allocator {
	a := new(allocator)
	a.init(frames)
	return a
}

// TestAllocatorModel takes and gives back blocks at random. A block must be free and aligned, and must be found
// whenever there is one: that is what joining neighbours is for.
func TestAllocatorModel(t *testing.T) {
	for _, frames := range []uint64{1, 2, 3, 63, 64, 65, 511, 512, 513, 1000, 4096 + 77} {
		r := rand.New(rand.NewPCG(frames, 1))
		a, m := newAllocator(frames), make(naive, frames)
		var taken []uint64 // frames, to be given back one by one
		for step := range 3000 {
			if r.IntN(3) > 0 || len(taken) == 0 {
				order := r.IntN(MaxOrder + 1)
				if r.IntN(2) == 0 {
					order = r.IntN(3)
				}
				f, ok := a.alloc(order)
				if ok != m.has(order) {
					t.Fatalf("%d frames, step %d: alloc(%d) says %v; the model %v", frames, step, order, ok, !ok)
				}
				if !ok {
					continue
				}
				if f%(1<<order) != 0 || !m.free(int(f), 1<<order) {
					t.Fatalf("%d frames, step %d: alloc(%d) gives frame %d, which is misaligned or in use", frames, step, order, f)
				}
				m.set(int(f), 1<<order, true)
				for i := range uint64(1) << order {
					taken = append(taken, f+i)
				}
			} else {
				for range min(len(taken), 1+r.IntN(600)) {
					k := r.IntN(len(taken))
					f := taken[k]
					taken[k] = taken[len(taken)-1]
					taken = taken[:len(taken)-1]
					a.release(f)
					m.set(int(f), 1, false)
				}
			}
			if a.used != m.used() {
				t.Fatalf("%d frames, step %d: %d used, want %d", frames, step, a.used, m.used())
			}
		}
	}
}

// TestExhaustion checks that every frame is handed out once, and all come back together.
func TestExhaustion(t *testing.T) {
	const frames, tail = 3*512 + 100, 100
	a := newAllocator(frames)
	for i := range uint64(frames) {
		want := i - tail // the odd frames at the end first, since large blocks are broken up last; then from 0 on
		if i < tail {
			want += frames
		}
		if f, ok := a.alloc(0); !ok || f != want && i >= tail {
			t.Fatalf("single frame %d: got %d, %v, want %d", i, f, ok, want)
		}
	}
	if f, ok := a.alloc(0); ok {
		t.Fatalf("frame %d of a memory that is used up", f)
	}
	for i := range uint64(frames) {
		a.release(frames - 1 - i)
	}
	for i := range uint64(3) {
		if f, ok := a.alloc(MaxOrder); !ok || f != i*512 {
			t.Fatalf("largest block %d: got frame %d, %v: released frames were not joined", i, f, ok)
		}
	}
	if _, ok := a.alloc(MaxOrder); ok {
		t.Fatal("a largest block from the 100 frames at the end")
	}
}

// BenchmarkAllocator takes single frames of large memory, as page tables do.
func BenchmarkAllocator(b *testing.B) {
	const frames = 64 << 30 / PageSize
	a := newAllocator(frames)
	b.ReportAllocs()
	for b.Loop() {
		f, _ := a.alloc(0)
		if f%2 == 0 {
			a.release(f)
			a.alloc(0)
		}
		if a.used == frames {
			a = newAllocator(frames)
		}
	}
}
