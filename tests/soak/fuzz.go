package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// fuzz is a stage: every fuzz target for a while.
func fuzz(ctx context.Context, s *soak, rep *report) error {
	packages, err := s.list("./...")
	if err != nil {
		return err
	}
	rep.printf("| target | result |\n|---|---|\n")
	var failed []string
	for _, pkg := range packages {
		targets, err := s.fuzzTargets(pkg)
		if err != nil {
			return err
		}
		for _, target := range targets {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fmt.Fprintf(os.Stderr, "soak: fuzz %s %s\n", pkg, target)
			cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-fuzz=^"+target+"$", fmt.Sprintf("-fuzztime=%v", s.fuzzTime), pkg)
			cmd.Dir = s.root
			out, err := cmd.CombinedOutput()
			result := lastExecs(string(out))
			if err != nil {
				result = "**failed**"
				failed = append(failed, target)
				os.Stderr.Write(out)
			}
			rep.printf("| %s %s | %s |\n", short(pkg), target, result)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s", strings.Join(failed, ", "))
	}
	return nil
}

// fuzzTargets names the fuzz targets of a package.
func (s *soak) fuzzTargets(pkg string) (targets []string, err error) {
	cmd := exec.Command("go", "test", "-list=^Fuzz", pkg)
	cmd.Dir = s.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("list fuzz targets of %s: %w\n%s", pkg, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "Fuzz") {
			targets = append(targets, line)
		}
	}
	return targets, nil
}

// lastExecs is how often the target ran, from the last line of progress ("fuzz: elapsed: 3s, execs: 1234 (411/sec), …").
func lastExecs(out string) string {
	execs := "no progress shown"
	for line := range strings.Lines(out) {
		if _, rest, ok := strings.Cut(line, "execs: "); ok {
			n, _, _ := strings.Cut(rest, " ")
			execs = n + " runs"
		}
	}
	return execs
}
