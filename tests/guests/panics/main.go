// Command panics ends with a panic of the kind its argument names. The test expects Go's report and code 2.
package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

func main() {
	defer fmt.Println("deferred function of main")
	kinds[os.Args[1]]()
}

var kinds = map[string]func(){
	"error":     func() { panic(errors.New("broken")) },
	"repanic":   func() { defer func() { panic(fmt.Sprint("after ", recover())) }(); panic("first") },
	"goroutine": inGoroutine,
	"index":     func() { var a []int; fmt.Println(a[len(os.Args)]) },
	"divide":    func() { fmt.Println(1 / (len(os.Args) - 2)) },
	"map":       func() { var m map[int]int; m[1] = 1 },
	"close":     func() { var c chan int; close(c) },
	"unlock":    func() { var mu sync.Mutex; mu.Unlock() },
}

func inGoroutine() {
	go func() { panic("in a goroutine") }()
	select {}
}
