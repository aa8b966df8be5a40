// Command selects chooses among channels that are all ready, and among goroutines that all want to run. The test expects
// each to get its share.
package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

func main() {
	channels()
	goroutines()
	threads()
}

func channels() {
	closed := make(chan int)
	close(closed)
	a, b, c := closed, closed, closed
	var n [3]int
	for range 30_000 {
		select {
		case <-a:
			n[0]++
		case <-b:
			n[1]++
		case <-c:
			n[2]++
		}
	}
	fmt.Println("channels:", even(n[:], 0.1))
}

// goroutines share a thread, preempted by the runtime.
func goroutines() {
	n := make([]int, 4)
	spin(n, func() {})
	fmt.Println("goroutines:", even(n, 0.5))
}

// threads share the processor, preempted by the guest kernel.
func threads() {
	runtime.GOMAXPROCS(5)
	n := make([]int, 4)
	spin(n, runtime.LockOSThread)
	fmt.Println("threads:", even(n, 0.5))
}

func spin(n []int, begin func()) {
	var all sync.WaitGroup
	end := time.Now().Add(800 * time.Millisecond)
	for i := range n {
		all.Go(func() {
			begin()
			for time.Now().Before(end) {
				n[i]++
			}
		})
	}
	all.Wait()
}

// even reports whether no number is further from the mean than a fraction of it.
func even(n []int, fraction float64) string {
	sum := 0
	for _, v := range n {
		sum += v
	}
	mean := float64(sum) / float64(len(n))
	for _, v := range n {
		if float64(v) < mean*(1-fraction) || float64(v) > mean*(1+fraction) {
			return fmt.Sprint(n)
		}
	}
	return "even"
}
