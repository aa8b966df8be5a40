package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// helpWidth is how wide help texts are.
const helpWidth = 120

// helpCommand is ukvm help, for those who look there.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return root.Help()
			}
			cmd, _, err := root.Find(args[:1])
			if err != nil || cmd == root {
				return unknownCommand(root, args)
			}
			return cmd.Help()
		},
	}
}

// help is a command's help text.
func help(cmd *cobra.Command) string {
	cmd.InitDefaultHelpFlag()
	var b strings.Builder
	usage := cmd.CommandPath() + " COMMAND"
	if cmd.HasParent() {
		usage = cmd.UseLine()
	}
	fmt.Fprintf(&b, "%s\n\nUsage:\n  %s\n", cmd.Long, usage)
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-10s  %s\n", c.Name(), c.Short)
			}
		}
	}
	if flags := cmd.LocalFlags(); cmd.HasParent() && flags.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s", flags.FlagUsagesWrapped(helpWidth))
	}
	fmt.Fprintf(&b, "\nExample:\n%s\n", cmd.Example)
	if !cmd.HasParent() {
		fmt.Fprintf(&b, "\n%s COMMAND --help says more.\n", cmd.Name())
	}
	return b.String()
}
