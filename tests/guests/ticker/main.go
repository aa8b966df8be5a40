// Command ticker counts 100 ticks of 20 ms while other goroutines spin in empty loops, on as many threads as its
// argument says. The test expects all ticks in about their time: the loops are preempted.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

func main() {
	procs, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	runtime.GOMAXPROCS(procs)
	for range procs {
		go func() {
			for {
			}
		}()
	}
	begin := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	for range 100 {
		<-tick.C
	}
	fmt.Println("ticks took ms:", time.Since(begin).Milliseconds())
	runtime.GC() // has to stop the loops too
	fmt.Println("collected")
}
