package build

import "fmt"

// patchImports returns the files that make packages of the standard library import the operating system's, which is what
// links it in: the core below the runtime into every program, files where there is package os, with the host's directories, the network stack
// only where there is package net. has tells which packages of the operating system there are.
func patchImports(has func(name string) bool) map[string]string {
	files := map[string]string{}
	for _, p := range [...]struct {
		std, as string
		guest   []string // the second one may be missing
		more    string
	}{
		{"runtime", "", []string{"kernel"}, atPanic},
		{"os", "_ ", []string{"posix", "driver/sharedev"}, exitHook},
		{"net", "_ ", []string{"net"}, ""},
	} {
		if !has(p.guest[0]) {
			continue
		}
		text := "package " + p.std + "\n\n"
		for _, name := range p.guest {
			if has(name) {
				text += fmt.Sprintf("import %s\"ukvm/%s\"\n", p.as, name)
			}
		}
		files[p.std+"/zukvm_linux_amd64.go"] = text + p.more
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
