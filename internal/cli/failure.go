package cli

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"ukvm.dev/internal/build"
	"ukvm.dev/monitor"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/monitor/loader"
)

// Exit codes that ukvm itself chooses, as docker(1) and the shell have them. A program's own code is passed on, 128 and a
// signal's number is a program that the signal ended, and 137 is one that ran out of memory (monitor.ExitError).
const (
	CodeFailed   = 125 // ukvm or the host cannot: no /dev/kvm, port in use, bad flag, build failed
	CodeNotImage = 126 // the file is no image for this monitor
	CodeNotFound = 127 // there is no such file or package
	codeSignal   = 128
)

// An Error is an error with an exit code of its own.
type Error struct {
	Code int
	Err  error // nil: everything has been said
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error.
func Errorf(code int, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Stopped is the cause of a context that ended because of signals.
type Stopped struct {
	Signal unix.Signal // the last one
	Text   string      // a sentence, if there is something to say
}

func (e *Stopped) Error() string { return fmt.Sprintf("stopped by %v", e.Signal) }

// Failure is what the process ends with because of err: its exit code, and the sentence to say, which is empty if there
// is nothing to add to what the program itself has said.
func Failure(err error) (code int, sentence string) {
	var stopped *Stopped
	var exit *monitor.ExitError
	var own *Error
	switch {
	case err == nil:
		return 0, ""
	case errors.As(err, &stopped):
		return codeSignal + int(stopped.Signal), stopped.Text
	case errors.As(err, &exit):
		if quiet(exit) {
			return exit.Code, ""
		}
		return exit.Code, oneLine(exit.Error())
	case errors.As(err, &own):
		if own.Err == nil {
			return own.Code, ""
		}
		return own.Code, oneLine(own.Error())
	}
	text := strings.TrimPrefix(oneLine(err.Error()), monitor.ErrConfig.Error()+": ")
	code, advice := diagnose(err)
	return code, text + advice
}

// quiet reports whether the way a program ended needs no explanation: with a code of its own, or by a signal that someone
// sent who knows.
func quiet(e *monitor.ExitError) bool {
	if e.Reason == monitor.Signaled {
		switch e.Signal {
		case unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE:
			return true
		}
	}
	return e.Reason == monitor.Exited
}

// diagnose knows the errors of the packages below, and what to do about them where they do not say so themselves.
func diagnose(err error) (code int, advice string) {
	for _, d := range [...]struct {
		is     error
		code   int
		advice string
	}{
		{loader.ErrNotELF, CodeNotImage, "; run takes an image, which ukvm build makes, or a Go package"},
		{loader.ErrNoHeader, CodeNotImage, "; build it with ukvm build"},
		{loader.ErrFormat, CodeNotImage, ""},
		{loader.ErrVersion, CodeNotImage, "; build it again with ukvm build"},
		{loader.ErrCorrupt, CodeNotImage, "; build it again with ukvm build"},
		{build.ErrNotFound, CodeNotFound, ""},
		{kvm.ErrMissing, CodeFailed, "; ukvm doctor says more"},
		{kvm.ErrPermission, CodeFailed, "; ukvm doctor says more"},
		{kvm.ErrUnfit, CodeFailed, "; ukvm doctor says more"},
	} {
		if errors.Is(err, d.is) {
			return d.code, d.advice
		}
	}
	return CodeFailed, ""
}

// oneLine joins the lines of a text.
func oneLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}
