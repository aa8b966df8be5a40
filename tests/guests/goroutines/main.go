// Command goroutines passes a number through a chain of 10 000 goroutines, each of which adds one, and then has 10 000
// of them send over one channel. The test expects the sums, and that all of the goroutines end.
package main

import (
	"fmt"
	"runtime"
	"sync"
)

const n = 10_000

func main() {
	first := make(chan int)
	last := first
	for range n {
		next := make(chan int)
		go func(in, out chan int) { out <- 1 + <-in }(last, next)
		last = next
	}
	most := runtime.NumGoroutine()
	first <- 0
	fmt.Println("chain:", <-last, "goroutines:", most)

	shared := make(chan int, 7)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { shared <- i })
	}
	go func() {
		all.Wait()
		close(shared)
	}()
	sum := 0
	for i := range shared {
		sum += i
	}
	fmt.Println("sum:", sum)
	for runtime.NumGoroutine() > 1 {
		runtime.Gosched()
	}
	fmt.Println("left:", runtime.NumGoroutine())
}
