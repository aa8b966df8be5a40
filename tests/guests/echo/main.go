// Command echo answers each line of standard input at the next tick of another goroutine's: a blocked read holds up
// nothing else. The test talks to it line by line.
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	lines := make(chan string)
	done := make(chan bool)
	go func() {
		defer close(done)
		for range time.Tick(time.Millisecond) {
			select {
			case line, ok := <-lines:
				if !ok {
					return
				}
				fmt.Printf("%q\n", line)
			default:
			}
		}
	}()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		lines <- in.Text()
	}
	close(lines)
	<-done
	fmt.Println("end", in.Err())
}
