// Command oom uses up its memory in the way its argument names. The test expects one sentence and code 137.
package main

import (
	"fmt"
	"os"
	"syscall"
)

var keep [][]byte

func main() {
	fmt.Println("begin")
	switch os.Args[1] {
	case "small":
		for {
			keep = append(keep, make([]byte, 1000))
		}
	case "large":
		b := make([]byte, 1<<32)
		for i := range b {
			b[i] = 1
		}
	case "mmap":
		b, err := syscall.Mmap(-1, 0, 1<<30, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	case "goroutines":
		for {
			go func() {
				var frame [10_000]byte
				frame[len(os.Args)] = 1
				select {}
			}()
		}
	case "file":
		f, err := os.Create("/tmp/file")
		if err != nil {
			panic(err)
		}
		b := make([]byte, 1<<20)
		for {
			if _, err := f.Write(b); err != nil {
				fmt.Println(err)
				os.Exit(28)
			}
		}
	}
	fmt.Println("not reached")
}
