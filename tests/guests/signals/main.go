// Command signals prints the signals it gets, and ends with code 0 at SIGTERM. The test sends them to ukvm.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	c := make(chan os.Signal, 16)
	signal.Notify(c)
	signal.Reset(syscall.SIGQUIT, syscall.SIGURG)
	if len(os.Args) > 1 { // in the midst of work
		go func() {
			for {
			}
		}()
	}
	fmt.Println("ready")
	for s := range c {
		fmt.Println("got", s)
		if s == syscall.SIGTERM {
			return
		}
	}
}
