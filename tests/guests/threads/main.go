// Command threads has as many goroutines as its argument says, each on a thread of its own, hand a number around in a
// ring, each adding one. The test expects the sum, and Go's report if there are more threads than a guest can have.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
)

const rounds = 5

func main() {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	var all sync.WaitGroup
	started := make(chan bool)
	first := make(chan int, 1)
	in := first
	for i := range n {
		out := make(chan int, 1)
		if i == n-1 {
			out = first
		}
		all.Add(1)
		go func(in, out chan int) {
			defer all.Done()
			runtime.LockOSThread() // it ends locked, and its thread with it
			started <- true
			for range rounds {
				out <- 1 + <-in
			}
		}(in, out)
		in = out
	}
	for range n {
		<-started
	}
	fmt.Println("all run")
	first <- 0
	all.Wait()
	fmt.Println("sum:", <-first)
}
