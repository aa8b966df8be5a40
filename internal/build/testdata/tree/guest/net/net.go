// Package net stands in for the network stack.
package net

import (
	"os"

	"ukvm.dev/guest/posix"
)

// Linked proves that package net brings this package along.
func Linked() string { return posix.Linked() + os.DevNull }
