package netiftest

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Leaks fails t if goroutines or file descriptors are left when t and its cleanups have ended. It is called first, and
// not in tests that run in parallel.
func Leaks(t testing.TB) {
	t.Helper()
	// The runtime's poller opens its descriptors with the first socket and keeps them.
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
	fds, goroutines := openFiles(), stacks()
	t.Cleanup(func() {
		var leaked []string
		deadline := time.Now().Add(Patience)
		for wait := time.Millisecond; ; wait = min(2*wait, Patience/100) {
			leaked = leaked[:0]
			for id, stack := range stacks() {
				if _, ok := goroutines[id]; !ok && !strings.Contains(stack, "testing.(*T).Run") {
					leaked = append(leaked, stack)
				}
			}
			for fd, name := range openFiles() {
				if fds[fd] != name {
					leaked = append(leaked, fmt.Sprintf("file descriptor %s: %s", fd, name))
				}
			}
			if len(leaked) == 0 {
				return
			}
			if time.Now().After(deadline) {
				break
			}
			// There is no event to wait for: goroutines end after their last visible act.
			time.Sleep(wait)
		}
		slices.Sort(leaked)
		t.Errorf("%d leaked:\n%s", len(leaked), strings.Join(leaked, "\n"))
	})
}

// openFiles is the process's descriptors and what they are.
func openFiles() map[string]string {
	files := make(map[string]string)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			files[e.Name()] = name
		}
	}
	return files
}

// stacks is the stack of each goroutine, by its number.
func stacks() map[string]string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	all := make(map[string]string)
	for _, s := range strings.Split(string(buf), "\n\n") {
		id, _, _ := strings.Cut(strings.TrimPrefix(s, "goroutine "), " ")
		all[id] = s
	}
	return all
}
