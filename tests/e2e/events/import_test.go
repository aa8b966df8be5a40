package events

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// imports is a program that has the loop tell where it runs.
const imports = `package main

import (
	"fmt"
	"time"

	"ukvm.dev/guest"
)

func main() {
	guest.After(time.Millisecond, func() { fmt.Println("guest:", guest.InGuest()) })
	guest.Run()
}
`

// TestImports builds a program of a module that requires ukvm.dev, in all the ways in which a program can find a module:
// with ukvm, for guests and natively, and with plain go build. go mod tidy, too, must make sense of the facade, which
// imports what only ukvm's standard library has.
func TestImports(t *testing.T) {
	ukvmtest.Command(t)
	dir := t.TempDir()
	root, err := filepath.Abs(ukvmtest.Root())
	if err != nil {
		t.Fatal(err)
	}
	mod := "module example.org/app\n\ngo 1.25.5\n\nrequire ukvm.dev v0.0.0\n"
	replace := "\nreplace ukvm.dev => " + root + "\n"
	write(t, filepath.Join(dir, "module"), map[string]string{"go.mod": mod + replace, "main.go": imports})
	write(t, filepath.Join(dir, "vendored"), map[string]string{"go.mod": mod + replace, "main.go": imports})
	write(t, filepath.Join(dir, "work"), map[string]string{
		"go.work": "go 1.25.5\n\nuse ./app\n" + replace, "app/go.mod": mod, "app/main.go": imports,
	})
	sums, err := os.ReadFile(filepath.Join(root, "go.sum")) // tidy looks at ukvm.dev's dependencies, if only to leave them out
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "module"), map[string]string{"go.sum": string(sums)})
	goCommand(t, filepath.Join(dir, "module"), "mod", "tidy")
	goCommand(t, filepath.Join(dir, "vendored"), "mod", "vendor")
	for _, at := range []string{"module", "vendored", "work/app"} {
		at := filepath.Join(dir, at)
		r := ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"run", "-q", "."}, Dir: at})
		if r.Code != 0 || r.Stdout != "guest: true\n" || r.Stderr != "" {
			t.Errorf("%s in a guest: %+v", at, r)
		}
		if out := goCommand(t, at, "run", "."); out != "guest: false\n" {
			t.Errorf("%s by go run: %q", at, out)
		}
	}
	image := filepath.Join(dir, "app.img")
	if r := ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"build", "-o", image, "."}, Dir: filepath.Join(dir, "module")}); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	if out, err := exec.Command(image).CombinedOutput(); string(out) != "guest: false\n" {
		t.Errorf("the image natively: %q, %v", out, err)
	}
	// A module that does not require ukvm.dev cannot import it, as any module.
	write(t, filepath.Join(dir, "without"), map[string]string{"go.mod": "module example.org/app\n\ngo 1.25.5\n", "main.go": imports})
	if r := ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"build", "."}, Dir: filepath.Join(dir, "without")}); r.Code == 0 || !strings.Contains(r.Stderr, "ukvm.dev") {
		t.Errorf("without the requirement: %+v", r)
	}
}

func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, append(ukvmtest.Environ(), "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s in %s: %v\n%s", strings.Join(args, " "), dir, err, out)
	}
	return string(out)
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
