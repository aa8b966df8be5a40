// Command wallclock answers each line of standard input with the time: of the wall, in ns since 1970, and since its
// start by the monotonic clock. Between the lines it sleeps, or with an argument computes. The test compares with the
// host's clocks.
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	begin := time.Now()
	if len(os.Args) > 1 {
		go func() {
			for {
			}
		}()
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		now := time.Now()
		fmt.Println(now.UnixNano(), now.Sub(begin).Nanoseconds())
	}
}
