package build

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used: most runs of ukvm build nothing new, and
// compiling all of them takes a third of a millisecond.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
