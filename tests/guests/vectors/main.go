// Command vectors keeps values in every vector register there is while other threads and goroutines do the same, with
// floating point beside, so that they are preempted and switched at any point. The test expects that each result is right.
package main

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Defined in hold_amd64.s. Each fills the vector registers with values made of seed, spins n times, and reports whether
// they are all still there.
func holdSSE(seed, n uint64) bool
func holdAVX(seed, n uint64) bool
func holdAVX512(seed, n uint64) bool

// enabled returns the state components that the system has switched on (XGETBV).
func enabled() uint64

func main() {
	runtime.GOMAXPROCS(4)
	var all sync.WaitGroup
	var wrong atomic.Int64
	end := time.Now().Add(1200 * time.Millisecond)
	holders := []func(seed, n uint64) bool{holdSSE}
	if enabled()&7 == 7 {
		holders = append(holders, holdAVX)
	}
	if enabled()&0xe7 == 0xe7 {
		holders = append(holders, holdAVX512)
	}
	for i, hold := range holders {
		for j := range uint64(3) {
			all.Go(func() {
				for seed := uint64(i)<<8 | j; time.Now().Before(end); seed += 1 << 16 {
					if !hold(seed, 1_000_000) {
						wrong.Add(1)
					}
				}
			})
		}
	}
	want := series(200_000)
	for range 3 {
		all.Go(func() {
			for time.Now().Before(end) {
				if series(200_000) != want {
					wrong.Add(1)
				}
			}
		})
	}
	all.Go(func() { // signal handlers use vector registers too
		for time.Now().Before(end) {
			runtime.GC()
		}
	})
	all.Wait()
	fmt.Println("wrong:", wrong.Load())
}

//go:noinline
func series(n int) float64 {
	sum := 0.0
	for i := range n {
		sum += math.Sin(float64(i)) * math.FMA(float64(i), 1e-3, math.Sqrt(float64(i)))
	}
	return sum
}
