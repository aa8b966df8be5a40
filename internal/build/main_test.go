package build

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sharedCache holds the derived GOROOT that most tests use. What is compiled with it stays in the go command's own cache,
// which knows content and not paths, so only the first run on a machine compiles the standard library.
var sharedCache string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ukvm-build-test")
	if err != nil {
		panic(err)
	}
	sharedCache = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// soak skips tests of many minutes unless UKVM_SOAK=1.
func soak(t testing.TB) {
	if os.Getenv("UKVM_SOAK") != "1" {
		t.Skip("set UKVM_SOAK=1 to run this")
	}
}

// integration skips tests that compile programs in -short mode.
func integration(t testing.TB) {
	if testing.Short() {
		t.Skip("compiles programs")
	}
}

// standIn is the operating system of the tests: package testdata/tree/guest/kernel says what it does.
func standIn() fs.FS { return os.DirFS("testdata/tree") }

// testConfig builds in dir with the stand-in, in an environment without the machine's own settings for Go.
func testConfig(t testing.TB, dir string, env ...string) Config {
	return Config{
		Dir:      dir,
		Env:      setenv(os.Environ(), append([]string{"GOFLAGS=", "GOENV=off", "GOWORK=", "GOROOT=", "GOPROXY=off"}, env...)...),
		Cache:    sharedCache,
		Source:   standIn(),
		Progress: logWriter{t},
	}
}

type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// tree writes files, given as txtar-like pairs of path and text, into a new directory.
func tree(t testing.TB, files map[string]string) string {
	dir := t.TempDir()
	if err := writeFiles(dir, files); err != nil {
		t.Fatal(err)
	}
	return dir
}

// mustBuild builds an image in the cache.
func mustBuild(t testing.TB, cfg Config, packages ...string) Result {
	t.Helper()
	r, err := Build(context.Background(), cfg, packages, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// runs runs an image as the Linux program it also is and returns its output.
func runs(t testing.TB, path string, args ...string) string {
	t.Helper()
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(path), err, out)
	}
	return strings.TrimSpace(string(out))
}

// testdata is the text of a file in testdata.
func testdata(t testing.TB, name string) string {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// seededCache is a new cache that holds what most of a derived GOROOT can be linked from, as another version of ukvm
// leaves it, since copying takes seconds.
func seededCache(t testing.TB) string {
	cfg := testConfig(t, t.TempDir())
	s, err := newSession(&cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, shared, err := s.prepare(t.Context(), cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.release()
	cache := t.TempDir()
	src := filepath.Join(shared.dir, "src")
	c := copier{from: src, to: filepath.Join(cache, "goroot", filepath.Base(shared.dir)+"0", "src"), like: src, skip: map[string]bool{"cmd": true}}
	if err := c.copy(t.Context()); err != nil {
		t.Fatal(err)
	}
	return cache
}

// goroot is the GOROOT that a plain go command uses here.
func goroot(t testing.TB) string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
