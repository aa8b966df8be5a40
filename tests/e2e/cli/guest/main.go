// Command guest does what its first argument names, for tests that look at it from outside.
package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Println("guest", runtime.Version())
		return
	}
	switch word := os.Args[1]; word {
	case "where": // everything that a command line can say about a process
		dir, _ := os.Getwd()
		host, _ := os.Hostname()
		fmt.Printf("args %q\ndir %s\nhost %s\n", os.Args, dir, host)
		for _, kv := range os.Environ() {
			fmt.Printf("env %q\n", kv)
		}
	case "exit":
		os.Exit(number(2))
	case "panic":
		panic("on purpose")
	case "kill": // itself, which does what the signal does by default
		self, _ := os.FindProcess(os.Getpid())
		self.Signal(syscall.Signal(number(2)))
		select {}
	case "allocate":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			fmt.Fprintln(io.Discard, len(all))
		}
	case "streams":
		fmt.Fprintln(os.Stderr, "this is standard error")
		fmt.Println("this is standard output")
		fmt.Fprint(os.Stderr, "no newline at the end")
	case "cat":
		n, err := io.Copy(os.Stdout, os.Stdin)
		fmt.Fprintln(os.Stderr, n, "bytes,", err)
	case "flood":
		fmt.Fprintln(os.Stderr, "ready")
		for line := strings.Repeat("x", 4095) + "\n"; ; {
			fmt.Print(line)
		}
	case "spin":
		fmt.Println("ready")
		for {
		}
	case "signals": // says which it gets, and ends with 7 after SIGTERM
		c := make(chan os.Signal, 16)
		signal.Notify(c)
		signal.Reset(syscall.SIGURG)
		fmt.Println("ready")
		for s := range c {
			fmt.Println("got", s)
			if s == syscall.SIGTERM {
				os.Exit(7)
			}
		}
	case "stubborn":
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
		fmt.Println("ready")
		for {
			time.Sleep(time.Hour)
		}
	case "files":
		for _, root := range os.Args[2:] {
			if err := list(root); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	default:
		fmt.Fprintf(os.Stderr, "guest: nothing is called %q\n", word)
		os.Exit(2)
	}
}

func number(i int) int {
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return n
}

// list prints a tree of files.
func list(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			fmt.Printf("%v %s\n", info.Mode(), path)
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			fmt.Printf("link %s -> %s %v\n", path, to, err)
		default:
			b, err := os.ReadFile(path)
			fmt.Printf("%v %s %q %v\n", info.Mode(), path, b, err)
		}
		return nil
	})
}
