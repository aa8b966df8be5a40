// Command soak runs what takes longer than `go test ./...`: all of what the tests sample, both Go releases, the race
// detector, every fuzz target, and the benches. It writes what came of it, with date, machine and figures, into
// docs/soak.md, a section a stage. It fails if anything fails.
//
//	go run ./tests/soak [-fuzztime 30s] [-n RUNS] [STAGE...]
//
// Without stages it runs all. A stage that is run again replaces its section and leaves the others as they are.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// older is the other Go release that images are built with, beside the one at hand.
const older = "go1.25.5"

// stages are all there are, in the order in which they run.
var stages = []stage{
	{"guests", "One program an idea", tests(all, "./tests/guests")},
	{"std", "Go's own tests", tests(all, "./tests/std")},
	{"network", "The network", tests(all, networks...)},
	{"matrix", "Our TCP beside Linux's and gVisor's, over bad networks", matrix},
	{"users", "The command line and the library", tests(all, "./tests/e2e/cli", "./tests/e2e/embed")},
	{"files", "Files and disks", tests(all, "./tests/e2e/volume")},
	{"host", "Everything else", rest},
	{"older-guests", "One program an idea, built with " + older, tests(allOlder, "./tests/guests")},
	{"older-std", "Go's own tests, of " + older, tests(allOlder, "./tests/std")},
	{"older-network", "The network, guests built with " + older, tests(allOlder, networks...)},
	{"host-older", "ukvm itself built with " + older, tests([]string{"GOTOOLCHAIN=" + older}, "./...")},
	{"race", "The race detector", race},
	{"fuzz", "Fuzzing", fuzz},
	{"bench", "Benches", benches},
}

// networks are the packages of tests that have guests talk to others.
var networks = []string{"./tests/e2e/network", "./tests/e2e/events", "./tests/e2e/firewall", "./tests/e2e/attack"}

// Environments in which tests run all they have, guests built with the one or the other Go release.
var (
	all      = []string{"UKVM_SOAK=1"}
	allOlder = []string{"UKVM_SOAK=1", "UKVM_TEST_TOOLCHAIN=" + older}
)

// stage is a part of the whole.
type stage struct {
	name, title string
	run         func(context.Context, *soak, *report) error
}

// soak is what stages need to know.
type soak struct {
	root     string
	fuzzTime time.Duration
	runs     int
}

func main() {
	var s soak
	flag.DurationVar(&s.fuzzTime, "fuzztime", 30*time.Second, "how long each fuzz target runs")
	flag.IntVar(&s.runs, "n", 11, "runs of each contender of a bench")
	flag.Usage = usage
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := s.all(ctx, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: soak [-fuzztime 30s] [-n RUNS] [STAGE...]")
	for _, s := range stages {
		fmt.Fprintf(os.Stderr, "  %-10s  %s\n", s.name, s.title)
	}
}

// all runs stages, those named or every one, and writes their sections. Those after a failure run too.
func (s *soak) all(ctx context.Context, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(stages, func(st stage) bool { return st.name == name }) {
			return fmt.Errorf("there is no stage %q; -h lists them", name)
		}
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "ukvm.dev").Output()
	if err != nil {
		return fmt.Errorf("run it inside the ukvm.dev module: %w", err)
	}
	s.root = strings.TrimSpace(string(out))
	var failed []string
	for _, st := range stages {
		if len(names) > 0 && !slices.Contains(names, st.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "soak: %s: %s\n", st.name, st.title)
		r := newReport(st)
		begin := time.Now()
		err := st.run(ctx, s, r)
		if ctx.Err() != nil {
			return ctx.Err() // what is there is of no use
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "soak: %s: %v\n", st.name, err)
			failed = append(failed, st.name)
		}
		r.end(s.root, time.Since(begin), err)
		if err := r.write(filepath.Join(s.root, "docs", "soak.md")); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s; docs/soak.md has the rest", strings.Join(failed, ", "))
	}
	return nil
}
