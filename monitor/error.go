package monitor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Reason says why a guest has ended.
type Reason int

// Reasons.
const (
	Exited      Reason = iota // the program ended with a non-zero status
	Signaled                  // a signal ended the program
	OutOfMemory               // the program needed more memory than it was given
	KernelFault               // the guest kernel met something it cannot handle
	Violation                 // the guest did what only a broken or hostile one does
	HostFailure               // the host could not go on
)

// ExitError is Run's error when the guest did not end with status 0.
type ExitError struct {
	Reason Reason
	Code   int         // as a shell would see it: the status, 128+signal, 137 out of memory, 125 if the host failed
	Signal unix.Signal // for Signaled
	Text   string      // a sentence, for all but Exited
	Err    error       // for HostFailure: what went wrong
}

// Error is a sentence about why the guest ended.
func (e *ExitError) Error() string {
	switch e.Reason {
	case Exited:
		return fmt.Sprintf("the program ended with exit code %d", e.Code)
	case HostFailure:
		return fmt.Sprintf("%s: %v", e.Text, e.Err)
	}
	return e.Text
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// Exit codes that no program chose.
const (
	codeHost        = 125
	codeKernelFault = 134 // as after abort(3): 128 + SIGABRT
	codeOutOfMemory = 137
)

func exited(status int) error {
	if status == 0 {
		return nil
	}
	return &ExitError{Reason: Exited, Code: status}
}

func signaled(s unix.Signal) error {
	return &ExitError{Reason: Signaled, Code: 128 + int(s), Signal: s,
		Text: fmt.Sprintf("the program was ended by signal %d (%v)", int(s), s)}
}

func outOfMemory(size uint64) error {
	return &ExitError{Reason: OutOfMemory, Code: codeOutOfMemory,
		Text: fmt.Sprintf("the guest has used up its %d MiB of memory; give it more with -m", size>>20)}
}

func violation(format string, args ...any) error {
	return &ExitError{Reason: Violation, Code: codeKernelFault, Text: "guest stopped: " + fmt.Sprintf(format, args...)}
}

func kernelFault(format string, args ...any) error {
	return &ExitError{Reason: KernelFault, Code: codeKernelFault, Text: "guest kernel stopped: " + fmt.Sprintf(format, args...)}
}

func hostFailure(text string, err error) error {
	return &ExitError{Reason: HostFailure, Code: codeHost, Text: text, Err: err}
}
