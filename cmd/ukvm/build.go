package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ukvm.dev/internal/build"
	"ukvm.dev/internal/cli"
)

func (a *app) buildCommand() *cobra.Command {
	var output, chdir, parallel string
	var quiet bool
	var plain [4]bool
	const letters = "anvx"
	cmd := &cobra.Command{
		Use:   "build [flags] [-o FILE] [PACKAGES]",
		Short: "Build images",
		Long: `Build builds Go programs as go build does, with its flags, and links the operating system into them. Nothing of a
program changes: the image runs with ukvm run, and natively as an ordinary Linux program.`,
		Example:               "  ukvm build -o app -ldflags=-s ./cmd/app",
		DisableFlagsInUseLine: true,
		Annotations:           map[string]string{takesGoFlags: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			flags := a.goFlags
			for i, set := range plain {
				if set {
					flags = append(flags, "-"+letters[i:i+1])
				}
			}
			if parallel != "" {
				flags = append(flags, "-p="+parallel)
			}
			if chdir != "" {
				flags = append(flags, "-C="+chdir)
			}
			return a.buildImages(cmd.Context(), args, output, flags, quiet)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&output, "output", "o", "./", "write the image to `FILE`, or into a directory")
	fs.BoolVarP(&quiet, "quiet", "q", false, "say nothing about progress")
	fs.StringVarP(&chdir, "chdir", "C", "", "change to `DIR` first")
	fs.StringVarP(&parallel, "parallel", "p", "", "build so `MANY` packages at a time")
	for i, usage := range []string{"build all packages anew", "only print what would be done", "print the packages", "print the commands"} {
		fs.BoolVarP(&plain[i], "go-"+letters[i:i+1], letters[i:i+1], false, usage+", as go build does")
		fs.Lookup("go-" + letters[i:i+1]).Hidden = true
	}
	return cmd
}

// buildImages builds programs one after the other, as each has its own place in the cache.
func (a *app) buildImages(ctx context.Context, packages []string, output string, flags []string, quiet bool) error {
	ctx = a.catchSignals(ctx)
	if len(packages) < 2 || strings.HasSuffix(packages[0], ".go") {
		_, err := a.build(ctx, packages, output, flags, quiet)
		return err
	}
	if !strings.HasSuffix(output, "/") && output != "." {
		output += "/" // as go build demands a directory for several
	}
	for _, p := range packages {
		if _, err := a.build(ctx, []string{p}, output, flags, quiet); err != nil {
			return err
		}
	}
	return nil
}

// build builds one program. Errors of the go command have been printed, but for "not found", which is one sentence.
func (a *app) build(ctx context.Context, packages []string, output string, flags []string, quiet bool) (build.Result, error) {
	verbose := slices.ContainsFunc(flags, func(f string) bool { return f == "-x" || f == "-v" })
	messages := &goMessages{w: a.stderr, quiet: quiet, verbose: verbose}
	c := build.Config{Flags: flags, Stdout: a.stderr, Stderr: messages}
	if output != "" {
		c.Stdout = a.stdout
	}
	if !quiet {
		c.Progress = progress{a.stderr}
	}
	result, err := build.Build(ctx, c, packages, output)
	if err := a.built(err, messages, packages); err != nil {
		return result, err
	}
	if info, err := os.Stat(result.Path); err == nil && info.IsDir() {
		return result, cli.Errorf(cli.CodeFailed, "%s is a directory: name a file with -o", result.Path)
	}
	return result, nil
}

// built makes of a build's error one to end with.
func (a *app) built(err error, messages *goMessages, packages []string) error {
	var failed *build.CommandError
	var stopped *cli.Stopped
	what := strings.Join(packages, " ")
	if what == "" {
		what = "."
	}
	switch {
	case errors.As(err, &stopped):
		return err
	case errors.Is(err, build.ErrNotFound):
		return cli.Errorf(cli.CodeNotFound, "there is no package %s: %s", what, messages.reason())
	}
	if errors.As(err, &failed) && failed.ExitCode > 0 {
		if messages.sentence() {
			return cli.Errorf(cli.CodeFailed, "%s does not build: %s", what, messages.reason())
		}
		messages.release()
		return cli.Errorf(cli.CodeFailed, "%s does not build: %s failed", what, failed.Command)
	}
	messages.release()
	return err
}
