// Command deadlock waits for what cannot come. The test expects Go's report and code 2, with its argument also of a
// main goroutine that has ended before.
package main

import (
	"os"
	"runtime"
)

func main() {
	block := make(chan int)
	if len(os.Args) > 1 {
		go func() { <-block }()
		runtime.Goexit()
	}
	<-block
}
