package guests

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

// TestTimers: timers at rest are never early and within 5 ms. The program gives the median of several for each kind;
// a machine with other work makes even that late, so the best of some runs counts.
func TestTimers(t *testing.T) {
	t.Parallel()
	const kinds, limit = 5*4 + 1, 5000 // µs
	best := map[string]int{}
	for range 5 {
		r := run(t, "timers")
		if r.Code != 0 || r.Stderr != "" {
			t.Fatalf("code %d\n%s", r.Code, r.Stderr)
		}
		good := true
		for line := range strings.Lines(r.Stdout) {
			var name string
			var least, median, worst int
			if _, err := fmt.Sscan(line, &name, &least, &median, &worst); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if least < 0 {
				t.Errorf("%s is early by %d µs", name, -least)
			}
			if b, ok := best[name]; !ok || median < b {
				best[name] = median
			}
			good = good && best[name] <= limit
		}
		if good && len(best) == kinds {
			break
		}
	}
	worst := 0
	for name, median := range best {
		worst = max(worst, median)
		if median > limit {
			t.Errorf("%s is late by %d µs", name, median)
		}
	}
	if len(best) != kinds {
		t.Errorf("%d kinds: %v", len(best), best)
	}
	ukvmtest.Figure(t, "timer lateness at rest", float64(worst)/1000, "ms")
}

// TestWallClock compares the guest's clocks with the host's, several times over some seconds. What the guest says lies
// between what the host's clock shows before the question and after the answer, but for what they differ by; only
// answers that come quickly say something about 2 ms.
func TestWallClock(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"", "-- busy"} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			wallClock(t, strings.Fields(words)...)
		})
	}
}

func wallClock(t *testing.T, words ...string) {
	in, questions, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := command(t, "wallclock", words...)
	cmd.Stdin = in
	rounds := 15
	if ukvmtest.Soak() {
		rounds = 600 // two minutes: what drifts shows
		cmd.Timeout = 10 * time.Minute
	}
	p := ukvmtest.Start(t, cmd)
	const limit = 2 * time.Millisecond
	worst, asked := time.Duration(0), 0
	for i := 0; i < rounds; i++ {
		time.Sleep(200 * time.Millisecond)
		before := time.Now()
		fmt.Fprintln(questions)
		var wall int64
		if wall, _ = answer(p, asked); wall == 0 {
			t.Fatalf("no answer: %q\n%s", p.Stdout(), p.Stderr())
		}
		asked++
		after := time.Now()
		guest := time.Unix(0, wall)
		early, late := before.Sub(guest), guest.Sub(after)
		worst = max(worst, early, late)
	}
	questions.Close()
	expect{stdout: p.Stdout()}.check(t, p.Wait())
	if worst > limit {
		t.Errorf("the guest's clock is wrong by %v or more", worst)
	}
	first, last := 0, asked-1
	w0, m0 := answer(p, first)
	w1, m1 := answer(p, last)
	if d := time.Duration((w1 - w0) - (m1 - m0)).Abs(); d > limit {
		t.Errorf("the guest's clocks differ by %v over %v", d, time.Duration(m1-m0))
	}
	ukvmtest.Figure(t, "wall clock, least error that explains the answers", max(0, worst.Seconds()*1000), "ms")
}

// answer waits for line n of the output, and returns its numbers.
func answer(p *ukvmtest.Process, n int) (wall, monotonic int64) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		lines := bufio.NewScanner(strings.NewReader(p.Stdout()))
		for i := 0; lines.Scan(); i++ {
			if i == n {
				if k, _ := fmt.Sscan(lines.Text(), &wall, &monotonic); k == 2 {
					return wall, monotonic
				}
			}
		}
		select {
		case <-p.Done():
			deadline = time.Now()
		case <-time.After(100 * time.Microsecond):
		}
	}
	return 0, 0
}
