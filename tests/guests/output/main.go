// Command output writes bytes to standard output, in pieces of odd sizes, and reports on standard error what became of
// it: output N bytes [ignore]. With ignore, SIGPIPE is caught, so that a reader that goes away is an error and not the
// end. A line on standard error each 100 ms shows that the rest of the program goes on while nobody reads. The test
// expects each byte, or EPIPE.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	if len(os.Args) > 2 {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
	go func() {
		for range time.Tick(100 * time.Millisecond) {
			fmt.Fprintln(os.Stderr, "tick")
		}
	}()
	block := make([]byte, 100_003)
	done := 0
	for size := 1; done < n; size = size*7%len(block) + 1 {
		piece := block[:min(size, n-done)]
		for i := range piece {
			piece[i] = byte((done + i) * 31 >> 3)
		}
		k, err := os.Stdout.Write(piece)
		done += k
		if err != nil {
			fmt.Fprintf(os.Stderr, "stopped: EPIPE %t: %v\n", errors.Is(err, syscall.EPIPE), err)
			os.Exit(3)
		}
	}
	fmt.Fprintf(os.Stderr, "wrote %d\n", done)
}
