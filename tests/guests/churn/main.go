// Command churn allocates 2 GB, most of it garbage at once, while a tree that lives stays intact. The test runs it with
// little memory and expects that it is collected.
package main

import (
	"fmt"
	"runtime"
)

type node struct {
	left, right *node
	value       int
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{value: 1}
	}
	l, r := tree(depth-1), tree(depth-1)
	return &node{l, r, l.value + r.value}
}

func (n *node) sum() int {
	if n.left == nil {
		return 1
	}
	return n.left.sum() + n.right.sum()
}

var sink [64][]byte

func main() {
	lasting := tree(15)
	total := 0
	for i := 0; total < 2<<30; i++ {
		b := make([]byte, 16+i*977%200_000)
		b[len(b)-1] = 1
		sink[i%len(sink)] = b
		total += len(b)
		if i%1000 == 0 {
			total += 24 * 1 << 12
			if tree(11).sum() != 1<<11 {
				panic("a tree has lost leaves")
			}
		}
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	fmt.Println("leaves:", lasting.sum(), "of", lasting.value)
	fmt.Println("allocated 2 GB:", s.TotalAlloc >= 2<<30, "collections:", s.NumGC > 10)
}
