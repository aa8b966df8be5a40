// Package network has the tests of the guest's network from outside: net/http and plain sockets in a guest, over the
// user network and the command line, over TAP in a namespace of the test's, and over a link in memory that loses and
// reorders frames. Each test is one behaviour; world is where it happens. The program in the guests is package guest
// below this one.
package network

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
