// Command cleanup sees what the collector does besides freeing memory: finalizers, cleanups, weak pointers, and buffers of
// goroutines that are blocked in system calls. The test expects that it works.
package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"weak"
)

func main() {
	var finalized, cleaned atomic.Int64
	var weaks []weak.Pointer[[100]int]
	for range 1000 {
		p := new([100]int)
		runtime.SetFinalizer(p, func(*[100]int) { finalized.Add(1) })
		q := new([100]int)
		runtime.AddCleanup(q, func(int) { cleaned.Add(1) }, 0)
		weaks = append(weaks, weak.Make(q))
	}
	for finalized.Load() < 1000 || cleaned.Load() < 1000 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	dead := 0
	for _, w := range weaks {
		if w.Value() == nil {
			dead++
		}
	}
	fmt.Println("finalized, cleaned, dead:", finalized.Load(), cleaned.Load(), dead)
	blocked()
}

// blocked lets goroutines wait in read with buffers on their stacks, which move meanwhile.
func blocked() {
	const n = 50
	done := make(chan bool)
	var writers []*os.File
	for range n {
		r, w, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		writers = append(writers, w)
		go func() {
			var b [64]byte
			deepRead(199, r, &b)
			done <- bytes.Equal(b[:], bytes.Repeat([]byte{7}, 64))
		}()
	}
	for range 5 {
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
	}
	right := 0
	for _, w := range writers {
		w.Write(bytes.Repeat([]byte{7}, 64))
		if <-done {
			right++
		}
	}
	fmt.Println("buffers intact:", right, "of", n)
}

// deepRead reads far down a stack, which shrinks when it has come back.
func deepRead(depth int, r *os.File, b *[64]byte) {
	var frame [200]byte
	frame[depth] = 1
	if depth > 0 {
		deepRead(depth-1, r, b)
		return
	}
	if _, err := r.Read(b[:]); err != nil {
		panic(err)
	}
}
