package main

import (
	"github.com/spf13/cobra"

	"ukvm.dev/internal/cli"
)

func (a *app) completionCommand(root *cobra.Command) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for a shell",
		Long: `Completion prints a script that completes commands and flags.

  bash        source <(ukvm completion bash)
  zsh         source <(ukvm completion zsh)
  fish        ukvm completion fish | source
  powershell  ukvm completion powershell | Out-String | Invoke-Expression`,
		Example:               "  ukvm completion bash > /etc/bash_completion.d/ukvm",
		DisableFlagsInUseLine: true,
		ValidArgs:             shells,
		RunE: func(_ *cobra.Command, args []string) error {
			shell := ""
			if len(args) == 1 {
				shell = args[0]
			}
			switch shell {
			case "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.stdout)
			}
			return cli.Errorf(cli.CodeFailed, "name one shell: bash, zsh, fish or powershell")
		},
	}
}
