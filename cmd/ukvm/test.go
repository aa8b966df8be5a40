package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ukvm.dev/internal/build"
	"ukvm.dev/internal/cli"
)

// Defaults for guests that run tests: compressing, sorting and hashing tests need room, and no network but loopback.
const (
	testMemory = "1G"
	testNet    = "none"
)

func (a *app) testCommand() *cobra.Command {
	var g guestFlags
	cmd := &cobra.Command{
		Use:   "test [flags] [flags of go test] [PACKAGES] [-args ARGUMENTS]",
		Short: "Run Go tests in virtual machines",
		Long: `Test is go test with its flags, and each test binary runs in a guest. The directory of its package is copied into the
guest, and of the directories above, up to the module's, their files and testdata. What tests write there stays there,
so profiles and -fuzz are not possible. ukvm's own flags come first.`,
		Example:               "  ukvm test -m 2G -v -run=Parse ./...",
		DisableFlagsInUseLine: true,
		DisableFlagParsing:    true,
	}
	g.register(cmd.Flags(), testMemory, testNet, "")
	cmd.Flags().SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && (args[0] == "-h" || args[0] == "--help" || args[0] == "-help") {
			return cmd.Help()
		}
		own, rest := leadingFlags(cmd.Flags(), args)
		if err := cmd.Flags().Parse(own); err != nil {
			return cmd.FlagErrorFunc()(cmd, err)
		}
		return a.runTests(cmd.Context(), &g, rest)
	}
	return cmd
}

// leadingFlags splits args where the first word stands that is no flag of fs or its value. A long flag with one dash gets
// its second.
func leadingFlags(fs *pflag.FlagSet, args []string) (own, rest []string) {
	for i := 0; i < len(args); i++ {
		name, _, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		dashes := len(args[i]) - len(strings.TrimLeft(args[i], "-"))
		var flag *pflag.Flag
		switch {
		case dashes == 1 && len(name) == 1:
			flag = fs.ShorthandLookup(name)
		case dashes == 1 || dashes == 2:
			flag = fs.Lookup(name)
		}
		if flag == nil {
			return own, args[i:]
		}
		word := args[i]
		if dashes == 1 && len(name) > 1 {
			word = "-" + word
		}
		own = append(own, word)
		if flag.NoOptDefVal == "" && !hasValue && i+1 < len(args) {
			i++
			own = append(own, args[i])
		}
	}
	return own, nil
}

func (a *app) runTests(ctx context.Context, g *guestFlags, args []string) error {
	if err := refuseFiles(args); err != nil {
		return err
	}
	if _, err := g.memorySize(); err != nil {
		return err
	}
	words, err := g.words()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx = a.catchSignals(ctx)
	c := build.Config{Stdout: a.stdout, Stderr: a.stderr}
	if !g.quiet {
		c.Progress = progress{a.stderr}
	}
	err = build.Test(ctx, c, slices.Concat([]string{self, testExec}, words, []string{"--"}), args)
	var failed *build.CommandError
	if errors.As(err, &failed) && failed.ExitCode > 0 {
		return &cli.Error{Code: failed.ExitCode} // go test has said all
	}
	return err
}

// refuseFiles refuses flags of go test whose results would stay in the guest, and one that needs processes.
func refuseFiles(args []string) error {
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if arg == name {
			continue
		}
		switch name = strings.TrimPrefix(name, "test."); name {
		case "args":
			return nil
		case "blockprofile", "coverprofile", "cpuprofile", "memprofile", "mutexprofile", "outputdir", "trace":
			return cli.Errorf(cli.CodeFailed, "-%s would write a file in the guest, which is lost with it; use go test without ukvm for it", name)
		case "fuzz":
			if value != "" || !strings.Contains(arg, "=") {
				return cli.Errorf(cli.CodeFailed, "-fuzz starts processes, which guests do not have; fuzz with go test (its seeds are tested here too)")
			}
		}
	}
	return nil
}
