package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitWords(t *testing.T) {
	has := func(name string) bool { return name == "json" || name == "net" || name == "stats" }
	for _, c := range []struct {
		in          string
		build       bool
		flags, rest string
	}{
		{"./app -p 80:80", true, "", "./app -p 80:80"},
		{"-tags x -net none ./app --stats", true, "-tags x", "--net none ./app --stats"},
		{"--ldflags=-s -json ./app -net=none", true, "--ldflags=-s", "--json ./app --net=none"},
		{"./app -- -net -tags x", true, "", "./app -- -net -tags x"},
		{"-tags x", false, "", "-tags x"},
		{"-race --json", true, "-race", "--json"},
		{"- --- -e A", true, "", "- --- -e A"},
		{"./app -tags", true, "-tags", "./app"},
	} {
		flags, rest := SplitWords(strings.Fields(c.in), c.build, has)
		if !slices.Equal(flags, strings.Fields(c.flags)) || !slices.Equal(rest, strings.Fields(c.rest)) {
			t.Errorf("%q is split into %q and %q, want %q and %q", c.in, flags, rest, c.flags, c.rest)
		}
	}
}
