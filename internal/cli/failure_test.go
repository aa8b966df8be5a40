package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/internal/build"
	"ukvm.dev/monitor"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/monitor/loader"
)

func TestFailure(t *testing.T) {
	for _, c := range []struct {
		err      error
		code     int
		sentence string // a part of it; "" is silence
	}{
		{nil, 0, ""},
		{&monitor.ExitError{Reason: monitor.Exited, Code: 3}, 3, ""},
		{&monitor.ExitError{Reason: monitor.Signaled, Code: 143, Signal: unix.SIGTERM, Text: "x"}, 143, ""},
		{&monitor.ExitError{Reason: monitor.Signaled, Code: 141, Signal: unix.SIGPIPE, Text: "x"}, 141, ""},
		{&monitor.ExitError{Reason: monitor.Signaled, Code: 139, Signal: unix.SIGSEGV, Text: "ended by signal 11"}, 139, "ended by signal 11"},
		{&monitor.ExitError{Reason: monitor.OutOfMemory, Code: 137, Text: "used up; give it more with -m"}, 137, "with -m"},
		{&monitor.ExitError{Reason: monitor.Violation, Code: 134, Text: "guest stopped: x"}, 134, "guest stopped"},
		{&monitor.ExitError{Reason: monitor.HostFailure, Code: 125, Text: "cannot wait", Err: syscall.EIO}, 125, "cannot wait: input/output error"},
		{fmt.Errorf("run: %w", &Stopped{Signal: unix.SIGINT}), 130, ""},
		{&Stopped{Signal: unix.SIGTERM, Text: "too late"}, 143, "too late"},
		{&build.CommandError{Command: "go build", Err: &Stopped{Signal: unix.SIGINT}}, 130, ""},
		{fmt.Errorf("a: %w: %w", kvm.ErrMissing, fs.ErrNotExist), 125, "doctor"},
		{fmt.Errorf("%w: x", kvm.ErrPermission), 125, "doctor"},
		{fmt.Errorf("%w: x", kvm.ErrUnfit), 125, "doctor"},
		{fmt.Errorf("x: %w", loader.ErrNotELF), 126, "x: not an ELF file; "},
		{fmt.Errorf("x: %w", loader.ErrNoHeader), 126, "build it with ukvm build"},
		{fmt.Errorf("x: %w: y", loader.ErrFormat), 126, "x: "},
		{fmt.Errorf("x: %w: y", loader.ErrVersion), 126, "build it again"},
		{fmt.Errorf("x: %w: y", loader.ErrCorrupt), 126, "build it again"},
		{fmt.Errorf("%w: no image", monitor.ErrConfig), 125, "no image"},
		{Errorf(CodeNotFound, "there is no %s", "x"), 127, "there is no x"},
		{&Error{Code: 2}, 2, ""},
		{errors.New("one\n\ttwo\n"), 125, "one; two"},
		{context.Canceled, 125, "canceled"},
	} {
		code, sentence := Failure(c.err)
		if code != c.code || (sentence == "") != (c.sentence == "") || !strings.Contains(sentence, c.sentence) {
			t.Errorf("Failure(%v) = %d, %q, want %d, %q", c.err, code, sentence, c.code, c.sentence)
		}
		if strings.Contains(sentence, "bad configuration") || strings.Contains(sentence, "\n") {
			t.Errorf("the sentence is %q", sentence)
		}
	}
}
