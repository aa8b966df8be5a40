package monitor

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExitErrors(t *testing.T) {
	cause := errors.New("bad weather")
	for _, c := range []struct {
		err    error
		reason Reason
		code   int
		text   string
	}{
		{exited(3), Exited, 3, "the program ended with exit code 3"},
		{exited(255), Exited, 255, "the program ended with exit code 255"},
		{signaled(unix.SIGTERM), Signaled, 143, "the program was ended by signal 15 (terminated)"},
		{signaled(unix.SIGKILL), Signaled, 137, "the program was ended by signal 9 (killed)"},
		{signaled(64), Signaled, 192, "the program was ended by signal 64 (signal 64)"},
		{outOfMemory(64 << 20), OutOfMemory, 137, "the guest has used up its 64 MiB of memory; give it more with -m"},
		{violation("it did %d things", 2), Violation, 134, "guest stopped: it did 2 things"},
		{kernelFault("%s", "100%"), KernelFault, 134, "guest kernel stopped: 100%"},
		{hostFailure("cannot go out", cause), HostFailure, 125, "cannot go out: bad weather"},
	} {
		var e *ExitError
		if !errors.As(c.err, &e) {
			t.Errorf("%v is no ExitError", c.err)
			continue
		}
		if e.Reason != c.reason || e.Code != c.code || e.Error() != c.text {
			t.Errorf("reason %d, code %d, %q; want %d, %d, %q", e.Reason, e.Code, e.Error(), c.reason, c.code, c.text)
		}
		if errors.Is(c.err, cause) != (c.reason == HostFailure) {
			t.Errorf("%q: unwrapping finds %v", c.text, e.Unwrap())
		}
	}
	if err := exited(0); err != nil {
		t.Errorf("a program that ends with status 0: %v", err)
	}
	var e *ExitError
	if errors.As(signaled(unix.SIGSEGV), &e); e.Signal != unix.SIGSEGV {
		t.Errorf("signal %v, want %v", e.Signal, unix.SIGSEGV)
	}
}
