package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Result is an image that has been built.
type Result struct {
	Path      string // of the image
	Name      string // that `go build` gives the program
	Toolchain Toolchain
}

// Build builds an image of the program that packages name, as arguments of `go build` do: one package as a directory, an
// import path or PATH@VERSION, or Go files. A directory that belongs to another module than cfg's directory is built in
// that module. No packages is the one in cfg's directory.
//
// The image goes to output, which may be a directory; other files than executables are not overwritten. If output is "" it
// stays in the cache, where it is valid until the same program is built anew; nobody needs to remove it.
//
// Errors are a *[CommandError] if the go command failed, [ErrNotFound] in addition if the package does not exist,
// [ErrUnsupported] if guests cannot be built like that, and others if the cache or output cannot be written.
func Build(ctx context.Context, cfg Config, packages []string, output string) (Result, error) {
	s, err := newSession(&cfg, parseFlags(cfg.Flags))
	if err != nil {
		return Result{}, err
	}
	outputDir := s.dir
	packages = s.enterModule(packages)
	work, err := s.workDir()
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(work)

	b := &builder{session: s, packages: packages, work: work, runDir: s.dir}
	if b.versioned() {
		// The modules of the current directory have no say.
		if b.runDir, err = b.emptyModule("any", MinGo); err != nil {
			return Result{}, err
		}
	}
	path, err := b.build(ctx)
	if err != nil {
		return Result{}, err
	}
	result := Result{Path: path, Name: filepath.Base(path), Toolchain: b.toolchain}
	if err := checkImage(path); err != nil {
		return Result{}, err
	}
	if output != "" {
		result.Path, err = deliver(path, output, outputDir)
	}
	return result, err
}

// A builder builds one program.
type builder struct {
	*session
	packages  []string
	work      string // temporary directory
	runDir    string // where the go command runs
	toolchain Toolchain
}

// isLocal reports whether a package is named by directory or file.
func isLocal(pkg string) bool {
	return pkg == "." || pkg == ".." || strings.HasPrefix(pkg, "./") || strings.HasPrefix(pkg, "../") ||
		filepath.IsAbs(pkg) || strings.HasSuffix(pkg, ".go")
}

// build builds with the toolchain that the user's settings choose, or a newer one if PATH@VERSION turns out to need it
// and they allow it, and returns the path of the image in the cache.
func (b *builder) build(ctx context.Context) (string, error) {
	path, err := b.buildWith(ctx, b.runDir)
	if newer := b.wanted(err); newer != "" {
		b.cfg.progress("it needs %s: building with that or a later one", newer)
		dir, err := b.emptyModule("newer", newer)
		if err != nil {
			return "", err
		}
		return b.buildWith(ctx, dir)
	}
	return path, err
}

// buildWith builds with the toolchain that the go command chooses in toolchainDir.
func (b *builder) buildWith(ctx context.Context, toolchainDir string) (string, error) {
	t, r, err := b.prepare(ctx, toolchainDir)
	if err != nil {
		return "", err
	}
	defer r.release()
	b.toolchain = t
	image := b.imageDir(t)
	if err := os.MkdirAll(image, 0o777); err != nil {
		return "", fmt.Errorf("make the cache: %w", err)
	}
	defer b.explainSlow(b.packages)()
	path, err := b.goBuild(ctx, r, image)
	if err == nil && path == "" {
		// The program was called something else before.
		if err := removeTree(image); err != nil {
			return "", err
		}
		if err := os.MkdirAll(image, 0o777); err != nil {
			return "", err
		}
		path, err = b.goBuild(ctx, r, image)
		if err == nil && path == "" {
			return "", fmt.Errorf("%s is not one program: name one", strings.Join(b.packages, " "))
		}
	}
	if err == nil {
		touch(image)
	}
	return path, err
}

