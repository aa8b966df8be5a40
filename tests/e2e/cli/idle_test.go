package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

// Bounds for an idle examples/web.
const (
	idleTime     = 10 * time.Second
	idleExits    = 10 // one a second
	idleCPU      = 10 * time.Millisecond
	idleResident = 40 << 20
)

// TestIdle lets examples/web rest after its first requests: it makes hardly any exits, takes hardly any time of the
// processor, and little of the host's memory. It is tried up to three times, since on a busy machine the process may
// still be at work that the requests have caused (its own garbage collection, the guest's) when the rest begins.
func TestIdle(t *testing.T) {
	var exits int
	var cpu time.Duration
	var resident int64
	for range 3 {
		exits, cpu, resident = rest(t)
		if exits <= idleExits && cpu < idleCPU && resident < idleResident {
			break
		}
		t.Logf("%d exits, %v, %d KiB", exits, cpu, resident>>10)
	}
	ukvmtest.Figure(t, "exits of an idle examples/web", float64(exits)/idleTime.Seconds(), "1/s")
	ukvmtest.Figure(t, "processor time of an idle examples/web in 10 s", cpu.Seconds()*1000, "ms")
	ukvmtest.Figure(t, "resident memory of an idle examples/web", float64(resident)/(1<<20), "MiB")
	if exits > idleExits || cpu >= idleCPU || resident >= idleResident {
		t.Errorf("in %v: %d exits, %v of processor time, %d KiB resident; want at most %d, %v, %d", idleTime, exits, cpu, resident>>10,
			idleExits, idleCPU, idleResident>>10)
	}
}

// rest runs examples/web, which is traced, and measures it while it rests.
func rest(t *testing.T) (exits int, cpu time.Duration, resident int64) {
	image := ukvmtest.Image(t, "examples/web")
	p := ukvmtest.Start(t, ukvmtest.Cmd{Args: []string{"run", "--trace", "--stats", "--json", "-p", "127.0.0.1:0:8080", image}})
	url := "http://" + published(t, p)
	p.Await("listening on")
	for i := range 20 {
		get(t, fmt.Sprintf("%s/hello/%d", url, i))
	}
	time.Sleep(3 * time.Second) // the last connection is closed, and what follows from it done
	traced, used := len(p.Stderr()), processorTime(t, p.Pid())
	time.Sleep(idleTime)
	cpu = processorTime(t, p.Pid()) - used
	exits = strings.Count(p.Stderr()[traced:], "\n")
	resident = residentMemory(t, p.Pid())
	p.Signal(syscall.SIGTERM)
	r := p.Wait()
	// The trace has an event for every exit but page faults, of which an idle program has none; the counters say whether it has all.
	var stats struct{ Exits, Calls, Faults, Upcalls int }
	lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &stats); err != nil || r.Code != 0 {
		t.Fatalf("code %d, %v", r.Code, err)
	}
	if events := strings.Count(r.Stderr, `"msg":"call"`); events != stats.Calls {
		t.Errorf("the trace has %d calls of %d", events, stats.Calls)
	}
	return exits, cpu, resident
}

// processorTime is the time that the threads of a process have run, which /proc/PID/stat has in steps of 10 ms only.
func processorTime(t testing.TB, pid int) (d time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of process %d: %v", pid, err)
	}
	for _, thread := range threads {
		ns, _, _ := strings.Cut(readFile(t, thread), " ")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		d += time.Duration(n)
	}
	return d
}

// residentMemory is VmRSS of a process.
func residentMemory(t testing.TB, pid int) int64 {
	t.Helper()
	kib, err := strconv.ParseInt(strings.TrimSuffix(rights(t, pid)["VmRSS"], " kB"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
