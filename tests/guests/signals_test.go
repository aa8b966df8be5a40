package guests

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignals: what ukvm gets, the program gets, be it idle or busy.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"", "-- busy"} {
		p := start(t, "signals", strings.Fields(words)...)
		p.Await("ready\n")
		want := "ready\n"
		for _, c := range []struct {
			signal syscall.Signal
			says   string
		}{
			{syscall.SIGUSR1, "user defined signal 1"}, {syscall.SIGUSR2, "user defined signal 2"}, {syscall.SIGHUP, "hangup"},
			{syscall.SIGWINCH, "window changed"}, {syscall.SIGCONT, "continued"}, {syscall.SIGUSR1, "user defined signal 1"},
			{syscall.SIGINT, "interrupt"},
		} {
			p.Signal(c.signal)
			want += "got " + c.says + "\n"
			p.Await(want)
		}
		// The second of those that ask for the end is not passed on any more: that is TestSecondSignal.
		p.Signal(syscall.SIGKILL)
		if r := p.Wait(); r.Stdout != want || r.Stderr != "" {
			t.Errorf("%q: %q\n%s", words, r.Stdout, r.Stderr)
		}
	}
	p := start(t, "signals")
	p.Await("ready\n")
	p.Signal(syscall.SIGTERM)
	expect{stdout: lines("ready", "got terminated")}.check(t, p.Wait())
}

// TestDefaultSignals: a program that does nothing about signals ends by them.
func TestDefaultSignals(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"", "-- busy"} {
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
			p := start(t, "sleeper", strings.Fields(words)...)
			p.Await("ready\n")
			p.Signal(s)
			expect{code: 128 + int(s), stdout: "ready\n"}.check(t, p.Wait())
		}
	}
}

// TestSecondSignal: the second SIGINT or SIGTERM ends a program that does not want to.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := start(t, "signals", "--", "busy")
	p.Await("ready\n")
	p.Signal(syscall.SIGINT)
	p.Await("got interrupt\n")
	p.Signal(syscall.SIGINT)
	expect{code: 128 + 2, stdout: lines("ready", "got interrupt")}.check(t, p.Wait())
}

func TestStopTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, "signals", "--stop-timeout", "300ms")
	p.Await("ready\n")
	begin := time.Now()
	p.Signal(syscall.SIGINT)
	expect{code: 128 + 2, stdout: lines("ready", "got interrupt"), stderr: []string{
		"ukvm: the program had not ended 300ms after SIGINT, so it was stopped (--stop-timeout)\n"}}.check(t, p.Wait())
	if d := time.Since(begin); d < 300*time.Millisecond {
		t.Errorf("stopped after %v already", d)
	}
}

// TestGoroutineDump: SIGQUIT is how one asks a Go program what it does.
func TestGoroutineDump(t *testing.T) {
	t.Parallel()
	for words, says := range map[string]string{"": "main.wait(", "-- busy": "main.main()"} {
		p := start(t, "sleeper", strings.Fields(words)...)
		p.Await("ready\n")
		p.Signal(syscall.SIGQUIT)
		expect{code: 2, stdout: "ready\n", stderr: []string{"SIGQUIT: quit\nPC=0x", says, "sleeper/main.go:", "rip    0x"}}.check(t, p.Wait())
	}
}

func TestSelfSignal(t *testing.T) {
	t.Parallel()
	want := lines("caught 1000", "ignored true", "context canceled")
	expect{code: 128 + 15, stdout: want}.check(t, run(t, "selfsignal", "--", "15"))
	expect{code: 128 + 2, stdout: want}.check(t, run(t, "selfsignal", "--", "2"))
	expect{code: 128 + 9, stdout: want, stderr: sentence("the program was ended by signal 9 (killed)")}.check(t, run(t, "selfsignal", "--", "9"))
	expect{code: 2, stdout: want, stderr: []string{"SIGQUIT: quit\n", "main.send("}}.check(t, run(t, "selfsignal", "--", "3"))
}
