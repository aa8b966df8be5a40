package guests

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// pattern is what output writes.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31 >> 3)
	}
	return b
}

// startOutput starts output with a pipe as its standard output, and returns the end to read.
func startOutput(t *testing.T, words ...string) (*ukvmtest.Process, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	c := command(t, "output", append([]string{"--"}, words...)...)
	c.Stdout = w
	p := ukvmtest.Start(t, c)
	w.Close()
	return p, r
}

// TestOutput: each byte arrives, however much it is, with a reader that comes late. Until then the rest of the program
// goes on.
func TestOutput(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 65_536, 65_537, 3_000_000, 50_000_000} {
		p, r := startOutput(t, fmt.Sprint(n))
		if n > 1<<20 {
			for range 3 { // ticks, while nobody reads
				p.Await(strings.Repeat("tick\n", 1+strings.Count(p.Stderr(), "tick\n")))
			}
		}
		b, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(b, pattern(n)) {
			t.Errorf("%d of %d bytes arrived, %v", len(b), n, err)
		}
		if e := p.Wait(); e.Code != 0 || !strings.HasSuffix(e.Stderr, fmt.Sprintf("wrote %d\n", n)) {
			t.Errorf("code %d: %s", e.Code, e.Stderr)
		}
	}
}

// TestBrokenPipe: when the reader goes away the program ends by SIGPIPE, or hears of EPIPE.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	for words, code := range map[string]int{"10000000": 128 + 13, "10000000 ignore": 3} {
		p, r := startOutput(t, strings.Fields(words)...)
		io.ReadFull(r, make([]byte, 1000))
		p.Await("tick\n")
		r.Close()
		e := p.Wait()
		if e.Code != code || code == 3 && !strings.Contains(e.Stderr, "stopped: EPIPE true") || strings.Contains(e.Stderr, "ukvm:") {
			t.Errorf("%s: code %d, want %d: %s", words, e.Code, code, e.Stderr)
		}
	}
}

// TestStopWithoutReader: a program can be ended while its output waits for a reader.
func TestStopWithoutReader(t *testing.T) {
	t.Parallel()
	p, _ := startOutput(t, "10000000")
	p.Await("tick\n")
	p.Signal(syscall.SIGTERM)
	if e := p.Wait(); e.Code != 128+15 {
		t.Errorf("code %d: %s", e.Code, e.Stderr)
	}
}
