// Command memlimit prints the memory limit it finds, keeps 60 % of that alive, and allocates ten times as much. The test
// expects the limit that follows from -m, or from GOMEMLIMIT, and that the program gets by with it.
package main

import (
	"fmt"
	"runtime/debug"
)

func main() {
	limit := debug.SetMemoryLimit(-1)
	fmt.Println("limit", limit)
	if limit > 1<<40 {
		return
	}
	live := make([][]byte, 0, 1000)
	for total := int64(0); total < limit*6/10; total += 64 << 10 {
		live = append(live, make([]byte, 64<<10))
	}
	for total := int64(0); total < 10*limit; total += 64 << 10 {
		live[int(total/7)%len(live)] = make([]byte, 64<<10)
	}
	fmt.Println("done")
}
