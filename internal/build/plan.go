package build

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// A plan is what a derived GOROOT will differ in from the one it is made from. Making one takes some milliseconds: it is
// done at each build, and what a damaged derived GOROOT is found out by.
type plan struct {
	origin string            // GOROOT
	files  map[string]string // path below src → text: patched, added
	base   string            // names the origin: equal for plans that differ only in the operating system
	key    string            // names the plan: a hash of all it depends on
}

// Files that are patched, below src. The system call package has moved in Go 1.26.
var (
	siteFiles = [...][]string{
		{"runtime/sys_linux_amd64.s"},
		{"runtime/time_linux_amd64.s"},
		{"internal/runtime/syscall/linux/asm_linux_amd64.s", "internal/runtime/syscall/asm_linux_amd64.s"},
		{"syscall/asm_linux_amd64.s"},
	}
)

const (
	flagFile    = "runtime/sys_linux_amd64.s" // where the gate's flag is defined
	entryFile   = "runtime/rt0_linux_amd64.s"
	syscallFile = "syscall/syscall_linux.go"
	fcntlFile   = "internal/syscall/unix/fcntl_unix.go"
	panicFile   = "runtime/panic.go"
	addedHook   = "syscall/zukvm_linux_amd64.go"
)

// newPlan makes the plan for a toolchain and the operating system in tree.
func newPlan(t Toolchain, tree fs.FS) (*plan, error) {
	g, err := loadGuest(tree)
	if err != nil {
		return nil, err
	}
	p := &plan{origin: t.Root, files: g.files}
	for _, candidates := range siteFiles {
		if err := p.patchFirst(candidates, patchSites); err != nil {
			return nil, err
		}
	}
	p.files[flagFile] += gateFlag
	if err := p.patchFirst([]string{entryFile}, patchEntry); err != nil {
		return nil, err
	}
	if err := p.patchFirst([]string{syscallFile}, patchHook); err != nil {
		return nil, err
	}
	p.files[addedHook] = hookFile
	if err := p.patchFirst([]string{fcntlFile}, patchFcntl); err != nil {
		return nil, err
	}
	if err := p.patchFirst([]string{panicFile}, patchPanic); err != nil {
		return nil, err
	}
	for name, text := range patchImports(func(name string) bool { return g.packages[name] }) {
		p.files[name] = text
	}
	return p, p.hash(t)
}

// patchFirst patches the first of the candidates that exists.
func (p *plan) patchFirst(candidates []string, patch func(file, text string) (string, error)) error {
	for _, file := range candidates {
		b, err := os.ReadFile(filepath.Join(p.origin, "src", file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the standard library: %w", err)
		}
		p.files[file], err = patch(file, string(b))
		return err
	}
	return &LayoutError{candidates[0], "such a file"}
}

// hash sets base and key.
func (p *plan) hash(t Toolchain) error {
	v, err := os.ReadFile(filepath.Join(p.origin, "VERSION"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a checkout of Go's repository has none
		return fmt.Errorf("read the Go version: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%q %q %q\n", manifestTitle, p.origin, t.Version, v)
	name := regexp.MustCompile(`[^\w.]+`).ReplaceAllString(t.Version, "_")
	p.base = name + "-" + hex.EncodeToString(h.Sum(nil))[:8]
	for _, file := range sortedKeys(p.files) {
		fmt.Fprintf(h, "%q %d\n%s", file, len(p.files[file]), p.files[file])
	}
	p.key = p.base + "-" + hex.EncodeToString(h.Sum(nil))[:16]
	return nil
}

// checkStray looks for system calls in assembly files that no patch covers, which would trap in a guest: a sign that the
// standard library has changed.
func (p *plan) checkStray() error {
	context := build.Default
	context.GOOS, context.GOARCH, context.CgoEnabled, context.BuildTags = "linux", "amd64", false, nil
	src := filepath.Join(p.origin, "src")
	return fs.WalkDir(os.DirFS(src), ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (file == "cmd" || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(file) != ".s" || p.files[file] != "":
			return nil
		}
		b, err := os.ReadFile(filepath.Join(src, file))
		if err != nil || !strings.Contains(string(b), "SYSCALL") {
			return err
		}
		for _, s := range scanAssembly(string(b)) {
			if !isSite(s) {
				continue
			}
			match, err := context.MatchFile(filepath.Join(src, path.Dir(file)), path.Base(file))
			if match || err != nil {
				return errors.Join(&LayoutError{file, "no SYSCALL"}, err)
			}
			break
		}
		return nil
	})
}
