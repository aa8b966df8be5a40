package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ukvm.dev/internal/archive"
	"ukvm.dev/internal/cli"
	"ukvm.dev/monitor"
)

// runFlags are the flags of ukvm run.
type runFlags struct {
	guestFlags
	publish             []string
	name, hostname, dir string
	chdir               string
	stdin               bool
	stop                time.Duration
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] IMAGE|PACKAGE [-- ARGUMENTS]",
		Short: "Run a program in a virtual machine",
		Long: `Run runs an image made by ukvm build, or builds a Go package (a directory, import path, PATH@VERSION or .go files)
and runs that. Flags of go build (-tags, -ldflags, -mod, ...) can be given too. The program has the exit code, standard
streams and signals of ukvm; its environment is only what -e gives it. The first Ctrl-C reaches the program as SIGINT,
a second one ends it.`,
		Example:               "  ukvm run -p 8080:80 -m 128M -e MODE=test ./cmd/app -- -v",
		DisableFlagsInUseLine: true,
		Annotations:           map[string]string{takesGoFlags: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			operands, arguments := args, []string(nil)
			if i := cmd.ArgsLenAtDash(); i >= 0 {
				operands, arguments = args[:i], args[i:]
			}
			return a.runProgram(cmd.Context(), &f, operands, arguments)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringArrayVarP(&f.publish, "publish", "p", nil, "publish a port: `[IP:]HOST:GUEST[/udp]`")
	f.register(fs, cli.FormatSize(monitor.DefaultMemory), "user", "v")
	f.registerTrace(fs)
	f.registerCapture(fs)
	fs.StringVar(&f.name, "name", "", "`NAME` of the guest")
	fs.StringVar(&f.hostname, "hostname", "", "host `NAME` in the guest (default that of --name, or ukvm)")
	fs.StringVar(&f.dir, "dir", "/", "working directory in the guest, an absolute `PATH`")
	fs.BoolVarP(&f.stdin, "stdin", "i", true, "give the program ukvm's standard input; -i=false is /dev/null")
	fs.DurationVar(&f.stop, "stop-timeout", 10*time.Second, "`TIME` to end after the first SIGINT or SIGTERM")
	fs.StringVarP(&f.chdir, "chdir", "C", "", "change to `DIR` first")
	return cmd
}

func (a *app) runProgram(ctx context.Context, f *runFlags, operands, arguments []string) error {
	if f.chdir != "" {
		if err := os.Chdir(f.chdir); err != nil {
			return err
		}
	}
	g, err := f.config(cli.NetWords{Default: "user", Publish: f.publish}, &archive.Builder{})
	if err != nil {
		return err
	}
	ctx = a.catchSignals(ctx)
	image, name, err := a.findImage(ctx, operands, f.quiet)
	if err != nil {
		return err
	}
	g.stop = f.stop
	c := &g.config
	c.Image, c.Args, c.Dir = image, append([]string{name}, arguments...), f.dir
	c.Hostname = f.hostname
	if c.Hostname == "" {
		c.Hostname = f.name
	}
	if f.stdin {
		c.Stdin = a.stdin
	}
	return a.runGuest(ctx, g)
}
