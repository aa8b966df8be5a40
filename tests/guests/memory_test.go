package guests

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// TestOutOfMemory: whichever way the memory is used up, the end is one sentence and code 137.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"small", "large", "mmap", "goroutines"} {
		for _, size := range []string{"16M", "64M", "300M"} {
			r := run(t, "oom", "-m", size, "--", way)
			expect{code: 137, stdout: "begin\n", stderr: sentence(fmt.Sprintf(
				"the guest has used up its %s MiB of memory; give it more with -m", strings.TrimSuffix(size, "M")))}.check(t, r)
			if strings.Count(r.Stderr, "\n") != 1 {
				t.Errorf("%s: not one line:\n%s", way, r.Stderr)
			}
		}
	}
	// Files have a share of the memory, and say when that is used up.
	r := run(t, "oom", "--", "file")
	expect{code: 28, stdout: lines("begin", "write /tmp/file: no space left on device")}.check(t, r)
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words string
		limit string // between these
		least int
		most  int
		done  string
	}{
		{"-m 64M", "", 48 << 20, 64 << 20, "done\n"},
		{"-m 1G", "", 800 << 20, 1 << 30, "done\n"},
		{"-m 512M -e GOMEMLIMIT=100MiB", "", 100 << 20, 100 << 20, "done\n"},
		{"-m 512M -e GOMEMLIMIT=off", "", 1<<63 - 1, 1<<63 - 1, ""},
	} {
		r := run(t, "memlimit", strings.Fields(c.words)...)
		var limit int
		if _, err := fmt.Sscanf(r.Stdout, "limit %d\n"+c.done, &limit); err != nil || r.Code != 0 || limit < c.least || limit > c.most {
			t.Errorf("%s: code %d, %q, want a limit between %d and %d\n%s", c.words, r.Code, r.Stdout, c.least, c.most, r.Stderr)
		}
	}
}

// TestFreeOSMemory: memory that the program gives back is the host's again, and can be used again.
func TestFreeOSMemory(t *testing.T) {
	t.Parallel()
	in, steps, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := command(t, "freeosmemory", "-m", "512M")
	cmd.Stdin = in
	p := ukvmtest.Start(t, cmd)
	p.Await("start\n")
	idle := resident(t, p.Pid())
	want := "start\n"
	for i := range 6 {
		fmt.Fprintln(steps)
		want += fmt.Sprintln("step", i, []int{200 << 20, 0}[i%2])
		p.Await(want)
		now := resident(t, p.Pid())
		if full := i%2 == 0; full && now < idle+190<<20 || !full && now > idle+20<<20 {
			t.Errorf("step %d: %d MB are resident, %d at the start", i, now>>20, idle>>20)
		}
		if i == 1 {
			ukvmtest.Figure(t, "resident after FreeOSMemory of 200 MB", float64(now)/1e6, "MB")
		}
	}
	steps.Close()
	expect{stdout: want}.check(t, p.Wait())
}

// resident is the host's memory that a process uses.
func resident(t *testing.T, pid int) (bytes int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	if _, err := fmt.Sscan(rest, &bytes); err != nil {
		t.Fatal(err)
	}
	return bytes << 10
}

// TestRandom: what should differ between boots does, and is spread evenly.
func TestRandom(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		r := run(t, "random")
		expect{stdout: r.Stdout, stderr: []string{"even: true\n"}}.check(t, r)
		n := 0
		for line := range strings.Lines(r.Stdout) {
			if seen[line] {
				t.Errorf("the same in two boots: %s", line)
			}
			seen[line] = true
			n++
		}
		if n != 4 {
			t.Errorf("%d lines:\n%s", n, r.Stdout)
		}
	}
}
