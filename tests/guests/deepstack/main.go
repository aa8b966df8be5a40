// Command deepstack grows a stack to as many MB as its argument says, with pointers into it, and shrinks it again, in
// several goroutines one after the other. The test expects the sums, in not much more memory than that takes.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
)

//go:noinline
func descend(depth int, above *[100]int) int {
	var frame [100]int
	frame[depth%100] = depth
	sum := 0
	if depth > 0 {
		sum = descend(depth-1, &frame)
	}
	return sum + above[(depth+1)%100] // the frames have moved since
}

func main() {
	mb, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	depth := mb << 20 / 900 // bytes of a frame, roughly
	for range 3 {
		done := make(chan int)
		go func() {
			var top [100]int
			top[(depth+1)%100] = depth + 1
			done <- descend(depth, &top)
		}()
		sum := <-done
		runtime.GC()
		fmt.Println("sum as expected:", sum == (depth+1)*(depth+2)/2)
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	fmt.Println("stacks given back:", s.StackInuse < 4<<20)
}
