package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ukvm.dev/internal/build"
)

func (a *app) envCommand() *cobra.Command {
	var raw, quiet bool
	cmd := &cobra.Command{
		Use:   "env [flags]",
		Short: "Print the settings that make plain go build produce images",
		Long: `Env prints, for the shell, the settings with which a plain go build in this directory produces images. Flags of go
build that are given (-tags, ...) become part of GOFLAGS.`,
		Example:               `  eval "$(ukvm env)" && go build ./cmd/app`,
		DisableFlagsInUseLine: true,
		Annotations:           map[string]string{takesGoFlags: ""},
		Args:                  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := a.catchSignals(cmd.Context())
			messages := &goMessages{w: a.stderr, quiet: quiet}
			c := build.Config{Flags: a.goFlags, Stderr: messages}
			if !quiet {
				c.Progress = progress{a.stderr}
			}
			settings, err := build.Env(ctx, c)
			if err := a.built(err, messages, nil); err != nil {
				return err
			}
			if raw {
				return a.printJSON(settingsMap(settings))
			}
			for _, s := range settings {
				name, value, _ := strings.Cut(s, "=")
				fmt.Fprintf(a.stdout, "export %s=%s\n", name, shellQuote(value))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&raw, "json", false, "print an object")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing about progress")
	return cmd
}

func settingsMap(settings []string) map[string]string {
	m := map[string]string{}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		m[name] = value
	}
	return m
}

// shellQuote quotes a word for POSIX shells.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// printJSON prints a command's result.
func (a *app) printJSON(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", b)
	return err
}
