// Command cpuprofile writes a CPU profile to standard output, of about a second of work, in which one function does most of the work
// and one some. The test looks for them with go tool pprof.
package main

import (
	"os"
	"runtime/pprof"
	"time"
)

func main() {
	if err := pprof.StartCPUProfile(os.Stdout); err != nil {
		panic(err)
	}
	for range 250 { // about a second
		busy()
		lessBusy()
	}
	time.Sleep(100 * time.Millisecond) // which is not in the profile
	pprof.StopCPUProfile()
}

var sink uint64

//go:noinline
func busy() { work(4_000_000) }

//go:noinline
func lessBusy() { spin(500_000) }

//go:noinline
func work(n int) {
	for i := range n {
		sink = sink*6364136223846793005 + uint64(i)
	}
}

//go:noinline
func spin(n int) {
	for i := range n {
		sink ^= sink<<13 + uint64(i)
	}
}
