package main

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/build"
)

// versions are what ukvm version prints.
type versions struct {
	Version   string `json:"version"`
	Interface int    `json:"interface"`       // between monitor and guest
	Go        string `json:"go"`              // that guests are built with here; "" if there is none
	GoRoot    string `json:"goroot"`          // its directory
	GoError   string `json:"error,omitempty"` // why there is none
}

func (a *app) versionCommand() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:                   "version [flags]",
		Short:                 "Print versions",
		Long:                  `Version prints the versions of ukvm, of the interface between monitor and guest, and of the Go toolchain in use here.`,
		Example:               "  ukvm version --json",
		DisableFlagsInUseLine: true,
		Args:                  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := findVersions(cmd.Context())
			if raw {
				return a.printJSON(v)
			}
			toolchain := fmt.Sprintf("%s (%s)", v.Go, v.GoRoot)
			if v.Go == "" {
				toolchain = "none: " + v.GoError
			}
			_, err := fmt.Fprintf(a.stdout, "ukvm       %s\ninterface  %d\ngo         %s\n", v.Version, v.Interface, toolchain)
			return err
		},
	}
	cmd.Flags().BoolVar(&raw, "json", false, "print an object")
	return cmd
}

func findVersions(ctx context.Context) versions {
	v := versions{Version: "unknown", Interface: hypercall.Version}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	toolchain, err := build.Resolve(ctx, build.Config{})
	if err != nil {
		v.GoError = err.Error()
		return v
	}
	v.Go, v.GoRoot = toolchain.Version, toolchain.Root
	return v
}
