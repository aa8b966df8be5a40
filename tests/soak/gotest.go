package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// event is a line of go test -json (`go doc test2json`).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// results are those of a run of go test.
type results struct {
	passed, failed, skipped int // tests, subtests too
	packages                int
	figures                 []string            // "package: name = value unit"
	skips                   map[string]string   // test: reason
	broken                  []string            // tests and packages that failed
	output                  map[string][]string // of tests that have not ended
}

// take takes in an event. What fails it shows.
func (r *results) take(e event, show io.Writer) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		r.output[key] = append(r.output[key], e.Output)
		if _, figure, ok := strings.Cut(e.Output, "figure: "); ok {
			r.figures = append(r.figures, short(e.Package)+": "+strings.TrimSpace(figure))
		}
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	lines := r.output[key]
	delete(r.output, key)
	if e.Action == "fail" {
		r.broken = append(r.broken, strings.TrimSpace(short(e.Package)+" "+e.Test))
		fmt.Fprintf(show, "%s", strings.Join(lines, ""))
	}
	if e.Test == "" {
		r.packages++
		fmt.Fprintf(show, "%-5s %-50s %.0fs\n", e.Action, e.Package, e.Elapsed)
		return
	}
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
	case "skip":
		r.skipped++
		r.skips[short(e.Package)+" "+e.Test] = reason(lines)
	}
}

// short is a package's path within the module.
func short(pkg string) string { return strings.TrimPrefix(pkg, "ukvm.dev/") }

// reason is what a skipped test said last.
func reason(lines []string) string {
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "===") {
			continue
		}
		if _, text, ok := strings.Cut(line, ".go:"); ok {
			if _, text, ok = strings.Cut(text, ": "); ok {
				return text
			}
		}
		return line
	}
	return "no reason given"
}

// goTest runs go test with flags and packages, in an environment with KVM required.
func (s *soak) goTest(ctx context.Context, env []string, words ...string) (*results, error) {
	r := &results{skips: map[string]string{}, output: map[string][]string{}}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-count=1", "-timeout=3h"}, words...)...)
	cmd.Dir, cmd.Env = s.root, append(append(os.Environ(), "UKVM_REQUIRE_KVM=1"), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(out)
	for {
		var e event
		if err := decoder.Decode(&e); err != nil {
			if !errors.Is(err, io.EOF) {
				fmt.Fprintf(os.Stderr, "soak: output of go test: %v\n", err)
			}
			break
		}
		r.take(e, os.Stderr)
	}
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		if len(r.broken) > 0 {
			return r, fmt.Errorf("%s", strings.Join(r.broken, "; "))
		}
		return r, fmt.Errorf("go test: %w\n%s", err, stderr.String())
	}
	return r, nil
}

// tests is a stage that runs go test on packages.
func tests(env []string, packages ...string) func(context.Context, *soak, *report) error {
	return func(ctx context.Context, s *soak, rep *report) error {
		// One package after the other, so that figures are not those of two at once.
		r, err := s.goTest(ctx, env, append([]string{"-p=1"}, packages...)...)
		if r != nil {
			r.report(rep)
		}
		return err
	}
}

// rest is a stage: the packages that have no stage of their own.
func rest(ctx context.Context, s *soak, rep *report) error {
	packages, err := s.list("./...")
	if err != nil {
		return err
	}
	packages = slices.DeleteFunc(packages, func(p string) bool {
		return p == "ukvm.dev/tests/guests" || p == "ukvm.dev/tests/std" || p == "ukvm.dev/tests/matrix" || strings.HasPrefix(p, "ukvm.dev/tests/e2e/")
	})
	return tests(all, packages...)(ctx, s, rep)
}

// race is a stage: what runs on the host, with the race detector. It needs cgo.
func race(ctx context.Context, s *soak, rep *report) error {
	packages, err := s.list("./...")
	if err != nil {
		return err
	}
	packages = slices.DeleteFunc(packages, func(p string) bool { return strings.HasPrefix(p, "ukvm.dev/tests/") })
	r, err := s.goTest(ctx, []string{"CGO_ENABLED=1"}, append([]string{"-race"}, packages...)...)
	if r != nil {
		r.report(rep)
	}
	return err
}

// list names packages.
func (s *soak) list(patterns ...string) ([]string, error) {
	cmd := exec.Command("go", append([]string{"list"}, patterns...)...)
	cmd.Dir, cmd.Stderr = s.root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// report writes what came of it.
func (r *results) report(rep *report) {
	rep.printf("%d tests passed, %d failed, %d were skipped, in %d packages.\n", r.passed, r.failed, r.skipped, r.packages)
	if len(r.figures) > 0 {
		rep.printf("\nMeasured:\n\n| where | what | value |\n|---|---|---|\n")
		for _, f := range r.figures {
			where, figure, _ := strings.Cut(f, ": ")
			what, value, _ := strings.Cut(figure, " = ")
			rep.printf("| %s | %s | %s |\n", where, what, value)
		}
	}
	if len(r.skips) > 0 {
		rep.printf("\nSkipped:\n\n| test | reason |\n|---|---|\n")
		var names []string
		for name := range r.skips {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			rep.printf("| %s | %s |\n", name, r.skips[name])
		}
	}
}
