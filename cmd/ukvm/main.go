// Command ukvm runs Go programs in virtual machines of their own.
//
//	ukvm run ./cmd/app -p 8080:80
//
// Its words go to standard error, each a sentence after "ukvm:"; standard output is the program's, or a command's
// result. Exit codes are those of package internal/cli.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ukvm.dev/internal/cli"
	"ukvm.dev/monitor"
)

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, exit: os.Exit}
	if len(os.Args) > 1 && os.Args[1] == "run" {
		a.machine = monitor.Prepare() // KVM makes it while the command line is read
	}
	a.exit(a.run(os.Args[1:]))
}

// app is what the commands have to do with the world outside.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	exit           func(code int) // ends the process

	machine *monitor.Machine // for the guest, if it was begun early
	goFlags []string         // flags of go build on the command line
	signals *cli.Signals
}

// catchSignals begins to catch signals, until close. The context ends when they say so.
func (a *app) catchSignals(ctx context.Context) context.Context {
	a.signals, ctx = cli.CatchSignals(ctx)
	return ctx
}

// close lets signals do what they do in other programs. main leaves that to the end of the process, which is faster.
func (a *app) close() {
	if a.signals != nil {
		a.signals.Close()
	}
}

// run executes a command line and returns the exit code.
func (a *app) run(words []string) int {
	root := a.rootCommand()
	root.SetArgs(a.prepare(root, words))
	code, sentence := cli.Failure(root.ExecuteContext(context.Background()))
	if sentence != "" {
		a.say("%s", sentence)
	}
	return code
}

// say says a sentence.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.stderr, "ukvm: "+format+"\n", args...)
}

// rootCommand makes the tree of commands.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "ukvm",
		Short: "Run Go programs in virtual machines of their own",
		Long: `ukvm links an operating system into an ordinary Go program and runs it in a virtual machine of its own:
no root, no QEMU, no daemon, no configuration.`,
		Example:           "  ukvm run ./cmd/app -p 8080:80",
		Args:              unknownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cli.Errorf(cli.CodeFailed, "%w; %s --help lists the flags", err, cmd.CommandPath())
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { fmt.Fprint(a.stdout, help(cmd)) })
	root.SuggestionsMinimumDistance = 2
	root.SetHelpCommand(helpCommand(root))
	root.AddCommand(a.runCommand(), a.buildCommand(), a.testCommand(), a.testExecCommand(), a.envCommand(),
		a.doctorCommand(), a.versionCommand(), a.completionCommand(root))
	return root
}

// unknownCommand refuses arguments of the root command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		return cli.Errorf(cli.CodeFailed, "there is no command %q: is it %s?", args[0], strings.Join(similar, " or "))
	}
	return cli.Errorf(cli.CodeFailed, "there is no command %q; to run a program write ukvm run %[1]s", args[0])
}

// takesGoFlags marks commands that pass flags of go build on.
const takesGoFlags = "go-flags"

// prepare makes of words what the flag parser of the command understands, and takes flags of go build out of them.
func (a *app) prepare(root *cobra.Command, words []string) []string {
	if len(words) == 0 {
		return []string{} // nil would be the process's arguments
	}
	cmd, _, err := root.Find(words[:1])
	if err != nil || cmd == root || cmd.DisableFlagParsing {
		return words
	}
	_, build := cmd.Annotations[takesGoFlags]
	flags, rest := cli.SplitWords(words[1:], build, func(name string) bool {
		return cmd.Flags().Lookup(name) != nil || name == "help"
	})
	a.goFlags = flags
	return append(words[:1:1], rest...)
}

// noArguments refuses arguments.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.Errorf(cli.CodeFailed, "%s takes no arguments, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}
