package cli

import (
	"strings"

	"ukvm.dev/internal/build"
)

// SplitWords prepares a command line for a flag parser in the manner of GNU: flags of go build, if wanted, are taken out,
// and a long flag that is written with one dash, as Go's own tools have them, gets two. has says which names the command
// has as long flags; these are not go build's. What follows "--" is left alone.
func SplitWords(words []string, buildFlags bool, has func(name string) bool) (flags, rest []string) {
	var own []string // words since the last flag of the command's own that go build has too
	flush := func() {
		if buildFlags {
			f, r := build.SplitFlags(own)
			flags, rest = append(flags, f...), append(rest, r...)
		} else {
			rest = append(rest, own...)
		}
		own = nil
	}
	for i, word := range words {
		if word == "--" {
			flush()
			return flags, append(rest, words[i:]...)
		}
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		switch dashes := len(word) - len(strings.TrimLeft(word, "-")); {
		case dashes == 0 || dashes > 2 || !has(name):
			own = append(own, word)
		case dashes == 1 && len(name) > 1:
			flush()
			rest = append(rest, "-"+word)
		default:
			flush()
			rest = append(rest, word)
		}
	}
	flush()
	return flags, rest
}
