// Package guests runs small programs in guests, one idea each, and looks at them from outside: at exit codes, at what
// they print, and at the host's memory, clocks and signals meanwhile. What each program shows is in its package comment.
package guests

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

func TestMain(m *testing.M) { os.Exit(ukvmtest.Main(m)) }

// image returns the image of a program of this directory.
func image(t testing.TB, name string) string {
	t.Helper()
	return ukvmtest.Image(t, "tests/guests/"+name)
}

// run runs a program to its end, in a guest without a network. Words are flags of ukvm run up to "--", the image's
// place, and the program's arguments.
func run(t testing.TB, name string, words ...string) ukvmtest.Result {
	t.Helper()
	return ukvmtest.Run(t, command(t, name, words...))
}

// start starts one.
func start(t testing.TB, name string, words ...string) *ukvmtest.Process {
	t.Helper()
	return ukvmtest.Start(t, command(t, name, words...))
}

func command(t testing.TB, name string, words ...string) ukvmtest.Cmd {
	t.Helper()
	flags, args := words, []string(nil)
	for i, w := range words {
		if w == "--" {
			flags, args = words[:i], words[i:]
			break
		}
	}
	all := append([]string{"run", "--net", "none"}, flags...)
	return ukvmtest.Cmd{Args: append(append(all, image(t, name)), args...)}
}

// expect is what a program's end has to look like.
type expect struct {
	code   int
	stdout string   // exactly
	stderr []string // parts of it, in this order; none: it is empty
}

// check compares.
func (e expect) check(t testing.TB, r ukvmtest.Result) {
	t.Helper()
	if r.Code != e.code || r.Stdout != e.stdout {
		t.Errorf("code %d and output\n%s\nwant %d and\n%s\nstandard error:\n%s", r.Code, short(r.Stdout), e.code, e.stdout, short(r.Stderr))
	}
	if e.stderr == nil && r.Stderr != "" {
		t.Errorf("standard error:\n%s", short(r.Stderr))
	}
	rest := r.Stderr
	for _, s := range e.stderr {
		i := strings.Index(rest, s)
		if i < 0 {
			t.Errorf("no %q (here) in standard error:\n%s", s, short(r.Stderr))
			break
		}
		rest = rest[i+len(s):]
	}
}

// short is a text as far as a person reads it.
func short(s string) string {
	const most = 3000
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s … %d bytes in all", s[:most], len(s))
}

// lines joins lines.
func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

// sentence is the one line that ukvm says.
func sentence(s string) []string { return []string{fmt.Sprintf("ukvm: %s\n", s)} }
