// Command stackoverflow recurses without end, with the stack limit its argument gives in MB. The test expects Go's
// report and code 2; without a limit and with little memory, it expects the guest to run out of memory.
package main

import (
	"os"
	"runtime/debug"
	"strconv"
)

//go:noinline
func recurse(n int) int {
	var frame [256]int
	frame[n%len(frame)] = n
	return recurse(n+1) + frame[0]
}

func main() {
	if len(os.Args) > 1 {
		mb, err := strconv.Atoi(os.Args[1])
		if err != nil {
			panic(err)
		}
		debug.SetMaxStack(mb << 20)
	}
	recurse(0)
}