// goBuild runs the go command and returns the one file that is then in directory image, or "" if it is not one.
func (b *builder) goBuild(ctx context.Context, r *root, image string) (string, error) {
	args := append([]string{"build"}, flagStrings(b.flags)...)
	env := []string{}
	if b.versioned() {
		args[0] = "install"
		env = append(env, "GOBIN="+image)
	} else {
		args = append(args, "-o", image+string(filepath.Separator))
	}
	args = append(append(args, b.guestFlags(b.toolchain)...), b.packages...)
	if b.toolchain.settings.GOTMPDIR == "" {
		env = append(env, "GOTMPDIR="+b.work) // on the cache's file system, so that images are replaced by a rename
	}
	err := b.run(ctx, b.toolchain, r, b.runDir, args, env...)
	if b.unreachable(err) {
		b.cfg.progress("the module proxy cannot be reached: trying what the module cache has")
		again := b.run(ctx, b.toolchain, r, b.runDir, args, append(env, b.cacheAsProxy())...)
		if !b.unserved(again) {
			err = again
		}
	}
	if err != nil {
		return "", b.explain(ctx, r, err)
	}
	var found []string
	for _, e := range list(image) {
		if e.Type().IsRegular() && !strings.HasSuffix(e.Name(), "-go-tmp-umask") {
			found = append(found, filepath.Join(image, e.Name()))
		}
	}
	if len(found) != 1 {
		return "", nil
	}
	return found[0], nil
}

// imageDir is the directory of the program's image in the cache. It is the same for the same program and flags, so that
// the go command finds what it linked last time.
func (b *builder) imageDir(t Toolchain) string {
	h := sha256.New()
	dir := b.dir
	if b.versioned() {
		dir = ""
	}
	fmt.Fprintf(h, "%q %q %q %q\n", dir, b.packages, flagStrings(b.flags), t.settings.GOFLAGS)
	return filepath.Join(b.cache, "image", hex.EncodeToString(h.Sum(nil))[:24])
}

// explain adds to a failure of the go command whether it is that the package does not exist.
func (b *builder) explain(ctx context.Context, r *root, err error) error {
	var failed *CommandError
	if errors.As(err, &failed) && failed.ExitCode > 0 && b.missing(ctx, r, failed.Output) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// missing reports whether a package named does not exist, as opposed to one that it imports.
func (b *builder) missing(ctx context.Context, r *root, output string) bool {
	if b.versioned() {
		return noSuchVersion().MatchString(output)
	}
	for _, pkg := range b.packages {
		if isLocal(pkg) {
			path := pkg
			if !filepath.IsAbs(path) {
				path = filepath.Join(b.dir, path)
			}
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !strings.Contains(pkg, "...") {
				return true
			}
		}
	}
	// Of the package itself the go command reports no position; of a syntax error or a missing import it does.
	list := command{
		path: b.toolchain.command(),
		dir:  b.runDir,
		env:  setenv(b.env, r.settings()...),
		args: slices.Concat([]string{"list", "-e", "-find", "-f", "{{with .Error}}{{if not .Pos}}missing{{end}}{{end}}"},
			flagStrings(without(b.flags, "o", "json")), b.guestFlags(b.toolchain), []string{"--"}, b.packages),
	}
	out, err := list.output(ctx)
	return err == nil && strings.Contains(string(out), "missing")
}

// enterModule moves the session into the directory that packages names, if that is one and belongs to another module than
// the session's, as the go command would otherwise refuse it.
func (s *session) enterModule(packages []string) []string {
	if len(packages) != 1 || !isLocal(packages[0]) || strings.HasSuffix(packages[0], ".go") {
		return packages
	}
	dir := packages[0]
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(s.dir, dir)
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() || moduleOf(dir) == moduleOf(s.dir) || moduleOf(dir) == "" {
		return packages
	}
	s.flags = absoluteFiles(s.flags, s.dir)
	s.dir = dir
	return []string{"."}
}

// moduleOf returns the directory of the go.mod that dir belongs to, "" if there is none.
func moduleOf(dir string) string {
	for {
		if info, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && !info.IsDir() {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// workDir makes a temporary directory in the cache.
func (s *session) workDir() (string, error) {
	tmp := filepath.Join(s.cache, "tmp")
	err := os.MkdirAll(tmp, 0o777)
	if err == nil {
		tmp, err = os.MkdirTemp(tmp, "build-")
	}
	if err != nil {
		return "", fmt.Errorf("make a work directory: %w", err)
	}
	return tmp, nil
}
