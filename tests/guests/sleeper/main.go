// Command sleeper waits for ever: in a sleep, or with an argument in an empty loop. The test ends it from outside and
// looks at how.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Println("ready")
		for {
		}
	}
	time.AfterFunc(50*time.Millisecond, func() { fmt.Println("ready") })
	wait()
}

//go:noinline
func wait() { time.Sleep(time.Hour) }
