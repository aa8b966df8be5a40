// Command freeosmemory fills 200 MB, drops them, and gives them back, a step for each line of standard input. The test
// looks at the host's memory meanwhile.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
)

func main() {
	var b []byte
	steps := []func(){
		func() {
			b = make([]byte, 200<<20)
			for i := range b {
				b[i] = byte(i)
			}
		},
		func() { b = nil; debug.FreeOSMemory() },
	}
	fmt.Println("start")
	lines := bufio.NewScanner(os.Stdin)
	for i := 0; lines.Scan(); i++ {
		steps[i%2]()
		fmt.Println("step", i, len(b))
	}
}
