// Command args prints its arguments, without its name, and its environment, a quoted string a line. The test expects
// exactly what it gave.
package main

import (
	"fmt"
	"os"
)

func main() {
	for _, a := range os.Args[1:] {
		fmt.Printf("arg %q\n", a)
	}
	for _, e := range os.Environ() {
		fmt.Printf("env %q\n", e)
	}
}
