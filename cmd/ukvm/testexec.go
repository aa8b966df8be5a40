package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ukvm.dev/internal/archive"
	"ukvm.dev/internal/cli"
)

// testExec is the command that go test runs for each test binary, in the directory of its package.
const testExec = "test-exec"

func (a *app) testExecCommand() *cobra.Command {
	var g guestFlags
	cmd := &cobra.Command{
		Use:                   testExec + " [flags] -- BINARY [ARGUMENTS]",
		Short:                 "Run a test binary as ukvm test has it run",
		Hidden:                true,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Errorf(cli.CodeFailed, "name a test binary; this command is for go test -exec")
			}
			return a.runTestBinary(cmd.Context(), &g, args)
		},
	}
	g.register(cmd.Flags(), testMemory, testNet, "")
	return cmd
}

func (a *app) runTestBinary(ctx context.Context, f *guestFlags, args []string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	memory, err := f.memorySize()
	if err != nil {
		return err
	}
	files := &archive.Builder{}
	if err := cli.TestFiles(files, dir, int64(memory/4)); err != nil {
		return err
	}
	// Tests look at their own executable. It is no part of the package, so it may be missing if there is little memory.
	if info, err := os.Stat(args[0]); err == nil && filepath.IsAbs(args[0]) && files.Size()+info.Size() <= int64(memory/4) {
		if err := files.Add(args[0], args[0], nil); err != nil {
			return err
		}
	}
	goroot := os.Getenv("GOROOT")
	if zones := filepath.Join(goroot, "lib", "time", "zoneinfo.zip"); goroot != "" && exists(zones) {
		if err := files.Add(zones, zones, nil); err != nil {
			return err
		}
	}
	for _, arg := range args {
		if out, ok := strings.CutPrefix(arg, "-test.gocoverdir="); ok && filepath.IsAbs(out) {
			files.MakeDir(out) // what is written there is lost, but the percentage is printed
		}
	}
	g, err := f.config(cli.NetWords{Default: testNet}, files)
	if err != nil {
		return err
	}
	c := &g.config
	c.Image, c.Args, c.Dir, c.Stdin = args[0], args, dir, a.stdin
	c.Env = append(testEnviron(os.Environ(), dir, c.Env), c.Env...)
	g.stop = 10 * time.Second

	ctx = a.catchSignals(ctx)
	return a.runGuest(ctx, g)
}

// testEnviron is the environment that tests have besides what -e gives them: of the host's, what is meant for Go's runtime
// and for tests.
func testEnviron(host []string, dir string, given []string) []string {
	all := []string{"HOME=/", "TMPDIR=/tmp", "PWD=" + dir}
	for _, kv := range host {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "GOROOT", "GODEBUG", "GOGC", "GOMEMLIMIT", "GOTRACEBACK", "TZ":
			all = append(all, kv)
		default:
			if strings.HasPrefix(name, "GO_") {
				all = append(all, kv)
			}
		}
	}
	var env []string
	for _, kv := range all {
		name, _, _ := strings.Cut(kv, "=")
		set := false
		for _, g := range given {
			set = set || strings.HasPrefix(g, name+"=")
		}
		if !set {
			env = append(env, kv)
		}
	}
	return env
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
