package cli

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

// TestForwarding sends all signals that are passed on. The program gets them, and ends by itself.
func TestForwarding(t *testing.T) {
	p := start(t, nil, "signals")
	p.Await("ready")
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGINT} {
		p.Signal(s)
		p.Await("got " + s.String() + "\n")
	}
	p = start(t, nil, "signals")
	p.Await("ready")
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 7 || !strings.HasSuffix(r.Stdout, "got terminated\n") || r.Stderr != "" {
		t.Errorf("code %d, printed %q, said %q", r.Code, r.Stdout, r.Stderr)
	}
}

// TestDefaultActions sends signals to a program that computes and knows nothing of signals: they end it, as on Linux.
func TestDefaultActions(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		p := start(t, nil, "spin")
		p.Await("ready")
		p.Signal(s)
		if r := p.Wait(); r.Code != 128+int(s) || r.Stderr != "" {
			t.Errorf("%v: code %d, said %q", s, r.Code, r.Stderr)
		}
	}
	p := start(t, nil, "spin")
	p.Await("ready")
	p.Signal(syscall.SIGQUIT)
	if r := p.Wait(); r.Code != 2 || !strings.HasPrefix(r.Stderr, "SIGQUIT: quit\n") || !strings.Contains(r.Stderr, "main.main()") {
		t.Errorf("SIGQUIT: code %d, said %q", r.Code, r.Stderr)
	}
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGWINCH} {
		p := start(t, nil, "cat")
		p.Signal(s)
		if r := p.Wait(); r.Code != 0 && r.Code != 128+int(s) {
			t.Errorf("%v before the program has begun: code %d, said %q", s, r.Code, r.Stderr)
		}
	}
}

// TestSecondSignal ends programs that do not want to end.
func TestSecondSignal(t *testing.T) {
	for _, both := range [][2]syscall.Signal{{syscall.SIGINT, syscall.SIGINT}, {syscall.SIGTERM, syscall.SIGTERM}, {syscall.SIGINT, syscall.SIGTERM}} {
		p := start(t, nil, "stubborn")
		p.Await("ready")
		p.Signal(both[0])
		select {
		case <-p.Done():
			t.Errorf("%v: the first one has ended it", both)
		case <-time.After(300 * time.Millisecond):
		}
		p.Signal(both[1])
		if r := p.Wait(); r.Code != 128+int(both[1]) || r.Stderr != "" {
			t.Errorf("%v: code %d, said %q", both, r.Code, r.Stderr)
		}
	}
}

// TestStopTimeout gives programs that do not want to end some time.
func TestStopTimeout(t *testing.T) {
	p := start(t, []string{"--stop-timeout", "500ms"}, "stubborn")
	p.Await("ready")
	begin := time.Now()
	p.Signal(syscall.SIGTERM)
	r := p.Wait()
	if d := time.Since(begin); r.Code != 128+15 || d < 500*time.Millisecond {
		t.Errorf("code %d after %v", r.Code, d)
	}
	if want := "ukvm: the program had not ended 500ms after SIGTERM, so it was stopped (--stop-timeout)\n"; r.Stderr != want {
		t.Errorf("said %q, want %q", r.Stderr, want)
	}
	p = start(t, []string{"--stop-timeout=0"}, "stubborn")
	p.Await("ready")
	p.Signal(syscall.SIGINT)
	if r := p.Wait(); r.Code != 128+2 {
		t.Errorf("no time: code %d, said %q", r.Code, r.Stderr)
	}
}

// TestBlockedOutput ends a program that writes what nobody reads.
func TestBlockedOutput(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	// A shell gives the program the pipe, and is replaced by it.
	image := guest(t)
	p := ukvmtest.Start(t, ukvmtest.Cmd{
		Path: "/bin/sh", Args: []string{"-c", `exec "$0" run "$1" -- flood >"$2"`, ukvmtest.Command(t), image, pipePath(writer)},
	})
	p.Await("ready")
	writer.Close()
	time.Sleep(300 * time.Millisecond) // until the pipe is full
	p.Signal(syscall.SIGTERM)
	time.Sleep(100 * time.Millisecond)
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 128+15 || r.Elapsed > time.Minute {
		t.Errorf("code %d after %v, said %q", r.Code, r.Elapsed, r.Stderr)
	}
}

// TestClosedOutput has a reader that goes away. The program gets EPIPE, and ends by SIGPIPE, as on Linux.
func TestClosedOutput(t *testing.T) {
	r := ukvmtest.Run(t, ukvmtest.Cmd{
		Path: "/bin/bash", Args: []string{"-c", `"$0" run "$1" -- flood 2>/dev/null | head -c 10000 >/dev/null; exit ${PIPESTATUS[0]}`, ukvmtest.Command(t), guest(t)},
	})
	if r.Code != 128+int(syscall.SIGPIPE) || r.Stderr != "" {
		t.Errorf("code %d, said %q", r.Code, r.Stderr)
	}
}

// TestStopWhileBuilding interrupts a build. Nothing of it is left.
func TestStopWhileBuilding(t *testing.T) {
	cache := t.TempDir()
	p := ukvmtest.Start(t, ukvmtest.Cmd{Args: []string{"run", "./examples/hello"}, Env: []string{"UKVM_CACHE=" + cache}})
	p.Await("preparing the standard library")
	p.Signal(syscall.SIGINT)
	if r := p.Wait(); r.Code != 128+2 || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("code %d, said %q", r.Code, r.Stderr)
	}
	// The next one mends what the first has left.
	r := ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"run", "-q", "./examples/hello"}, Env: []string{"UKVM_CACHE=" + cache}, Timeout: 10 * time.Minute})
	if r.Code != 0 || r.Stdout != "Hello, world!\n" || r.Stderr != "" {
		t.Errorf("code %d, printed %q, said %q", r.Code, r.Stdout, r.Stderr)
	}
}
