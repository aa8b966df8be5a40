package guests

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// goTool runs a command of the Go distribution on a file that a program has printed.
func goTool(t *testing.T, output string, words ...string) string {
	t.Helper()
	name := t.TempDir() + "/out"
	if err := os.WriteFile(name, []byte(output), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", append(append([]string{"tool"}, words...), name)...).CombinedOutput()
	if err != nil {
		t.Fatalf("go tool %q: %v\n%s", words, err, out)
	}
	return string(out)
}

// TestCPUProfile: the profile names the function that was busy, and has about as many samples as it should.
func TestCPUProfile(t *testing.T) {
	t.Parallel()
	r := run(t, "cpuprofile")
	if r.Code != 0 || r.Stderr != "" {
		t.Fatalf("code %d\n%s", r.Code, r.Stderr)
	}
	top := goTool(t, r.Stdout, "pprof", "-top", "-sample_index=samples")
	m := regexp.MustCompile(`(?m)^ *(\d+) +([\d.]+)% +[\d.]+% +\d+ +[\d.]+% +(\S+)`).FindStringSubmatch(top)
	if m == nil || m[3] != "main.work" {
		t.Fatalf("the top function is not main.work:\n%s", top)
	}
	share, err := strconv.ParseFloat(m[2], 64)
	if err != nil || share < 60 {
		t.Errorf("main.work has only %s%% of the samples:\n%s", m[2], top)
	}
	if !strings.Contains(top, "main.spin") || !strings.Contains(top, "main.lessBusy") {
		t.Errorf("the profile lacks functions:\n%s", top)
	}
	// There are 100 samples a second, less where the machine has other work: then the processor is away for longer.
	if n, _ := strconv.Atoi(m[1]); n < 20 {
		t.Errorf("%d samples:\n%s", n, top)
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	r := run(t, "tracing")
	if r.Code != 0 || r.Stderr != "" {
		t.Fatalf("code %d\n%s", r.Code, r.Stderr)
	}
	events := goTool(t, r.Stdout, "trace", "-d=parsed")
	for _, want := range []string{"TaskBegin", `Type="the task"`, "TaskEnd", "RegionBegin", `Type="the region"`, `Message="the message"`, "GC"} {
		if !strings.Contains(events, want) {
			t.Errorf("the trace has no %s", want)
		}
	}
}
