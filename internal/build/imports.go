package build

import "fmt"

// patchImports returns the files that make packages of the standard library import the operating system's, which is what
// links it in: the core below the runtime into every program, files where there is package os, the network stack only where
// there is package net. has tells which packages of the operating system there are.
func patchImports(has func(name string) bool) map[string]string {
	files := map[string]string{}
	for _, p := range [...]struct{ std, as, guest, more string }{
		{"runtime", "", "kernel", atPanic},
		{"os", "_ ", "posix", exitHook},
		{"net", "_ ", "net", ""},
	} {
		if has(p.guest) {
			files[p.std+"/zukvm_linux_amd64.go"] = fmt.Sprintf("package %s\n\nimport %s\"ukvm/%s\"\n%s", p.std, p.as, p.guest, p.more)
		}
	}
	return files
}

// exitHook gives ukvm/posix the runtime's hooks at the end of a program, which the host's copy of it could not import.
const exitHook = `
import (
	"internal/runtime/exithook"
	_ "unsafe"
)

//go:linkname ukvmAddExitHook
func ukvmAddExitHook(f func()) { exithook.Add(exithook.Hook{F: f, RunOnFailure: true}) }
`
