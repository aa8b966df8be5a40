package build

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNotFound is wrapped by errors that say that the package to build does not exist.
	ErrNotFound = errors.New("package not found")
	// ErrUnsupported is wrapped by errors that say that guests cannot do what was asked for: an old Go release, cgo,
	// another platform or build mode.
	ErrUnsupported = errors.New("not supported")
)

// LayoutError says that Go's source is not laid out as a patch expects, so this release of Go needs a newer ukvm.
type LayoutError struct {
	File    string // path below GOROOT/src
	Pattern string // what was expected in it
}

func (e *LayoutError) Error() string {
	return fmt.Sprintf("patch Go's %s: expected %s: this ukvm does not know this Go release", e.File, e.Pattern)
}

// Is makes a LayoutError an ErrUnsupported.
func (e *LayoutError) Is(target error) bool { return target == ErrUnsupported }

// CommandError is a go command that has failed. What it printed says why.
type CommandError struct {
	Command  string // "go build", say
	ExitCode int    // of the go command; -1 if it did not run or was killed
	Output   string // the end of what it wrote to standard error, in its own words
	Shown    bool   // Output has already gone to Config.Stderr
	Err      error
}

func (e *CommandError) Error() string {
	s := fmt.Sprintf("%s: %v", e.Command, e.Err)
	if out := strings.TrimSpace(e.Output); !e.Shown && out != "" {
		s += "\n" + out
	}
	return s
}

func (e *CommandError) Unwrap() error { return e.Err }

// unsupported is an error of one sentence that wraps ErrUnsupported.
func unsupported(format string, args ...any) error {
	return &unsupportedError{fmt.Sprintf(format, args...)}
}

type unsupportedError struct{ text string }

func (e *unsupportedError) Error() string        { return e.text }
func (e *unsupportedError) Is(target error) bool { return target == ErrUnsupported }
