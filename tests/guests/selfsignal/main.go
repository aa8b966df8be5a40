// Command selfsignal sends signals to itself: caught, ignored, reset, and as a context's end. The test expects the
// lines it prints, and its end by the signal that its argument numbers.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	number, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	for range 1000 {
		send(syscall.SIGUSR1)
		<-c
	}
	fmt.Println("caught 1000")

	signal.Ignore(syscall.SIGUSR1, syscall.SIGHUP)
	send(syscall.SIGUSR1)
	send(syscall.SIGHUP)
	fmt.Println("ignored", signal.Ignored(syscall.SIGHUP))

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGUSR2)
	send(syscall.SIGUSR2)
	<-ctx.Done()
	stop()
	fmt.Println(ctx.Err())

	signal.Reset()
	send(syscall.Signal(number))
	time.Sleep(time.Minute)
}

func send(s syscall.Signal) {
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		panic(err)
	}
}
