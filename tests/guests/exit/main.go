// Command exit ends with the code that its argument names. With a second argument it does so from a deferred function,
// under a panic and with other goroutines at work. The test expects that code, and that functions deferred before do
// not run.
package main

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	code, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	if len(os.Args) == 2 {
		defer fmt.Println("deferred functions do not run")
		os.Exit(code)
	}
	go func() {
		for {
		}
	}()
	defer fmt.Println("deferred functions do not run")
	defer os.Exit(code)
	panic("nobody hears of this")
}
