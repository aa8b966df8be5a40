package guests

import (
	"fmt"
	"strings"
	"testing"
)

// TestPrograms runs the programs that check themselves, and print what they find.
func TestPrograms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		words  string
		stdout string
	}{
		{"goroutines", "", lines("chain: 10000 goroutines: 10001", "sum: 49995000", "left: 1")},
		{"conditions", "", lines("queue: true 0", "mutex: not starved", "readers and writers: wrong 0", "once: 1 early: 0 keys: 10")},
		{"vectors", "", lines("wrong: 0")},
		{"timerstorm", "", lines("timers: 10000 early: 0 wrong: 0", "functions: 10000")},
		{"cleanup", "", lines("finalized, cleaned, dead: 1000 1000 1000", "buffers intact: 50 of 50")},
		{"metrics", "", lines("allocated: true", "procs: 1", "goroutines: true", "total time: true", "idle time: true", "pauses: true")},
		{"churn", "-m 64M", lines("leaves: 32768 of 32768", "allocated 2 GB: true collections: true")},
		{"mappings", "", lines("agreed; faults: true", "limit: true true", "unmapped all")},
		{"blocks", "-m 300M -- 5", lines("agreed")},
		{"blocks", "-m 300M -- 28", lines("agreed")}, // more than there is, at times
		{"threads", "-- 200", lines("all run", "sum: 1000")},
		{"threads", "-m 256M -- 1000", lines("all run", "sum: 5000")},
		{"deepstack", "-- 15", strings.Repeat("sum as expected: true\n", 3) + "stacks given back: true\n"},
		{"deepstack", "-m 2G -- 450", strings.Repeat("sum as expected: true\n", 3) + "stacks given back: true\n"},
		{"execs", "", lines(
			"exec.Command: fork/exec IMAGE: function not implemented",
			"exec.Output: fork/exec /bin/sh: function not implemented",
			"os.StartProcess: fork/exec IMAGE: function not implemented",
			"syscall.ForkExec: function not implemented",
			"syscall.Exec: function not implemented",
			"exec.LookPath: true", "still here")},
		{"straysyscall", "", lines("written by a stray SYSCALL", "write: true", "getpid: true true", "registers kept: true",
			"unknown: function not implemented", "nanosleep: 0", "ids: 0 0 0 0 true", "real, effective, saved: 0 0 0",
			"umask: 027", "uname: <nil> Linux")},
		{"zones", "-e TZ=Asia/Tokyo", lines("local: 2025-06-16T00:06:40+09:00", "UTC: 2025-06-15T15:06:40Z",
			"Europe/Oslo: 2025-06-15T17:06:40+02:00", "America/New_York: 2025-06-15T11:06:40-04:00",
			"Asia/Kolkata: 2025-06-15T20:36:40+05:30", "unknown time zone Nowhere/Land")},
	} {
		t.Run(strings.TrimSpace(c.name+" "+c.words), func(t *testing.T) {
			t.Parallel()
			want := strings.ReplaceAll(c.stdout, "IMAGE", image(t, c.name))
			expect{stdout: want}.check(t, run(t, c.name, strings.Fields(c.words)...))
		})
	}
}

// TestTicker: loops that never call anything do not stop a ticker. One thread's ticks come in time; where there are more
// threads than processors they take turns, and nothing is promised but that all ticks come.
func TestTicker(t *testing.T) {
	t.Parallel()
	const most = 4000 // ms for 100 ticks of 20 ms, each of which has to wait for a preemption (10 ms and a bit)
	best := 1 << 30
	for range 5 {
		best = min(best, ticks(t, "1"))
		if best <= most {
			break
		}
	}
	if best > most {
		t.Errorf("100 ticks of 20 ms took %d ms at best", best)
	}
	ticks(t, "3")
}

func ticks(t *testing.T, threads string) (ms int) {
	t.Helper()
	r := run(t, "ticker", "--", threads)
	if n, err := fmt.Sscanf(r.Stdout, "ticks took ms: %d\ncollected\n", &ms); n != 1 || err != nil || r.Code != 0 {
		t.Fatalf("code %d, %q (%v)\n%s", r.Code, r.Stdout, err, r.Stderr)
	}
	return ms
}

// TestShares: who can run, runs, and each as much as the others. Turns are measured in time, and where the machine has
// other work some are worth more than others, so it may take some runs.
func TestShares(t *testing.T) {
	t.Parallel()
	want := lines("channels: even", "goroutines: even", "threads: even")
	r := run(t, "selects")
	for i := 1; i < 5 && r.Code == 0 && r.Stdout != want; i++ {
		t.Logf("uneven:\n%s", r.Stdout)
		r = run(t, "selects")
	}
	expect{stdout: want}.check(t, r)
}

func TestThreadLimit(t *testing.T) {
	t.Parallel()
	expect{code: 2, stderr: []string{"runtime: failed to create new OS thread (have 10", "fatal error: newosproc"}}.check(t, run(t, "threads", "-m", "256M", "--", "1100"))
}
