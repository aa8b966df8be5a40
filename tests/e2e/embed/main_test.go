// Package embed has tests of what a program sees that runs guests inside of itself, with package monitor and a network
// from package user: many guests, all at once and one after the other, nothing of which is left when they are closed.
package embed

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

func TestMain(m *testing.M) { os.Exit(ukvmtest.Main(m)) }

// holdings is what a process has that it could leak.
type holdings struct{ descriptors, threads, mappings, goroutines int }

func holds(t testing.TB) holdings {
	t.Helper()
	count := func(dir string) int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return holdings{count("/proc/self/fd"), count("/proc/self/task"), strings.Count(string(maps), "\n"), runtime.NumGoroutine()}
}

// leavesNothing checks that f, called again, leaves nothing behind. The first call is not counted: Go's runtime keeps
// threads and memory that it has once needed. So it may with the second call, but never as many as there were guests.
func leavesNothing(t *testing.T, guests int, f func()) {
	t.Helper()
	f()
	before := holds(t)
	f()
	var after holdings
	for range 500 { // what ends on its own after Close has returned
		if after = holds(t); after.goroutines <= before.goroutines && after.descriptors <= before.descriptors {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	slack := guests / 2
	if after.descriptors > before.descriptors || after.goroutines > before.goroutines ||
		after.threads > before.threads+slack || after.mappings > before.mappings+slack {
		stacks := make([]byte, 1<<20)
		t.Errorf("before %+v, after %+v\n%s", before, after, stacks[:runtime.Stack(stacks, true)])
	}
}
