// Command timerstorm makes, resets and stops timers from many goroutines for a second or so. The test expects each timer
// to fire as often as the rules of package time say, and none early.
package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	var all sync.WaitGroup
	var fired, stopped, early, wrong atomic.Int64
	for seed := range uint64(50) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			span := func() time.Duration { return time.Duration(r.IntN(3000)) * time.Microsecond }
			t := time.NewTimer(time.Hour)
			for range 200 {
				d := span()
				begin := time.Now()
				t.Reset(d)
				if r.IntN(2) == 0 {
					d = span()
					begin = time.Now()
					t.Reset(d) // what was set before is void
				}
				if r.IntN(3) == 0 {
					time.Sleep(span() / 4)
					if t.Stop() {
						stopped.Add(1)
						select {
						case <-t.C:
							wrong.Add(1)
						default:
						}
						continue
					}
					// It has fired; since Go 1.23, Stop has taken the value away.
					fired.Add(1)
					continue
				}
				<-t.C
				fired.Add(1)
				if time.Since(begin) < d {
					early.Add(1)
				}
			}
		})
	}
	var calls atomic.Int64
	var timers []*time.Timer
	for i := range 10_000 {
		timers = append(timers, time.AfterFunc(time.Duration(i%500)*time.Millisecond, func() { calls.Add(1) }))
	}
	cancelled := int64(0)
	for i, t := range timers {
		if i%3 == 0 && t.Stop() {
			cancelled++
		}
	}
	all.Wait()
	time.Sleep(600 * time.Millisecond)
	fmt.Println("timers:", fired.Load()+stopped.Load(), "early:", early.Load(), "wrong:", wrong.Load())
	fmt.Println("functions:", calls.Load()+cancelled)
}
