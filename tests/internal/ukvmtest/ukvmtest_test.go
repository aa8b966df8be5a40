package ukvmtest

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestRun(t *testing.T) {
	r := Run(t, Cmd{Path: "/bin/sh", Args: []string{"-c", "cat; echo oops >&2; echo $X; exit 3"}, Env: []string{"X=y"}, Stdin: strings.NewReader("in\n")})
	if r.Code != 3 || r.Stdout != "in\ny\n" || r.Stderr != "oops\n" || r.Elapsed <= 0 || r.MaxRSS <= 0 {
		t.Errorf("%+v", r)
	}
}

func TestStart(t *testing.T) {
	p := Start(t, Cmd{Path: "/bin/sh", Args: []string{"-c", "echo ready; exec sleep 1000"}})
	p.Await("ready")
	if left := children(os.Getpid()); len(left) != 1 {
		t.Errorf("children: %q", left)
	}
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 128+15 || r.Elapsed > time.Minute {
		t.Errorf("%+v", r)
	}
	p.Signal(syscall.SIGTERM) // has no one to go to
}

func TestHello(t *testing.T) {
	r := Ukvm(t, "run", Image(t, "examples/hello"), "--", "Ada")
	if r.Code != 0 || r.Stdout != "Hello, Ada!\n" || r.Stderr != "" {
		t.Errorf("%+v", r)
	}
	if a, b := Image(t, "examples/hello"), Image(t, "examples/hello", "-ldflags=-s"); a == b {
		t.Error("flags make no difference")
	}
}

// TestTool: a program that is not there is a reason to skip, or to fail where all tests must run.
func TestTool(t *testing.T) {
	const inside = "UKVMTEST_INSIDE"
	if os.Getenv(inside) == "1" {
		Tool(t, "no-such-program")
		t.Error("there is a program")
	}
	if path := Tool(t, "sh"); !strings.HasSuffix(path, "/sh") {
		t.Errorf("sh is %q", path)
	}
	for required, want := range map[string]struct {
		code int
		says string
	}{"0": {0, "--- SKIP"}, "1": {1, "no-such-program is required"}} {
		r := Run(t, Cmd{Path: os.Args[0], Args: []string{"-test.run=^TestTool$", "-test.v"}, Env: []string{inside + "=1", "UKVM_REQUIRE_KVM=" + required}})
		if r.Code != want.code || !strings.Contains(r.Stdout, want.says) {
			t.Errorf("required %s: %+v", required, r)
		}
	}
}
