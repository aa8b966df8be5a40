// Command nilderef reads, writes and calls through nil pointers. Each is a panic that the program recovers from; its
// argument names one not to recover from, which the test expects to end it with its trace and code 2.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

type record struct {
	large [1 << 12]byte // larger than page 0
	field int
}

//go:noinline
func read(r *record) int { return r.field }

//go:noinline
func write(p *int) { *p = 1 }

//go:noinline
func call(f func()) { f() }

var operations = map[string]func(){
	"read":  func() { read(nil) },
	"write": func() { write(nil) },
	"call":  func() { call(nil) },
}

func main() {
	for _, name := range []string{"read", "write", "call"} {
		for range 100 {
			try(name, len(os.Args) < 2 || os.Args[1] != name)
		}
		fmt.Println(name, "recovered")
	}
}

func try(name string, again bool) {
	if again {
		defer func() {
			r := recover()
			var err runtime.Error
			if e, ok := r.(error); !ok || !errors.As(e, &err) {
				panic(fmt.Sprint("recovered from ", r))
			}
		}()
	}
	operations[name]()
}
