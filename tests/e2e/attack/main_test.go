// Package attack has tests of guests under attack: a web server in its machine, on a TAP device in a namespace of the
// test's, towards which an attacker sends frames of his own making while a client goes on making requests. A guest that is
// attacked must do three things: answer each of the client's requests, rightly; stay within bounds of memory, and give it
// back afterwards; and not make the monitor's process grow. Package conformance has the same attacks against the stack
// alone, on a virtual clock, where every answer is looked at.
package attack

import (
	"os"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

func TestMain(m *testing.M) { os.Exit(ukvmtest.Main(m)) }

// sample is n for the sample of tests, and all for the soak.
func sample[T any](n, all T) T {
	if ukvmtest.Soak() {
		return all
	}
	return n
}
