// Command timers measures how late sleeps, timers, tickers and deadlines of several lengths are in a program that does
// nothing else. It prints the median and the worst lateness of each in microseconds. The test expects none to be
// early, and the medians within 5 ms.
package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"
)

var waits = []struct {
	name string
	wait func(time.Duration)
}{
	{"sleep", time.Sleep},
	{"after", func(d time.Duration) { <-time.After(d) }},
	{"func", func(d time.Duration) {
		done := make(chan bool)
		time.AfterFunc(d, func() { done <- true })
		<-done
	}},
	{"context", func(d time.Duration) {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		<-ctx.Done()
	}},
	{"deadline", func(d time.Duration) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		a.SetReadDeadline(time.Now().Add(d))
		a.Read(make([]byte, 1))
	}},
}

func main() {
	for _, w := range waits {
		for _, d := range []time.Duration{100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond} {
			var late []time.Duration
			for range 7 {
				begin := time.Now()
				w.wait(d)
				late = append(late, time.Since(begin)-d)
			}
			report(fmt.Sprint(w.name, "/", d), late)
		}
	}
	var late []time.Duration
	tick := time.NewTicker(20 * time.Millisecond)
	begin := time.Now()
	for i := range 20 {
		<-tick.C
		late = append(late, time.Since(begin)-time.Duration(i+1)*20*time.Millisecond)
	}
	report("ticker", late)
}

func report(name string, late []time.Duration) {
	slices.Sort(late)
	fmt.Println(name, late[0].Microseconds(), late[len(late)/2].Microseconds(), late[len(late)-1].Microseconds())
}
