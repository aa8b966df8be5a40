// Command guest is what tests/bench runs natively and in a guest: one measurement a run, whose value it prints.
//
//	guest syscall|exit|time|switch|alloc|loop|map
//
// Values are nanoseconds an operation, or milliseconds for alloc, loop and map, which are programs in themselves.
package main

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

func main() {
	benches := map[string]func() float64{
		"syscall": func() float64 { return perOp(200_000, nullCall) },
		"exit":    func() float64 { return perOp(2_000, writes) },
		"time":    func() float64 { return perOp(500_000, now) },
		"switch":  func() float64 { return perOp(50_000, switches) },
		"alloc":   func() float64 { return once(alloc) },
		"loop":    func() float64 { return once(loop) },
		"map":     func() float64 { return once(maps) },
	}
	var bench func() float64
	if len(os.Args) == 2 {
		bench = benches[os.Args[1]]
	}
	if bench == nil {
		fmt.Fprintln(os.Stderr, "usage: guest syscall|exit|time|switch|alloc|loop|map")
		os.Exit(2)
	}
	fmt.Printf("%.3f\n", bench())
}

// perOp runs f(n) several times, after once to warm up, and returns the median of nanoseconds an operation: whatever else
// the machine does in one of them does not count.
func perOp(n int, f func(n int)) float64 {
	f(n / 10)
	var all []float64
	for range 9 {
		begin := time.Now()
		f(n)
		all = append(all, float64(time.Since(begin))/float64(n))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// once runs f and returns milliseconds.
func once(f func()) float64 {
	begin := time.Now()
	f()
	return float64(time.Since(begin)) / float64(time.Millisecond)
}

// nullCall makes the cheapest system call there is, without the runtime's help.
func nullCall(n int) {
	for range n {
		syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0)
	}
}

// writes leaves a guest for its monitor with each byte.
func writes(n int) {
	for range n {
		os.Stderr.Write([]byte{'.'})
	}
}

func now(n int) {
	for range n {
		sink += uint64(time.Now().Nanosecond())
	}
}

// switches has two goroutines hand a value to and fro: each exchange is two switches.
func switches(n int) {
	there, back := make(chan int), make(chan int)
	go func() {
		for v := range there {
			back <- v
		}
		close(back)
	}()
	for i := range n / 2 {
		there <- i
		<-back
	}
	close(there)
	<-back
}

// sink keeps results from being optimised away.
var sink uint64

// node is part of what lives for a while.
type node struct {
	next  *node
	bytes []byte
}

// alloc allocates 1 GB in objects of 32 to 1056 bytes, of which 20 000 are alive at any time.
func alloc() {
	const total, alive = 1 << 30, 20_000
	ring := make([]*node, alive)
	for allocated, i := 0, 0; allocated < total; i++ {
		n := &node{bytes: make([]byte, 16+(i*37)%1024)}
		if i%8 != 0 {
			n.next = ring[(i+1)%alive]
			if n.next != nil {
				n.next.next = nil // chains stay short
			}
		}
		ring[i%alive] = n
		allocated += 32 + len(n.bytes)
	}
	sink += uint64(len(ring[0].bytes))
}

// loop is arithmetic and nothing else: primes below 4 million, and a xorshift generator.
func loop() {
	composite := make([]bool, 4_000_000)
	for range 8 {
		clear(composite)
		for i := 2; i < len(composite); i++ {
			if composite[i] {
				continue
			}
			sink++
			for j := 2 * i; j < len(composite); j += i {
				composite[j] = true
			}
		}
	}
	x := uint64(88172645463325252)
	for range 200_000_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	sink += x
}

// maps counts words and looks them up.
func maps() {
	words := make([]string, 100_000)
	for i := range words {
		words[i] = fmt.Sprintf("word-%d", i*7919%1_000_003)
	}
	for range 20 {
		counts := make(map[string]int)
		for i := range 4 * len(words) {
			counts[words[i*31%len(words)]]++
		}
		for _, w := range words {
			sink += uint64(counts[w])
		}
	}
}
