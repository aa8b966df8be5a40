// Package posix stands in for the system calls on goroutines.
package posix

import (
	"sync"

	"ukvm.dev/guest/kernel"
	deep "ukvm.dev/guest/posix/deep"
)

// Linked proves that package os brings this package along.
var Linked = sync.OnceValue(func() string { return kernel.Where + deep.Name })
