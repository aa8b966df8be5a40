package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"os"
	"path/filepath"
	"strings"
)

// MinGo is the oldest Go release guests can be built with.
const MinGo = "go1.25"

// A Toolchain is a Go toolchain as the user's settings choose it.
type Toolchain struct {
	Version string // "go1.26.8"
	Root    string // its GOROOT

	settings goSettings
}

// goSettings are answers of `go env`.
type goSettings struct {
	GOROOT     string
	GOVERSION  string
	GOFLAGS    string
	GOTMPDIR   string
	GOMODCACHE string
	GOOS       string
	GOARCH     string
	GOHOSTOS   string
	GOHOSTARCH string
}

// Resolve asks the user's go command which toolchain it would build with in cfg's directory, which may make it
// download that toolchain. The answer honours GOTOOLCHAIN, go.mod and go.work.
func Resolve(ctx context.Context, cfg Config) (Toolchain, error) {
	s, err := newSession(&cfg, parseFlags(cfg.Flags))
	if err != nil {
		return Toolchain{}, err
	}
	return s.resolve(ctx, s.dir)
}

// resolve is Resolve for a directory.
func (s *session) resolve(ctx context.Context, dir string) (Toolchain, error) {
	var t Toolchain
	if err := s.ask(ctx, dir, &t.settings); err != nil {
		return Toolchain{}, err
	}
	t.Root, t.Version = t.settings.GOROOT, t.settings.GOVERSION
	if m, err := readManifest(t.Root); err == nil {
		t.Root = m.origin // in a shell with the settings of `ukvm env`
	} else if !errors.Is(err, os.ErrNotExist) {
		return Toolchain{}, err
	}
	return t, t.check()
}

// ask runs `go env` for the settings that are the fields of *settings.
func (s *session) ask(ctx context.Context, dir string, settings *goSettings, env ...string) error {
	c := command{path: s.goCommand, dir: dir, env: setenv(s.env, env...), stderr: s.cfg.Stderr}
	c.args = []string{"env", "-json", "GOROOT", "GOVERSION", "GOFLAGS", "GOTMPDIR", "GOMODCACHE", "GOOS", "GOARCH", "GOHOSTOS", "GOHOSTARCH"}
	out, err := c.output(ctx)
	if err != nil {
		return fmt.Errorf("find the Go toolchain: %w", err)
	}
	if err := json.Unmarshal(out, settings); err != nil {
		return fmt.Errorf("read the answer of go env: %w", err)
	}
	return nil
}

// check refuses toolchains that guests cannot be built with.
func (t *Toolchain) check() error {
	v := strings.TrimPrefix(t.Version, "devel ")
	v, _, _ = strings.Cut(v, " ") // what follows lists experiments
	v, _, _ = strings.Cut(v, "-") // or is a commit
	if !strings.HasPrefix(v, "go") || version.IsValid(v) && version.Compare(v, MinGo) < 0 {
		return unsupported("Go %s is too old for guests: use %s or later (GOTOOLCHAIN or the go line of go.mod can choose it)",
			strings.TrimPrefix(t.Version, "go"), MinGo)
	}
	g := &t.settings
	native := g.GOOS == g.GOHOSTOS && g.GOARCH == g.GOHOSTARCH
	if !native && (g.GOOS != "linux" || g.GOARCH != "amd64") {
		return unsupported("guests are linux/amd64 programs, but GOOS=%s GOARCH=%s is set: unset them", g.GOOS, g.GOARCH)
	}
	if _, err := os.Stat(filepath.Join(t.Root, "src", "runtime")); err != nil {
		return fmt.Errorf("find the source of the standard library, which guests are built from: %w", err)
	}
	return nil
}

// command is the toolchain's own go command.
func (t *Toolchain) command() string { return filepath.Join(t.Root, "bin", "go") }
