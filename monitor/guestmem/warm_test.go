package guestmem

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"ukvm.dev/hypercall"
)

func TestWarm(t *testing.T) {
	r := newRAM(t, 8<<20)
	r.Warm()
	if r.Used() != 0 {
		t.Errorf("%d bytes used before the first block is taken", r.Used())
	}
	if n := resident(t, r.mem[:hugePage]); n != warmFrames {
		t.Errorf("%d frames of the first %d are there", n, warmFrames)
	}
	if n := resident(t, r.mem[hugePage:]); n != 0 {
		t.Errorf("%d frames of the rest are there", n)
	}
	if a, b := alloc(t, r, 0), alloc(t, r, 4); a >= hugePage || b >= hugePage {
		t.Errorf("blocks at %#x and %#x, outside the warm part", a, b)
	}
	if gpa := alloc(t, r, MaxOrder); gpa < hugePage {
		t.Errorf("a huge block at %#x, in the warm part", gpa)
	}
	if gpa, ok := r.AllocCold(3); !ok || gpa < hugePage {
		t.Errorf("a cold block at %#x, %v", gpa, ok)
	}
	if want := uint64(1+16+512+8) * PageSize; r.Used() != want {
		t.Errorf("%d bytes used, want %d", r.Used(), want)
	}
}

// TestWarmExhaustion checks that every frame is handed out once, whoever asks, and that all come back zero and whole.
func TestWarmExhaustion(t *testing.T) {
	const size = 8<<20 + 5*PageSize
	r := newRAM(t, size)
	r.Warm()
	random := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		taken := map[hypercall.GPA]bool{}
		for {
			take := r.Alloc
			if random.IntN(4) == 0 {
				take = r.AllocCold
			}
			gpa, ok := take(0)
			if !ok {
				break
			}
			r.Populate(gpa, PageSize)
			b := bytesAt(t, r, gpa, PageSize)
			if taken[gpa] || !bytes.Equal(b, make([]byte, PageSize)) {
				t.Fatalf("frame %#x is in use or not zero", gpa)
			}
			b[1] = 1
			taken[gpa] = true
		}
		if len(taken) != size/PageSize || r.Used() != size {
			t.Fatalf("%d frames handed out, %d bytes used, of %d", len(taken), r.Used(), size)
		}
		for gpa := range taken {
			if err := r.Discard(gpa, PageSize); err != nil {
				t.Fatal(err)
			}
		}
		if r.Used() != 0 || resident(t, r.mem) != 0 {
			t.Fatalf("%d bytes used and %d frames there after all came back", r.Used(), resident(t, r.mem))
		}
		if gpa, ok := r.Alloc(MaxOrder - 1); !ok {
			t.Fatal("no block of 1 MiB")
		} else if err := r.Discard(gpa, hugePage/2); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWarmFile shows a file in the warm part, where it goes when there is nothing else. What it has shown is no longer there
// as zeroes.
func TestWarmFile(t *testing.T) {
	name := t.TempDir() + "/file"
	if err := os.WriteFile(name, bytes.Repeat([]byte{7}, PageSize), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := newRAM(t, 8<<20)
	r.Warm()
	for range 3 {
		alloc(t, r, MaxOrder)
	}
	gpa, ok := r.AllocCold(0)
	if !ok || gpa >= hugePage {
		t.Fatalf("%#x, %v", gpa, ok)
	}
	if err := r.ShowFile(gpa, PageSize, f, 0); err != nil {
		t.Fatal(err)
	}
	if b := bytesAt(t, r, gpa, PageSize); b[0] != 7 {
		t.Error("the file is not shown")
	}
	if err := r.Discard(gpa, PageSize); err != nil {
		t.Fatal(err)
	}
	again := alloc(t, r, 0)
	r.Populate(again, PageSize)
	if b := bytesAt(t, r, again, PageSize); again != gpa || b[0] != 0 {
		t.Errorf("frame %#x begins with %d after %#x was given back", again, b[0], gpa)
	}
}

func TestWarmSmall(t *testing.T) {
	r := newRAM(t, 4*hugePage-PageSize)
	r.Warm()
	if r.warm != nil || resident(t, r.mem) != 0 {
		t.Error("a small RAM is warmed")
	}
}
