package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// fakeGo makes a directory for PATH with a go command that says it is of a release.
func fakeGo(t *testing.T, name, release string) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "goroot")
	writeFiles(t, root, map[string]string{"VERSION": release + "\n", "src/runtime/runtime.go": "package runtime\n"})
	answer := fmt.Sprintf(`{"GOROOT": %q, "GOVERSION": %q, "GOFLAGS": "", "GOOS": "linux", "GOARCH": "amd64", "GOHOSTOS": "linux", "GOHOSTARCH": "amd64"}`, root, release)
	script := "#!/bin/sh\ncase $1 in env) echo '" + answer + "';; version) echo go version " + release + " linux/amd64;; *) echo no >&2; exit 1;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestOldReleases builds with Go releases that guests cannot be built with.
func TestOldReleases(t *testing.T) {
	ukvmtest.Command(t)
	path := os.Getenv("PATH")
	const says = "is too old for guests: use go1.25 or later"
	for _, c := range []struct {
		name string
		env  []string
		says string
	}{
		{"go 1.24 in PATH", []string{"GOTOOLCHAIN=local", "PATH=" + fakeGo(t, "go", "go1.24.13")}, "Go 1.24.13 " + says},
		{"go 1.19 in PATH", []string{"GOTOOLCHAIN=local", "PATH=" + fakeGo(t, "go", "go1.19")}, "Go 1.19 " + says},
		{"another Go in PATH", []string{"GOTOOLCHAIN=local", "PATH=" + fakeGo(t, "go", "gccgo 14")}, says},
		{"GOTOOLCHAIN=go1.24.1 in PATH", []string{"GOTOOLCHAIN=go1.24.1", "PATH=" + fakeGo(t, "go1.24.1", "go1.24.1") + ":" + path}, "Go 1.24.1 " + says},
		{"GOTOOLCHAIN that cannot be had", []string{"GOTOOLCHAIN=go1.23.1", "GOPROXY=off"}, "toolchain not available"},
		{"no Go at all", []string{"PATH=" + t.TempDir()}, "no go in PATH; install Go 1.25 or later"},
	} {
		for _, command := range []string{"run", "build", "env"} {
			words := []string{command, "-q", "./examples/hello"}
			if command == "env" {
				words = words[:2]
			}
			r := ukvmtest.Run(t, ukvmtest.Cmd{Args: words, Env: append([]string{"UKVM_CACHE=" + t.TempDir()}, c.env...)})
			checkSentence(t, c.name+": "+command, r, 125, c.says)
		}
	}
	// A module that asks for an older release is built with the one at hand, as the go command does it.
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"go.mod": "module example.org/old\n\ngo 1.20\n", "main.go": "package main\n\nfunc main() { println(\"old\") }\n"})
	r := ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"run", "-q", "."}, Dir: dir})
	if r.Code != 0 || strings.TrimSpace(r.Stderr) != "old" {
		t.Errorf("a module for go 1.20: code %d, %q", r.Code, r.Stderr)
	}
	// One that asks for a release that is not there yet is refused by the go command, whose sentence it is.
	writeFiles(t, dir, map[string]string{"go.mod": "module example.org/new\n\ngo 1.99\n"})
	r = ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"run", "."}, Dir: dir, Env: []string{"GOTOOLCHAIN=local"}})
	checkSentence(t, "a module for go 1.99", r, 125, "1.99")
}
