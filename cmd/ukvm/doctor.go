package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ukvm.dev/internal/cli"
	"ukvm.dev/internal/cli/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:                   "doctor [flags]",
		Short:                 "Find out what is missing here, and what mends it",
		Long:                  `Doctor checks what guests need of this host, and says what mends what is missing. It changes nothing.`,
		Example:               "  ukvm doctor",
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			results := doctor.Examine(cmd.Context(), doctor.Here())
			if raw {
				if err := a.printJSON(results); err != nil {
					return err
				}
			} else {
				a.printResults(results)
			}
			if doctor.Failed(results) {
				return &cli.Error{Code: cli.CodeFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&raw, "json", false, "print an array of objects")
	return cmd
}

func (a *app) printResults(results []doctor.Result) {
	for _, r := range results {
		fmt.Fprintf(a.stdout, "%-4s  %-6s  %s\n", r.Status, r.Check, r.Text)
		if r.Fix != "" {
			fmt.Fprintf(a.stdout, "%14s%s\n", "", r.Fix)
		}
	}
}
