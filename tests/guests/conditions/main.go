// Command conditions has goroutines on several threads contend for what package sync offers. The test expects that nobody
// is lost, starved or let in twice.
package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	runtime.GOMAXPROCS(4)
	queue()
	mutex()
	readers()
	once()
}

// queue moves numbers through a bounded queue with two conditions.
func queue() {
	const producers, each = 20, 2000
	var mu sync.Mutex
	notEmpty, notFull := sync.NewCond(&mu), sync.NewCond(&mu)
	var items []int
	var all sync.WaitGroup
	var sum atomic.Int64
	for range producers {
		all.Go(func() {
			for i := range each {
				mu.Lock()
				for len(items) == 8 {
					notFull.Wait()
				}
				items = append(items, i)
				notEmpty.Signal()
				mu.Unlock()
			}
		})
		all.Go(func() {
			for range each {
				mu.Lock()
				for len(items) == 0 {
					notEmpty.Wait()
				}
				sum.Add(int64(items[0]))
				items = items[1:]
				notFull.Signal()
				mu.Unlock()
			}
		})
	}
	all.Wait()
	fmt.Println("queue:", sum.Load() == producers*each*(each-1)/2, len(items))
}

// mutex lets one goroutine hog a lock; another must get it too.
func mutex() {
	var mu sync.Mutex
	stop := make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			mu.Lock()
			for begin := time.Now(); time.Since(begin) < 100*time.Microsecond; {
			}
			mu.Unlock()
		}
	}()
	for range 20 {
		time.Sleep(time.Millisecond)
		mu.Lock()
		mu.Unlock()
	}
	close(stop)
	fmt.Println("mutex: not starved")
}

func readers() {
	var mu sync.RWMutex
	var all sync.WaitGroup
	var inside, writers, wrong atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 500 {
				mu.RLock()
				inside.Add(1)
				if writers.Load() != 0 {
					wrong.Add(1)
				}
				runtime.Gosched()
				inside.Add(-1)
				mu.RUnlock()
			}
		})
		all.Go(func() {
			for range 100 {
				mu.Lock()
				if writers.Add(1) != 1 || inside.Load() != 0 {
					wrong.Add(1)
				}
				runtime.Gosched()
				writers.Add(-1)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	fmt.Println("readers and writers: wrong", wrong.Load())
}

func once() {
	var once sync.Once
	var all sync.WaitGroup
	var n, m atomic.Int64
	var keys sync.Map
	pool := sync.Pool{New: func() any { return new(int) }}
	for i := range 100 {
		all.Go(func() {
			once.Do(func() { time.Sleep(time.Millisecond); n.Add(1) })
			if n.Load() != 1 {
				m.Add(1)
			}
			keys.Store(i%10, i)
			pool.Put(pool.Get())
		})
	}
	all.Wait()
	count := 0
	keys.Range(func(any, any) bool { count++; return true })
	fmt.Println("once:", n.Load(), "early:", m.Load(), "keys:", count)
}
