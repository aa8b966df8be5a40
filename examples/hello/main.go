// Command hello greets whom it is told to.
//
//	ukvm run ./examples/hello -- Ada Grace
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	names := os.Args[1:]
	if len(names) == 0 {
		names = []string{"world"}
	}
	fmt.Printf("Hello, %s!\n", strings.Join(names, " and "))
}
